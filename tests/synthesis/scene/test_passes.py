"""Per-pixel annotation compared with ray casting, and its files."""

import zipfile

import numpy as np
import pytest

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import load_npz
from mviper.structures import Camera, MeshSequence
from mviper.structures.passes import IMAGE_PASSES, PassFile
from mviper.synthesis.scene import HandheldCameras, Material, SceneMesh
from mviper.synthesis.scene.passes import check_passes, view_passes, write_passes

PLAIN = Material(np.array([0.5, 0.5, 0.5]))
SIZE, FRAMES = 64, 3


@pytest.fixture(scope="module")
def scene(make_sphere) -> tuple[list[SceneMesh], Camera]:
    """A ball, a smaller one that passes in front of it, and a shaking camera at 3 m."""
    ball, faces = make_sphere(900, 0.5)
    centre = np.array([0.0, 0.0, 1.0])
    large = np.stack([ball + centre + [0.02 * k, 0, 0.01 * k] for k in range(FRAMES)])
    joints = large[:, ::60]
    sampler = HandheldCameras(count=1, resolution=SIZE)
    camera = sampler(joints, sampler.draw(np.random.default_rng(2)))[0]
    towards = -np.einsum("tji,tj->ti", camera.R, camera.t)[0] - centre
    towards /= np.linalg.norm(towards)
    small = np.stack([0.3 * ball + centre + 0.9 * towards + [0.1 - 0.1 * k, 0, 0.15] for k in range(FRAMES)])
    meshes = [
        SceneMesh(MeshSequence(large, faces, name="body"), PLAIN, np.zeros(len(ball), int)),
        SceneMesh(MeshSequence(small, faces, np.zeros((len(faces), 3, 2)), "cape"), PLAIN, garment=True),
    ]
    return meshes, camera


@pytest.fixture(scope="module")
def passes(scene) -> dict[tuple[str, int], np.ndarray]:
    return {(name, frame): values for name, frame, values in view_passes(*scene, IMAGE_PASSES)}


def cast(meshes: list[SceneMesh], camera: Camera, frame: int, pixel: tuple[int, int]):
    """Moeller and Trumbore's intersection (1997) of a pixel's ray: mesh, face, barycentric weights, z; or None."""
    ray = camera.R[frame].T @ np.linalg.inv(camera.K) @ [*pixel, 1.0]
    eye = -camera.R[frame].T @ camera.t[frame]
    best = None
    for index, part in enumerate(meshes):
        a, b, c = (part.mesh.vertices[frame][part.mesh.faces[:, k]].astype(float) for k in range(3))
        normal = np.cross(ray, c - a)
        determinant = ((b - a) * normal).sum(1)
        u = ((eye - a) * normal).sum(1) / determinant
        q = np.cross(eye - a, b - a)
        v, z = q @ ray / determinant, ((c - a) * q).sum(1) / determinant
        hits = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (z > 0), z, np.inf)
        face = int(hits.argmin())
        if np.isfinite(hits[face]) and (best is None or hits[face] < best[3]):
            best = index, face, np.array([1 - u[face] - v[face], u[face], v[face]]), hits[face]
    return best


def test_against_ray_casting(scene, passes) -> None:
    meshes, camera = scene
    rng = np.random.default_rng(0)
    errors, seen, hidden = [], set(), 0
    for draw in range(400):
        frame, (x, y) = int(rng.integers(FRAMES - 1)), rng.integers(SIZE, size=2)
        if draw % 2:  # a pixel of the balls
            y, x = rng.choice(np.argwhere(passes["segmentation", frame]))
        hit = cast(meshes, camera, frame, (x, y))
        label, depth = passes["segmentation", frame][y, x], passes["depth", frame][y, x]
        normal, flow = passes["normals", frame][y, x], passes["flow", frame][y, x]
        if hit is None:
            assert label == 0 and np.isinf(depth) and not normal.any()
            # The background is at infinity: a far point in the ray's direction, seen by the next frame's camera.
            eye = -camera.R[frame].T @ camera.t[frame]
            place = eye + 1e7 * (camera.R[frame].T @ np.linalg.inv(camera.K) @ [x, y, 1.0])
        else:
            mesh, face, weights, z = hit
            seen.add(mesh)
            part = meshes[mesh].mesh
            assert label == mesh + 1
            errors.append(abs(depth - z))
            vertices = part.vertices[:, part.faces[face]]
            # The balls' own normals, in the camera's axes.
            middle = part.vertices[frame].mean(0)
            true = camera.R[frame] @ (weights @ vertices[frame] - middle)
            assert normal @ true / np.linalg.norm(true) > np.cos(np.radians(2))
            assert np.linalg.norm(normal) == pytest.approx(1, abs=1e-5) and normal[2] < 0.1
            place = weights @ vertices[frame + 1]
        later = Camera(camera.K, camera.R[[frame + 1]], camera.t[[frame + 1]], SIZE, SIZE)
        target = later.project(place[None, None])[0, 0]
        np.testing.assert_allclose(flow[:2], target - (x, y), atol=1e-3)
        # Visible in the next frame if the nearest pixel's ray hits the same object there.
        column, row = np.round(target).astype(int)
        if not (0 <= column < SIZE and 0 <= row < SIZE):
            assert flow[2] == 0
        else:
            again = cast(meshes, camera, frame + 1, (column, row))
            if hit is None or again is None:
                assert flow[2] == (hit is None and again is None)
            else:
                z = later.to_camera(place[None, None])[0, 0, 2]
                assert flow[2] == (again[0] == mesh and z - again[3] < 0.02 + 2 * z / camera.K[0, 0])
        hidden += flow[2] == 0
    print(f"depth: {len(errors)} pixels, largest error {1000 * max(errors):.4f} mm")
    assert seen == {0, 1} and len(errors) > 150 and max(errors) < 1e-3 and hidden > 5


