"""Exports opened by other programs' readers: every vertex of every frame is within a millimetre of ours."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from smplx.utils import Struct

from mviper.body import SMPL
from mviper.body.smpl import OPEN_BODY, load_body_arrays
from mviper.errors import ConfigError
from mviper.export import export_motions
from mviper.export.skinning import Y_UP, posed_vertices, skin_motion
from mviper.motion.sources.smpl_files import read_amass
from mviper.structures import Motion
from mviper.structures.joints import SMPL_JOINTS

#: Millimetre.
BAR = 1e-3
FRAMES = 5
#: Frame in which the second of two people appears.
LATER = 3


@pytest.fixture(scope="module")
def body() -> SMPL:
    return SMPL()


@pytest.fixture(scope="module")
def motion(body) -> Motion:
    """A person who bends far and turns around completely."""
    rng = np.random.default_rng(0)
    steps = np.linspace(0, 1, FRAMES)[:, None, None]
    poses = steps * rng.normal(0, 0.7, (1, 24, 3)) + rng.normal(0, 0.02, (FRAMES, 24, 3))
    poses[:, 0] = [np.pi / 2, 0, 0]
    poses[:, 0, 1] += np.linspace(0, 2.5, FRAMES)
    transl = np.stack([np.linspace(0, 1, FRAMES), np.linspace(0.5, 0, FRAMES), np.full(FRAMES, 1.2)], axis=1)
    return Motion(poses, transl, rng.normal(0, 1, 10), 29.97, body.body_model_id, "dance", "1")


@pytest.fixture(scope="module")
def gliding(body) -> Motion:
    """A person who moves in the rest pose: no pose correctives."""
    poses, transl = np.zeros((FRAMES - 1, 24, 3)), np.zeros((FRAMES - 1, 3))
    poses[:, 0], transl[:, 0] = [np.pi / 2, 0, 0], 2 + np.linspace(0, 1, FRAMES - 1)
    return Motion(poses, transl, np.zeros(10), 29.97, body.body_model_id, "glide", "2")


@pytest.fixture(scope="module")
def surface(motion, body) -> np.ndarray:
    """Our surface, z up, (T, V, 3)."""
    return np.stack(list(posed_vertices(motion, body)))


@pytest.fixture(scope="module")
def pair(motion, gliding, body, surface) -> tuple[list[Motion], list[int], list[np.ndarray]]:
    """Two people, of whom the first appears later, and their surfaces in every frame, (LATER + FRAMES, V, 3)."""
    every = np.arange(LATER + FRAMES)
    other = np.stack(list(posed_vertices(gliding, body)))
    placed = [surface[(every - LATER).clip(0)], other[every.clip(max=len(gliding) - 1)]]
    return [motion, gliding], [LATER, 0], placed


def largest_distance(found, expected) -> float:
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected, axis=-1).max())


def test_amass_is_read_by_our_reader_and_posed_by_smplx(motion, body, surface, tmp_path):
    (path,) = export_motions([motion], tmp_path / "dance.npz", body)
    assert read_amass(path).fps == pytest.approx(29.97)
    content = np.load(path)  # as other programs read it
    arrays = load_body_arrays(OPEN_BODY)
    genuine = type("SMPL", (smplx.SMPL,), {"SHAPE_SPACE_DIM": 10})(
        "", data_struct=Struct(**arrays), batch_size=FRAMES,
        vertex_ids=dict.fromkeys(smplx.vertex_ids.vertex_ids["smplh"], 0),
    )  # fmt: skip
    as_torch = {key: torch.tensor(content[key], dtype=torch.float32) for key in ("poses", "trans", "betas")}
    with torch.no_grad():
        vertices = genuine(
            betas=as_torch["betas"].expand(FRAMES, -1), transl=as_torch["trans"],
            global_orient=as_torch["poses"][:, :3], body_pose=as_torch["poses"][:, 3:],
        ).vertices.numpy()  # fmt: skip
    assert largest_distance(vertices, surface) < BAR


def skinned_by_pygltflib(path):
    """Vertices of each frame from a GLB by the format's specification, (T, V, 3), without our code."""
    pygltflib = pytest.importorskip("pygltflib")
    from scipy.spatial.transform import Rotation

    document = pygltflib.GLTF2().load(str(path))
    blob = document.binary_blob()

    def read(index):
        accessor = document.accessors[index]
        view = document.bufferViews[accessor.bufferView]
        dtype = {5126: "<f4", 5121: "u1", 5125: "<u4"}[accessor.componentType]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        return np.frombuffer(blob, dtype, accessor.count * width, start).reshape(-1, width)

    (skin,), (animation,) = document.skins, document.animations
    (shown,) = [node for node in document.nodes if node.mesh is not None]
    primitive = document.meshes[shown.mesh].primitives[0]
    outputs = {
        (channel.target.node, channel.target.path): read(animation.samplers[channel.sampler].output)
        for channel in animation.channels
    }
    targets = np.stack(
        [read(target["POSITION"] if isinstance(target, dict) else target.POSITION) for target in primitive.targets]
    )
    weights = outputs[document.nodes.index(shown), "weights"].reshape(-1, len(targets))
    inverse = read(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    joints = np.concatenate([read(primitive.attributes.JOINTS_0), read(primitive.attributes.JOINTS_1)], 1)
    shares = np.concatenate([read(primitive.attributes.WEIGHTS_0), read(primitive.attributes.WEIGHTS_1)], 1)
    frames = []
    for t in range(len(weights)):
        world = {}

        def visit(number, above, t=t, world=world):
            node, local = document.nodes[number], np.eye(4)
            turn = outputs.get((number, "rotation"))
            local[:3, :3] = np.eye(3) if turn is None else Rotation.from_quat(turn[t]).as_matrix()
            place = outputs.get((number, "translation"))
            local[:3, 3] = place[t] if place is not None else (node.translation or [0, 0, 0])
            world[number] = above @ local
            for child in node.children or []:
                visit(child, world[number])

        for root in document.scenes[document.scene].nodes:
            visit(root, np.eye(4))
        matrices = np.stack([world[number] @ bind for number, bind in zip(skin.joints, inverse)])
        rest = read(primitive.attributes.POSITION) + np.einsum("k,kvc->vc", weights[t], targets)
        blended = np.einsum("vk,vkab->vab", shares, matrices[joints])
        frames.append(np.einsum("vab,vb->va", blended[:, :3], np.concatenate([rest, np.ones((len(rest), 1))], 1)))
    return np.stack(frames)


def test_glb_by_pygltflib_and_trimesh(motion, pair, body, surface, tmp_path):
    trimesh, pygltflib = pytest.importorskip("trimesh"), pytest.importorskip("pygltflib")
    (path,) = export_motions([motion], tmp_path / "dance.glb", body)
    assert largest_distance(skinned_by_pygltflib(path), surface @ Y_UP.T) < BAR
    (mesh,) = trimesh.load(path).geometry.values()
    assert mesh.vertices.shape == (body.num_vertices, 3) and len(mesh.faces) == len(body.faces)
    # Two people in one file, on the video's timeline.
    motions, starts, _ = pair
    (path,) = export_motions(motions, tmp_path / "pair.glb", body, starts)
    assert len(trimesh.load(path).geometry) == 2
    document = pygltflib.GLTF2().load(str(path))
    assert [len(mesh.primitives[0].targets) > 0 for mesh in document.meshes] == [True, False]
    times = {sampler.input for sampler in document.animations[0].samplers}
    bounds = sorted((document.accessors[k].min[0], document.accessors[k].max[0]) for k in times)
    wanted = sorted((start / 29.97, (start + len(each) - 1) / 29.97) for start, each in zip(starts, motions))
    np.testing.assert_allclose(bounds, wanted, atol=1e-5)


@pytest.mark.parametrize("ending", ["glb", "fbx", "usdc", "abc", "blend"])
def test_meshes_by_blender(pair, body, tmp_path, ending):
    """Two people who start at different frames; one of them has no blend shapes."""
    bpy = pytest.importorskip("bpy")
    motions, starts, placed = pair
    if ending == "glb":  # read at a whole rate, below
        motions = [replace(motion, fps=30.0) for motion in motions]
    (path,) = export_motions(motions, tmp_path / f"dance.{ending}", body, starts)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 30, 30 / 29.97
    if ending == "glb":
        scene.render.fps_base = 1.0
        bpy.ops.import_scene.gltf(filepath=str(path))
    elif ending == "fbx":
        # Not Blender's older import_scene.fbx: it takes a rate of 29.97 for 30, and frame 4 for frame 4.004.
        bpy.ops.wm.fbx_import(filepath=str(path), anim_offset=0)
    elif ending == "usdc":
        bpy.ops.wm.usd_import(filepath=str(path))
    elif ending == "abc":
        bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False)
    else:
        bpy.ops.wm.open_mainfile(filepath=str(path))
    things = [thing for thing in bpy.data.objects if thing.type == "MESH" and len(thing.data.vertices) >= 6890]
    assert len(things) == 2
    worst = [0.0, 0.0]
    for frame in range(LATER + FRAMES):
        bpy.context.scene.frame_set(frame)
        for person, thing in enumerate(sorted(things, key=lambda thing: thing.name)):
            shown = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
            vertices = np.empty(3 * len(shown.data.vertices), np.float32)
            shown.data.vertices.foreach_get("co", vertices)
            matrix = np.array(shown.matrix_world)
            found = vertices.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
            worst[person] = max(worst[person], largest_distance(found, placed[person][frame]))
    assert max(worst) < BAR


