# Used by tools/transfer.py for a motion recovered from a video: the video's view, larger and cleaner than for training.
# The tool sets source, outfit, background and length.
_base_ = ["base.py"]

source = dict(type="AMASSMotion", root="work_dirs/transfer")
variants = 3  # bodies, clothes and scenes, tried until the cloth is accepted
min_seconds = 0.1
# Motion from a single camera slides and sinks more than motion capture; it is shown as recovered.
motion_quality = dict(
    limb_error=None, skating=None, penetration=None, limit_excess=None, intersection=None, turn_speed=None,
    joint_speed=None,
)  # fmt: skip
cameras = dict(type="CompassCameras", views=["south"], resolution=512, lens=50.0, sensor=32.0, margin=0.08)
renderer = dict(type="CyclesRenderer", samples=8, denoise=True, device="auto")
passes = []
