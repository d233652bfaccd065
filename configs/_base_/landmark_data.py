# The landmarks of BlazePose's network: a quarter found by it on painted people, extracted once, the others simulated
# from the motions that these were made from. Large data are stored under $MVIPER_DATA:
#   python tools/generate.py configs/volume/painted.py --splits train val --out $MVIPER_DATA/painted
#   python tools/retarget.py configs/volume/painted.py --splits train --out $MVIPER_DATA/motions
#   python tools/extract_features.py configs/frame_landmarks.py
_base_ = ["blazepose_data.py"]

encoder = dict(type="BlazePoseEncoder", maps="landmarks", features="landmarks", frozen_stages=7)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="MixedDataset",
        datasets=[
            dict(
                type="SimulatedLandmarks",
                data_root="{{$MVIPER_DATA:data}}/motions/train",
                encoder=encoder,
                body_model=_base_.body_model,
            ),
            dict(
                type="FeatureStore",
                data_root="{{$MVIPER_DATA:data}}/landmarks",
                pictures=_base_.pictures,
                copies=1,
            ),
        ],
        ratios=[0.75, 0.25],
        shared=dict(clip_length=_base_.clip_length),
        length=100_000,
    ),
)