def fbx_elements(path) -> dict[str, list]:
    """The elements under ``Objects`` and ``GlobalSettings``, by kind: (name, class, properties)."""
    import addon_utils

    place = next(place for place in addon_utils.paths() if Path(place, "io_scene_fbx").is_dir())
    sys.path.insert(0, place)
    try:
        from io_scene_fbx import parse_fbx
    finally:
        sys.path.remove(place)
    root, _ = parse_fbx.parse(str(path))
    found = {}
    for element in root.elems:
        for part in element.elems if element.id == b"Objects" else [element] * (element.id == b"GlobalSettings"):
            name = part.props[1].split(b"\0")[0].decode() if len(part.props) > 1 else ""
            values = {p.props[0].decode(): p.props[4:] for e in part.elems if e.id == b"Properties70" for p in e.elems}
            found.setdefault(part.id.decode(), []).append((name, values))
    return found


def test_fbx_as_engines_want_it(pair, body, tmp_path):
    """Centimetres, y up, no rotated or scaled objects, the clip named after the motion; two rates and two people."""
    pytest.importorskip("bpy")
    motions, starts, _ = pair
    for chosen, when, name in ((motions, starts, "dance"), ([motions[1]], [0], "glide")):
        (path,) = export_motions(chosen, tmp_path / "take 1.fbx", body, when)
        elements = fbx_elements(path)
        ((_, settings),) = elements["GlobalSettings"]
        assert settings["UnitScaleFactor"] == [1.0] and settings["UpAxis"] == [1] and settings["UpAxisSign"] == [1]
        assert [clip for clip, _ in elements["AnimationStack"]] == [name]
        nodes = dict(elements["Model"])
        people = [f"person_{number + 1}" for number in range(len(chosen))]
        assert len(nodes) == len(elements["Model"]) - 24 * (len(chosen) - 1)
        assert set(nodes) == {*people, *(f"{person}_mesh" for person in people), *SMPL_JOINTS}
        for node in (*people, *(f"{person}_mesh" for person in people)):
            for kind, neutral in (("Lcl Translation", 0), ("Lcl Rotation", 0), ("Lcl Scaling", 1)):
                np.testing.assert_allclose(nodes[node].get(kind, [neutral] * 3), neutral, atol=1e-4)
        assert all(np.allclose(nodes[joint]["Lcl Scaling"], 1, atol=1e-4) for joint in SMPL_JOINTS)
        shaped = body.rest_joints(torch.tensor(chosen[-1].betas, dtype=torch.float32)[None])[0].numpy()
        knee, hip = SMPL_JOINTS.index("left_knee"), SMPL_JOINTS.index("left_hip")
        along = np.array(nodes["left_knee"]["Lcl Translation"], float)  # of the last person
        np.testing.assert_allclose(along, 100 * (shaped[knee] - shaped[hip]), atol=0.01)


