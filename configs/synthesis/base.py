# Base of all synthesis configs: the paper's scene (section 3), one variant of each clip.
seed = 0
splits = dict(val=[], test=[])  # patterns of clip names; the others are for training
variants = 1  # bodies, outfits and scenes for each clip
renders_per_simulation = 1  # takes of each, with other fabrics, skin, light, surroundings and cameras
# People in a scene, drawn evenly from (least, most); least distance between two seen from above [m], and how far more
# they stand apart at most [m]. Everyone but the first moves by a random clip of the same split (docs/scenes.md).
people = dict(count=(1, 1), gap=0.15, room=0.5)
body_model = dict(type="SMPL")  # or dict(type="SMPL", model_path="data/body_models/SMPL_NEUTRAL.pkl")
betas = dict(scale=1.0, limit=2.0)  # shape ~ N(0, scale), truncated at +-limit
fps = 30
max_frames = 120  # of longer clips only a part is used
# Which part; or "busiest", in which the joints move farthest. If it exceeds motion_quality, other parts are tried.
clip_part = "random"
min_seconds = 1.0
# Motions beyond a limit are rejected before anything costly runs (docs/motion.md); None: no limit.
motion_quality = dict(
    limb_error=8.0,  # 95th percentile of the angle to the captured limbs [degrees]
    skating=1.0,  # median speed of standing feet [m/s]
    penetration=0.05,  # 95th percentile of the depth under the floor [m]
    limit_excess=25.0,  # beyond a joint's range [degrees]
    intersection=0.9,  # penetration depth of body parts, as a share of the sum of their radii
    turn_speed=3000.0,  # of any joint [degrees/s]
    joint_speed=20.0,  # [m/s]
)
# Arms on or in the trunk are turned outwards until clothes fit between [m]; None: as captured.
arm_room = 0.03
lead_in = dict(frames=30, still=5, pose="t")  # simulated, not rendered; pose="a" starts from an A-pose
outfit = [dict(type="Trousers"), dict(type="TShirt")]  # innermost first
simulator = dict(type="BlenderCloth")
cameras = dict(type="CompassCameras", resolution=250, lens=180.0, sensor=32.0, margin=0.08)
lights = dict(type="AreaLights", count=4)
background = dict(type="SphericalBackground", root=None)  # a folder of .exr or .hdr; None: Blender's own
floor = True  # receives shadows and shows the surroundings' ground; False: people stand before a distant picture
fabric = dict(type="ProceduralFabric")
fabric_per = "garment"  # or "video": one fabric for all garments of a sequence
appearance = dict(type="SkinHairShoes")
renderer = dict(type="CyclesRenderer", samples=4, denoise=True, device="auto")
recording = dict(type="CleanRecording")  # or PhoneRecording: effects of lens, sensor and encoder
# Also stored: segmentation, depth, normals, flow, garments, vertices (docs/scenes.md).
passes = ["garments"]
