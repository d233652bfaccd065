# The demo's pictures at 128 pixels, for the paper's tables on a small scale: training in minutes on two CPU cores.
_base_ = ["synthetic_data.py"]

data_root = "data/demo"
synthesis_config = "configs/demo/data.py"
image_size = 128
dataset = dict(data_root=data_root, synthesis_config=synthesis_config)
test_pipeline = [dict(type="CropClip", size=image_size), dict(type="PackBodySample")]

train_dataloader = dict(
    num_workers=0,  # on two cores a separate loading process costs more than it saves
    persistent_workers=False,
    dataset=dict(
        **dataset,
        cache_images=4000,
        pipeline=[
            dict(type="AugmentClip"),
            dict(type="CropClip", size=image_size),
            dict(type="JitterClip"),
            dict(type="PackBodySample"),
        ],
    ),
)
val_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
