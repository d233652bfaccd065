# CMU's library from its marker files (http://mocap.cs.cmu.edu, all_c3d.zip) by MoSh, as in the paper; cmu_full.py
# retargets the skeletons that CMU fitted to them. Clips, index, splits, bodies and outfits are the same.
_base_ = ["cmu_full.py"]

source = dict(
    _delete_=True,
    type="C3DMotion",
    root="data/cmu_c3d",  # <subject>/<clip>.c3d
    index="data/cmu_c3d/cmu-mocap-index-text.txt",
)