@pytest.mark.parametrize("ending", ["blend", "usdc", "abc", "fbx"])
def test_names_and_scales_of_other_exports(pair, body, tmp_path, ending):
    bpy = pytest.importorskip("bpy")
    motions, starts, _ = pair
    (path,) = export_motions(motions, tmp_path / f"take.{ending}", body, starts)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    {
        "blend": lambda: bpy.ops.wm.open_mainfile(filepath=str(path)),
        "usdc": lambda: bpy.ops.wm.usd_import(filepath=str(path)),
        "abc": lambda: bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False),
        "fbx": lambda: bpy.ops.wm.fbx_import(filepath=str(path)),
    }[ending]()
    shown = {"person_1_mesh", "person_2_mesh"}
    assert shown <= {thing.name for thing in bpy.data.objects if thing.type == "MESH"}
    for thing in bpy.data.objects:
        assert thing.name.removesuffix("_mesh").removesuffix(".001") in (
            "person_1",
            "person_2",
            "root",
            "_materials",
        ), thing.name
        scale = thing.matrix_world.to_scale()
        np.testing.assert_allclose(scale, 0.01 if ending == "fbx" else 1, rtol=1e-4)  # converted to the scene's metres
    if ending != "abc":
        assert any("dance" in action.name for action in bpy.data.actions)


