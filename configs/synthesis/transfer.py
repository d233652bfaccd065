# What tools/transfer.py makes of a motion recovered from a video: the video's view, larger and cleaner than training
# wants it. The tool sets source, outfit, background and length.
_base_ = ["base.py"]

source = dict(type="AMASSMotion", root="work_dirs/transfer")
variants = 3  # bodies, clothes and scenes that are tried until the cloth comes out well
min_seconds = 0.1
# A single camera's motion slides and sinks where no capture does; it is shown as it was recovered.
motion_quality = dict(
    limb_error=None, skating=None, penetration=None, limit_excess=None, intersection=None, turn_speed=None,
    joint_speed=None,
)  # fmt: skip
cameras = dict(type="CompassCameras", views=["south"], resolution=512, lens=50.0, sensor=32.0, margin=0.08)
renderer = dict(type="CyclesRenderer", samples=8, denoise=True, device="auto")
passes = []