def test_files_give_back_what_was_computed(scene, passes, tmp_path) -> None:
    meshes, camera = scene
    names = check_passes(["vertices", "flow", "depth", "garments", "segmentation", "normals"])
    assert names == ["segmentation", "depth", "normals", "flow", "garments", "vertices"]
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_passes(folder, names, meshes, [camera])
        assert {path.name for path in folder.iterdir()} == {
            "handheld_0_passes.zip", "garments.npz", "vertices.npz",
        }  # fmt: skip
    assert (tmp_path / "a/handheld_0_passes.zip").read_bytes() == (tmp_path / "b/handheld_0_passes.zip").read_bytes()
    stored = PassFile(tmp_path / "a/handheld_0_passes.zip")
    assert stored.labels == ("background", "body", "cape") and stored.names == IMAGE_PASSES
    assert (stored.frames, stored.width, stored.height) == (FRAMES, SIZE, SIZE)
    for (name, frame), values in passes.items():
        read = stored.read(name, frame)
        assert read.dtype == values.dtype and read.shape == values.shape
        if name == "segmentation":
            np.testing.assert_array_equal(read, values)
        else:
            there = np.isfinite(values)
            np.testing.assert_array_equal(np.isfinite(read), there)
            limit = {"depth": 1e-4, "normals": 0.01, "flow": 0.01}[name]
            assert np.abs(read[there] - values[there]).max() <= limit
    np.testing.assert_array_equal(stored.read("flow", 0)[..., 2], passes["flow", 0][..., 2])
    np.testing.assert_allclose(load_npz(tmp_path / "a/vertices.npz")["vertices"], meshes[0].mesh.vertices, atol=1e-6)
    garments = load_npz(tmp_path / "a/garments.npz")
    assert set(garments) == {"cape_vertices", "cape_faces", "cape_uv"}


def test_long_hair_covers_as_cloth_does_but_is_not_stored_as_a_garment(scene, tmp_path) -> None:
    meshes, camera = scene
    hair = SceneMesh(MeshSequence(meshes[1].mesh.vertices, meshes[1].mesh.faces, meshes[1].mesh.uv, "hair"), PLAIN)
    write_passes(tmp_path, ["garments"], [*meshes, hair], [camera])
    assert not any(name.startswith("hair") for name in load_npz(tmp_path / "garments.npz"))


def test_only_what_was_asked_for(scene, tmp_path) -> None:
    meshes, camera = scene
    write_passes(tmp_path, [], meshes, [camera])
    assert not list(tmp_path.iterdir())
    write_passes(tmp_path, ["depth"], meshes, [camera])
    stored = PassFile(tmp_path / "handheld_0_passes.zip")
    assert stored.names == ("depth",)
    with zipfile.ZipFile(stored.path) as archive:
        assert archive.namelist() == ["passes.json", *(f"depth/{frame:06d}.png" for frame in range(FRAMES))]
    for name, frame in (("flow", 0), ("depth", FRAMES)):
        with pytest.raises(MissingDataError, match=name):
            stored.read(name, frame)


@pytest.mark.parametrize("bad", ["depth", ["dept"], [1], None])
def test_unknown_passes(bad: object) -> None:
    with pytest.raises(ConfigError, match="segmentation, depth, normals, flow, garments, vertices"):
        check_passes(bad)


def test_damaged_archives(scene, tmp_path) -> None:
    meshes, camera = scene
    write_passes(tmp_path, ["segmentation"], meshes, [camera])
    path = tmp_path / "handheld_0_passes.zip"
    content = path.read_bytes()
    for damaged in (b"", content[:200], b"x" * 500, content[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match="handheld_0_passes"):
            PassFile(path)
    start = content.index(b"IDAT")
    path.write_bytes(content[:start] + bytes(40) + content[start + 40 :])
    with pytest.raises(FileFormatError, match="handheld_0_passes"):
        PassFile(path).read("segmentation", 0)
    with pytest.raises(FileFormatError, match="no such file"):
        PassFile(tmp_path / "none.zip")
