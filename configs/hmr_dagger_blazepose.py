"""HMR-dagger on BlazePose's frozen network: the trained HMR and its prior, fine-tuned on simulated clothes."""

_base_ = ["hmr_blazepose.py"]

load_from = "work_dirs/hmr_blazepose"  # of configs/hmr_blazepose.py

_features = _base_.train_dataloader.dataset.dataset
_clothed = dict(data_root="{{$MVIPER_DATA:data}}/raster", synthesis_config="configs/volume/raster.py")
train_dataloader = dict(
    dataset=dict(
        dataset=dict(data_root="{{$MVIPER_DATA:data}}/features", pictures=_clothed),
    ),
)
val_dataloader = dict(dataset=_clothed)
