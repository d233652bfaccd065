"""The body model: exactness, file formats, untrusted files."""

import copyreg
import os
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse
import smplx
import torch
from open_body.assembly import BodyModel, thinner_body, write_pkl
from open_body.poses import random_poses
from scipy.spatial.transform import Rotation
from smplx.vertex_ids import vertex_ids

from mviper.body import SMPL
from mviper.body.rotations import axis_angle_to_matrix
from mviper.body.smpl import OPEN_BODY, load_body_arrays
from mviper.errors import FileFormatError
from mviper.registry import MODELS
from mviper.structures import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS, mirror_indices


@pytest.fixture(scope="module")
def arrays():
    return load_body_arrays(OPEN_BODY)


@pytest.fixture(scope="module")
def body():
    return MODELS.build({"type": "SMPL"})


@pytest.fixture(scope="module")
def posed():
    """Betas (6, 10), rotations (6, 24, 3, 3) and translations (6, 3) of six random people, with rotated roots."""
    rng = np.random.default_rng(3)
    poses = random_poses(6, rng)
    poses[:, 0] = Rotation.random(6, random_state=1).as_rotvec()
    rotmat = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(6, 24, 3, 3)
    return rng.normal(size=(6, 10)), rotmat, rng.normal(size=(6, 3))


def tensors(posed):
    return [torch.tensor(part, dtype=torch.float32) for part in posed]