def test_bvh_by_blender(motion, body, tmp_path):
    """Blender's own reader, and its forward kinematics."""
    bpy = pytest.importorskip("bpy")
    (path,) = export_motions([motion], tmp_path / "dance.bvh", body)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_anim.bvh(filepath=str(path), global_scale=0.01, frame_start=1)
    (armature,) = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
    with torch.no_grad():
        from mviper.body.rotations import axis_angle_to_matrix

        expected = body(
            torch.tensor(motion.betas, dtype=torch.float32).expand(FRAMES, -1),
            axis_angle_to_matrix(torch.tensor(motion.poses, dtype=torch.float32)),
            torch.tensor(motion.transl, dtype=torch.float32),
        ).joints[:, :24].numpy()  # fmt: skip
    for frame in range(FRAMES):
        bpy.context.scene.frame_set(frame + 1)
        found = [armature.matrix_world @ armature.pose.bones[name].head for name in SMPL_JOINTS]
        assert largest_distance(np.array(found), expected[frame]) < BAR


def test_pc2_by_blender(motion, body, surface, tmp_path):
    bpy = pytest.importorskip("bpy")
    (path,) = export_motions([motion], tmp_path / "dance.pc2", body, [LATER])
    header = struct.unpack("<12siiffi", path.read_bytes()[:32])
    assert header == (b"POINTCACHE2\0", 1, body.num_vertices, LATER, 1, FRAMES)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.obj_import(filepath=str(path.with_suffix(".obj")), forward_axis="Y", up_axis="Z")
    (thing,) = bpy.data.objects
    modifier = thing.modifiers.new("cache", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", str(path)
    for frame in range(FRAMES):
        bpy.context.scene.frame_set(frame)
        data = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        vertices = np.empty(3 * len(data.vertices), np.float32)
        data.vertices.foreach_get("co", vertices)
        assert largest_distance(vertices.reshape(-1, 3), surface[frame] @ Y_UP.T) < BAR


def test_one_file_a_person_where_the_format_holds_no_more(motion, body, tmp_path):
    paths = export_motions([motion, motion], tmp_path / "pair.bvh", body)
    assert [path.name for path in paths] == ["pair_1.bvh", "pair_2.bvh"]
    assert paths[0].read_text() == paths[1].read_text()
    paths = export_motions([motion, motion], tmp_path / "pair.npz", body, [LATER, 0])
    assert [int(np.load(path)["first_frame"]) for path in paths] == [LATER, 0]


def test_unwritable_exports_are_refused(motion, body, tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean \.bvh"):
        export_motions([motion], tmp_path / "dance.bhv", body)
    other = Motion(motion.poses, motion.transl, motion.betas, 30.0, "another:0")
    with pytest.raises(ConfigError, match="betas belong to another:0"):
        export_motions([other], tmp_path / "dance.glb", body)


def test_few_blend_shapes_hold_a_motions_correctives(motion, body):
    skinned = skin_motion(motion, body)
    assert 0 < len(skinned.shapes) <= 8
    assert skinned.shape_weights.min() == pytest.approx(0) and skinned.shape_weights.max() == pytest.approx(1)
    rest = skinned.rest + np.einsum("k,kvc->vc", skinned.rest_weights, skinned.shapes)
    betas = torch.tensor(motion.betas, dtype=torch.float32)[None]
    assert largest_distance(rest, body.rest_vertices(betas)[0].numpy()) < 1e-6
