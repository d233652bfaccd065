# The same test set, for models on BlazePose's frozen network: its features, stored once, serve all of them.
# Data, beside those of volume.py: MVIPER_DATA=... python tools/extract_features.py configs/frame_blazepose.py --on
# configs/test_sets/volume_features.py
_base_ = ["volume.py"]

_pictures = _base_.test_dataloader.dataset
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="FeatureStore",
        data_root="{{$MVIPER_DATA:data}}/features_test",
        pictures=_pictures,
        copies=1,
        clip_length=None,
    ),
)
