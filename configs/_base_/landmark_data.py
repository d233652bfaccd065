# The landmarks of BlazePose's network, simulated from motions with its measured errors: training needs no pictures.
# Validation and test find them in pictures. Large data are stored under $MVIPER_DATA:
#   python tools/retarget.py configs/volume/painted.py --splits train --out $MVIPER_DATA/motions
#   python tools/generate.py configs/volume/painted.py --splits val --limit 10 --out $MVIPER_DATA/painted
#   python tools/generate.py configs/volume/test.py --splits test --out $MVIPER_DATA/test
_base_ = ["blazepose_data.py"]

encoder = dict(type="BlazePoseEncoder", maps="landmarks", features="landmarks", frozen_stages=7)
context = dict(type="WindowMLP", window=9, hidden=1024, blocks=3)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="SimulatedLandmarks",
        data_root="{{$MVIPER_DATA:data}}/motions/train",
        encoder=encoder,
        body_model=_base_.body_model,
        margin=4,  # the context's reach
        # Errors from those of good pictures to those of hard ones (docs/benchmarks.md).
        noise=(0.5, 4.0),
        mistakes=0.5,
    ),
)
val_dataloader = dict(
    dataset=dict(data_root="{{$MVIPER_DATA:data}}/painted", synthesis_config="configs/volume/painted.py")
)