def reference_lbs(arrays, betas, rotmat, transl):
    """SMPL for one person as in its paper, in float64 loops."""
    shaped = arrays["v_template"] + arrays["shapedirs"] @ betas
    joints = arrays["J_regressor"] @ shaped
    world = np.zeros((24, 4, 4))
    for joint, parent in enumerate(SMPL_PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotmat[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
        world[joint] = local if joint == 0 else world[parent] @ local
    corrected = shaped + arrays["posedirs"] @ (rotmat[1:] - np.eye(3)).ravel()
    vertices = np.zeros_like(shaped)
    for joint in range(24):
        moved = (corrected - joints[joint]) @ world[joint, :3, :3].T + world[joint, :3, 3]
        vertices += arrays["weights"][:, joint, None] * moved
    return vertices + transl, world[:, :3, 3] + transl


def test_posed_vertices_equal_a_float64_lbs(body, arrays, posed):
    output = body(*tensors(posed))
    for index in range(6):
        vertices, joints = reference_lbs(arrays, *(part[index] for part in posed))
        np.testing.assert_allclose(output.vertices[index].numpy(), vertices, atol=1e-5)
        np.testing.assert_allclose(output.joints[index, :24].numpy(), joints, atol=1e-5)
        surface = arrays["extra_regressor"] @ vertices
        np.testing.assert_allclose(output.joints[index, 24:].numpy(), surface, atol=1e-5)


def test_keypoints_without_vertices_are_the_same(body, posed):
    full, quick = body(*tensors(posed)), body(*tensors(posed), return_vertices=False)
    assert quick.vertices is None
    torch.testing.assert_close(quick.joints, full.joints, atol=2e-6, rtol=0)


def test_rest_helpers(body, posed):
    betas = tensors(posed)[0]
    output = body(betas, torch.eye(3).expand(6, 24, 3, 3))
    torch.testing.assert_close(body.rest_vertices(betas), output.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(body.rest_joints(betas), output.joints[:, :24], atol=1e-5, rtol=0)


def test_gradients_reach_shape_pose_and_place(body, posed):
    parts = [part[:2].requires_grad_() for part in tensors(posed)]
    for return_vertices in (True, False):
        output = body(*parts, return_vertices=return_vertices)
        gradients = torch.autograd.grad(output.joints.square().sum(), parts)
        assert all(torch.isfinite(gradient).all() and gradient.abs().max() > 0 for gradient in gradients)


def test_nothing_of_the_body_goes_into_checkpoints(body):
    assert not body.state_dict()


def test_npz_and_pkl_of_the_same_body_agree(body, posed, tmp_path, arrays):
    path = tmp_path / "twin.pkl"
    stored = {key: value.astype(np.float32) if value.dtype == np.float64 else value for key, value in arrays.items()}
    write_pkl(path, BodyModel(stored, [], np.arange(body.num_vertices)))
    twin = SMPL(path)
    assert twin.body_model_id == body.body_model_id
    assert twin.body_model_id.startswith("open_body:")
    ours, theirs = body(*tensors(posed)), twin(*tensors(posed))
    assert torch.equal(ours.vertices, theirs.vertices) and torch.equal(ours.joints, theirs.joints)
    np.testing.assert_array_equal(body.uv_faces, twin.uv_faces)
    # And the original smplx reads the pickle, with its default landmark vertices.
    genuine = smplx.SMPL(str(path), create_transl=False)
    betas, rotmat, _ = tensors(posed)
    vertices = genuine(betas=betas, global_orient=rotmat[:, :1], body_pose=rotmat[:, 1:], pose2rot=False).vertices
    torch.testing.assert_close(vertices, body(betas, rotmat).vertices, atol=1e-6, rtol=0)


def test_num_betas(tmp_path, posed):
    betas, rotmat, _ = tensors(posed)
    small = SMPL(num_betas=4)
    assert small.num_betas == 4
    padded = torch.cat([betas[:, :4], torch.zeros(6, 6)], 1)
    torch.testing.assert_close(small(betas[:, :4], rotmat).vertices, SMPL()(padded, rotmat).vertices)
    with pytest.raises(FileFormatError, match="10 shape directions"):
        SMPL(num_betas=11)


# ---------------------------------------------------------------------------------------------------- foreign files


def licensed_like(arrays):
    """The content of a licensed SMPL file, without our additions."""
    keys = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
    return {key: arrays[key] for key in keys}


@pytest.fixture
def fake_chumpy(monkeypatch):
    """A module ``chumpy.ch`` whose objects pickle like chumpy's, and which is absent when files are read."""

    class Ch:
        def __init__(self, array):
            self.x = array

        def __reduce_ex__(self, protocol):
            return copyreg._reconstructor, (type(self), object, None), {"x": self.x, "_dirty_vars": set()}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    chumpy, ch = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    ch.Ch, chumpy.ch = Ch, ch
    monkeypatch.setitem(sys.modules, "chumpy", chumpy)
    monkeypatch.setitem(sys.modules, "chumpy.ch", ch)
    return ch


@pytest.mark.parametrize("protocol", [2, 4])
def test_chumpy_pickle_reads_without_chumpy(fake_chumpy, arrays, body, posed, tmp_path, protocol, monkeypatch):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    content = licensed_like(arrays)
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        content[key] = fake_chumpy.Ch(content[key])
    content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
    path.write_bytes(pickle.dumps(content, protocol))
    monkeypatch.delitem(sys.modules, "chumpy")
    monkeypatch.delitem(sys.modules, "chumpy.ch")

    licensed = SMPL(path)
    assert licensed.body_model_id.startswith("SMPL_NEUTRAL:") and licensed.uv is None
    torch.testing.assert_close(licensed(*tensors(posed)).vertices, body(*tensors(posed)).vertices)
    # Without an extra regressor, the one fitted from smplx's landmark ids agrees with the shipped one.
    difference = (licensed(*tensors(posed)).joints - body(*tensors(posed)).joints).norm(dim=-1)
    assert difference.max() < 0.015


def test_python_2_style_sparse_matrix(arrays, tmp_path):
    """Old scipy pickles name ``scipy.sparse.csc`` and keep ``_shape``."""
    matrix = scipy.sparse.csc_matrix(arrays["J_regressor"])
    content = {**licensed_like(arrays), "J_regressor": matrix}
    data = pickle.dumps(content, 2).replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
    assert b"scipy.sparse.csc\n" in data
    (tmp_path / "old.pkl").write_bytes(data)
    read = load_body_arrays(tmp_path / "old.pkl")
    np.testing.assert_array_equal(read["J_regressor"], arrays["J_regressor"])


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_malicious_pickle_is_refused_and_not_run(arrays, tmp_path):
    mark, path = tmp_path / "owned", tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({**licensed_like(arrays), "J": Evil(mark)}))
    with pytest.raises(FileFormatError, match=r"bad\.pkl.*not allowed"):
        SMPL(path)
    assert not mark.exists()


def test_malicious_object_array_in_npz_is_refused(tmp_path):
    mark, path = tmp_path / "owned", tmp_path / "bad.npz"
    np.savez(path, v_template=np.array([Evil(mark)], dtype=object))
    with pytest.raises(FileFormatError, match=r"bad\.npz"):
        SMPL(path)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pkl", ".npz"])
def test_truncated_file(suffix, arrays, tmp_path):
    path = tmp_path / f"cut{suffix}"
    whole = OPEN_BODY.read_bytes() if suffix == ".npz" else pickle.dumps(licensed_like(arrays))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=f"cut{suffix}"):
        SMPL(path)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"weights": None}, "lacks weights"),
        ({"weights": np.zeros((6890, 23))}, "weights has shape"),
        ({"f": np.full((4, 3), 9999)}, "refers to vertices outside"),
        ({"posedirs": "none"}, "not an array of numbers"),
        ({"shapedirs": np.full((6890, 3, 10), np.nan)}, "shapedirs contains NaN or infinite values"),
        ({"weights": np.zeros((6890, 24))}, "weights has rows that do not sum to 1"),
        ({"J_regressor": np.full((24, 6890), 0.5)}, "J_regressor has rows that do not sum to 1"),
        ({"extra_regressor": np.zeros((20, 6890), np.int16)}, "extra_regressor has rows that do not sum to 1"),
    ],
)
def test_wrong_content(change, message, arrays, tmp_path):
    content = {key: value for key, value in {**licensed_like(arrays), **change}.items() if value is not None}
    (tmp_path / "wrong.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(FileFormatError, match=f"wrong.pkl.*{message}"):
        SMPL(tmp_path / "wrong.pkl")


def test_not_a_dict_not_a_model_not_there(tmp_path):
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    for name, message in (("list.pkl", "list"), ("absent.pkl", "cannot be opened"), ("absent.npz", "no such file")):
        with pytest.raises(FileFormatError, match=f"{name}.*{message}"):
            SMPL(tmp_path / name)
    (tmp_path / "body.obj").write_text("v 0 0 0")
    with pytest.raises(FileFormatError, match=r"expected \.npz or \.pkl"):
        SMPL(tmp_path / "body.obj")


def test_any_vertex_count(arrays, tmp_path):
    """A toy body of 8 vertices works with an extra regressor; without one, the error gives the reason."""
    corners = np.stack(np.meshgrid([-0.2, 0.2], [-1.0, 0.7], [-0.1, 0.1], indexing="ij"), -1).reshape(-1, 3)
    content = {
        "v_template": corners,
        "shapedirs": np.zeros((8, 3, 10)),
        "posedirs": np.zeros((8, 3, 207)),
        "J_regressor": np.full((24, 8), 1 / 8),
        "weights": np.full((8, 24), 1 / 24),
        "f": np.array([[0, 1, 2], [1, 3, 2]]),
        "kintree_table": arrays["kintree_table"],
    }
    (tmp_path / "toy.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(FileFormatError, match="no extra_regressor"):
        SMPL(tmp_path / "toy.pkl")
    content["extra_regressor"] = np.full((20, 8), 1 / 8)
    (tmp_path / "toy.pkl").write_bytes(pickle.dumps(content))
    toy = SMPL(tmp_path / "toy.pkl")
    output = toy(torch.zeros(2, 10), axis_angle_to_matrix(torch.randn(2, 24, 3)))
    assert output.vertices.shape == (2, 8, 3) and output.joints.shape == (2, 44, 3)


# ------------------------------------------------------------------------------------------------- the shipped body


def test_mirroring_pose_and_people_mirrors_everything(body, posed):
    betas, rotmat, _ = tensors(posed)
    flip = torch.diag(torch.tensor([-1.0, 1, 1]))
    partner = mirror_indices(SMPL_JOINTS)
    mirrored = body(betas, flip @ rotmat[:, partner] @ flip)
    output = body(betas, rotmat)
    torch.testing.assert_close(mirrored.joints, output.joints[:, mirror_indices(KEYPOINTS)] @ flip, atol=2e-5, rtol=0)
    torch.testing.assert_close(mirrored.vertices, output.vertices[:, body.mirror_vertices] @ flip, atol=2e-5, rtol=0)


def point(joints, name):
    return joints[KEYPOINTS.index(name)]


def test_rest_pose_is_smpls(body):
    joints = body(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).joints[0]
    height = np.ptp(body.template[:, 1].numpy())
    assert 1.6 < height < 1.8
    assert point(joints, "pelvis").norm() < 0.01
    assert point(joints, "left_hip")[0] > 0.05, "the left side is +x"
    assert point(joints, "nose")[2] > point(joints, "head")[2] + 0.05, "it faces +z"
    for side, sign in (("left", 1), ("right", -1)):
        arm = point(joints, f"{side}_wrist") - point(joints, f"{side}_shoulder")
        assert sign * arm[0] > 0.99 * arm.norm(), "arms along x"
        shoulder, neck, collar = (point(joints, name) for name in (f"{side}_shoulder", "neck", f"{side}_collar"))
        rise = torch.rad2deg(torch.atan2(shoulder[1] - collar[1], (shoulder[0] - collar[0]).abs()))
        assert -25 < rise < 15, "collars are not shrugged"
        assert shoulder[1] < neck[1]
    assert point(joints, "left_bigtoe")[2] > point(joints, "left_heel")[2] + 0.15
    assert abs(point(joints, "left_hip_extra")[0]) > abs(point(joints, "left_hip")[0]) + 0.01
    order = ("left_ankle", "left_knee", "pelvis", "spine_1", "spine_2", "spine_3", "neck", "head", "headtop")
    heights = [float(point(joints, name)[1]) for name in order]
    assert heights == sorted(heights)


def test_smplx_default_landmarks_are_anatomically_right(body):
    """smplx selects these vertices by index; on this body they must be the same parts as on SMPL."""
    vertices = body.template.numpy()
    joints = body(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).joints[0].numpy()
    at = {name: vertices[index] for name, index in vertex_ids["smplh"].items()}
    floor, head = vertices[:, 1].min(), point(joints, "head")
    assert abs(at["nose"][0]) < 0.005 and at["nose"][2] == max(at[name][2] for name in ("nose", "leye", "reye"))
    for side, sign in (("l", 1), ("r", -1)):
        upper = side.upper()
        assert 0.02 < sign * at[f"{side}eye"][0] < 0.05 and at[f"{side}eye"][1] > at["nose"][1]
        assert 0.06 < sign * at[f"{side}ear"][0] < 0.1 and at[f"{side}ear"][1] > head[1]
        assert at[f"{side}ear"][2] < at[f"{side}eye"][2] - 0.05
        hand = joints[SMPL_JOINTS.index("left_hand" if side == "l" else "right_hand")]
        tips = [at[side + finger] for finger in ("thumb", "index", "middle", "ring", "pinky")]
        assert all(np.linalg.norm(tip - hand) < 0.13 for tip in tips)
        assert all(sign * tip[0] > sign * hand[0] + 0.03 for tip in tips[1:])
        assert [tip[2] for tip in tips] == sorted((tip[2] for tip in tips), reverse=True), "thumbs point forward"
        for name in ("BigToe", "SmallToe", "Heel"):
            assert at[upper + name][1] < floor + 0.06
        assert sign * at[f"{upper}BigToe"][0] < sign * at[f"{upper}SmallToe"][0]
        assert at[f"{upper}Heel"][2] < at[f"{upper}SmallToe"][2] < at[f"{upper}BigToe"][2]


def test_file_size_and_numbers(arrays, body):
    assert OPEN_BODY.stat().st_size <= 4e6
    assert body.num_vertices == 6890 and body.num_betas == 10
    np.testing.assert_allclose(arrays["weights"].sum(1), 1, atol=1e-6)
    assert arrays["weights"].min() >= 0
    np.testing.assert_allclose(arrays["J_regressor"].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(arrays["extra_regressor"].sum(1), 1, atol=1e-6)
    assert arrays["extra_regressor"].min() >= 0
    np.testing.assert_array_equal(arrays["kintree_table"][0, 1:], SMPL_PARENTS[1:])


def test_surface_is_closed_and_outside_out(body):
    edges = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges) and all((b, a) in directed for a, b in directed)
    corner = body.template.numpy()[body.faces]
    volume = np.einsum("ij,ij->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])) / 6
    assert 0.05 < volume < 0.08  # [m^3]


def test_no_texture_face_is_flipped(body):
    corner = body.uv[body.uv_faces]
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    assert (area > 0).all() and (body.uv >= 0).all() and (body.uv <= 1).all()


def test_joint_regressor_on_held_out_bodies(arrays, repository):
    """Twelve held-out adults, written by the builder with MakeHuman's own joints."""
    with np.load(repository / "tests" / "body" / "data" / "held_out_bodies.npz") as file:
        vertices, joints = file["vertices"] * 5e-5, file["joints"] * 5e-5
    found = np.einsum("jv,nvc->njc", arrays["J_regressor"], vertices)
    error = 1e3 * np.linalg.norm(found - joints, axis=-1).mean(0)  # [mm]
    assert error.mean() <= 5
    for name in ("left_knee", "right_knee", "spine_3"):
        assert error[SMPL_JOINTS.index(name)] <= 8
    # And the shape space can represent these people.
    basis = arrays["shapedirs"].reshape(-1, 10)
    centred = (vertices - arrays["v_template"]).reshape(len(vertices), -1).T
    rest = centred - basis @ np.linalg.lstsq(basis, centred, rcond=None)[0]
    assert 1e3 * np.linalg.norm(rest.T.reshape(vertices.shape), axis=-1).mean() < 6


def test_body_of_another_vertex_count_as_pickle(arrays, body, posed, tmp_path):
    """The same people on a coarser mesh: same joints and keypoints; slices and mirroring still work."""
    path = tmp_path / "coarse.pkl"
    write_pkl(path, thinner_body(arrays, 4000, "coarse"))
    coarse = SMPL(path)
    assert coarse.num_vertices == 4000 and coarse.body_model_id.startswith("coarse:")
    fine_joints, coarse_joints = body(*tensors(posed)).joints, coarse(*tensors(posed)).joints
    assert (fine_joints - coarse_joints).norm(dim=-1).mean() < 0.004
    test_surface_is_closed_and_outside_out(coarse)
    test_no_texture_face_is_flipped(coarse)
    test_mirroring_pose_and_people_mirrors_everything(coarse, posed)
