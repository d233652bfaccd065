# The paper's data (section 3): CMU's library and motions between its most contrasting poses, several bodies each, the
# whole wardrobe; spherical and flat surroundings, photographed fabrics, one for each video. docs/paper.md lists the
# deviations. Missing data are listed with where to get them, and replaced as if_missing says; the manifests'
# "substitutes" record it. With all of CMU: 3,500 motions, 10,500 sequences of four views.
_base_ = ["cmu_full.py"]

_split = dict(
    val=[*_base_.splits["val"], "*jump*"],  # the last ones match the clips that replace CMU's
    test=[*_base_.splits["test"], "*dance_b*", "*kick*"],
)
splits = _split
_captured = dict(
    **_base_.source,
    if_missing=dict(
        get="http://mocap.cs.cmu.edu, all_asfamc.zip and B. Hahne's cmu-mocap-index-text.txt",
        use=dict(type="DeepMimicMotion"),
    ),
)
source = dict(
    _delete_=True,
    type="MixedMotion",
    sources=[
        _captured,
        dict(type="InterpolatedMotion", sources=[_captured], count=1000, uses=3, stride=10, splits=_split),
    ],
)
background = dict(
    _delete_=True,
    type="MixedBackground",
    backgrounds=[
        dict(
            type="SphericalBackground",
            root="data/panoramas",
            if_missing=dict(
                get="400 or more .hdr or .exr panoramas, such as https://polyhaven.com/hdris (CC0)",
                use=dict(type="SphericalBackground"),
            ),
        ),
        dict(
            type="PhotoBackground",
            root="data/places365/test_256",
            if_missing=dict(
                get="http://places2.csail.mit.edu, Places365-Standard, test images, 256 x 256",
                use=dict(type="SphericalBackground"),
            ),
        ),
    ],
)
fabric = dict(
    _delete_=True,
    type="MixedFabric",
    fabrics=[
        dict(
            type="PhotoFabric",
            root="data/dtd/images",
            if_missing=dict(
                get="https://www.robots.ox.ac.uk/~vgg/data/dtd, dtd-r1.0.1.tar.gz", use=dict(type="ProceduralFabric")
            ),
        ),
        dict(
            type="PhotoFabric",
            root="data/fabrics",
            if_missing=dict(
                get="https://ibug.doc.ic.ac.uk/resources/fabrics, on request", use=dict(type="ProceduralFabric")
            ),
        ),
    ],
)
fabric_per = "video"
