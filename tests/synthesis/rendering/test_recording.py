"""Effects of lens, sensor and encoder: of the drawn strength, and without shifting annotated points."""

import json

import av
import cv2
import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.structures import Camera, MeshSequence
from mviper.synthesis import pose_body
from mviper.synthesis.rendering import CleanRecording, PhoneRecording, RasterRenderer, VideoWriter
from mviper.synthesis.scene import Material, Scene, SceneMesh, look_at

SIZE = 160
#: A phone without any effect.
PLAIN = dict(exposure=0.0, defocus=0.0, gains=[1.0, 1.0, 1.0], noise=0.0, crf=18, seed=1)


def linear(image: np.ndarray) -> np.ndarray:
    value = image.astype(float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def still(frames: int, size: int = SIZE) -> Camera:
    """Looks north at a point 1 m above the origin from 3 m away."""
    R, t = look_at(np.tile([0.0, -3.0, 1.0], (frames, 1)), np.tile([0.0, 0.0, 1.0], (frames, 1)))
    middle = (size - 1) / 2
    return Camera(np.array([[1.2 * size, 0, middle], [0, 1.2 * size, middle], [0, 0, 1.0]]), R, t, size, size, "still")


def record(scene: Scene, camera: Camera, pictures: list[np.ndarray], **effects: object) -> list[np.ndarray]:
    source = ((frame, 0, picture) for frame, picture in enumerate(pictures))
    return [image for _, _, image in PhoneRecording()(source, scene, [camera], [PLAIN | effects])]


@pytest.fixture(scope="module")
def thrown(make_sphere) -> tuple[Scene, Camera, np.ndarray, list[np.ndarray]]:
    """A glowing ball that crosses the image at 12 px per frame on black: scene, camera, centres, images."""
    ball, faces = make_sphere(400, 0.06)
    middles = np.stack([[-0.3 + 0.1875 * k, 0, 1.0 + 0.02 * k] for k in range(4)])
    mesh = MeshSequence(middles[:, None] + ball, faces)
    scene = Scene([SceneMesh(mesh, Material(np.full(3, 0.8), emission=1.0))], floor=False)
    camera = still(4)
    pictures = [image for _, _, image in RasterRenderer(4).render(scene, [camera])]
    return scene, camera, camera.project(middles[:, None])[:, 0], pictures


def middle_and_spread(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    light = linear(picture).sum(-1)
    place = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1)
    middle = (light[..., None] * place).sum((0, 1)) / light.sum()
    return middle, np.sqrt((light[..., None] * (place - middle) ** 2).sum((0, 1)) / light.sum())


def test_smear_is_as_long_as_the_way_and_does_not_move_its_middle(thrown) -> None:
    scene, camera, middles, pictures = thrown
    smeared = record(scene, camera, pictures, exposure=0.8)
    for frame in range(4):
        sharp, spread = middle_and_spread(pictures[frame])
        middle, wider = middle_and_spread(smeared[frame])
        np.testing.assert_allclose(sharp, middles[frame], atol=0.1)
        np.testing.assert_allclose(middle, middles[frame], atol=0.2)
        way = 0.8 * (middles[1] - middles[0])[0]
        # The variance of an even smear of length L is L^2 / 12.
        assert np.sqrt(12 * (wider[0] ** 2 - spread[0] ** 2)) == pytest.approx(way, rel=0.12)
        assert linear(smeared[frame]).sum() == pytest.approx(linear(pictures[frame]).sum(), rel=0.05)


def test_smear_is_what_many_pictures_in_between_show(body, moving) -> None:
    vertices, _ = pose_body(body, moving)
    vertices = vertices[2:5]
    fine = np.concatenate([np.linspace(vertices[k], vertices[k + 1], 10, endpoint=False) for k in (0, 1)])
    camera = still(3, 120)
    uv = (vertices[0] - vertices[0].mean(0))[body.faces][..., [0, 2]]
    board = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((8, 8)))[..., None] * [255, 200, 90] // 1.2 + 20
    skin = Material(np.ones(3), image=board.astype(np.uint8), metres=0.5, emission=1.0)

    def pictures(path: np.ndarray) -> list[np.ndarray]:
        scene = Scene([SceneMesh(MeshSequence(path, body.faces, uv), skin)], floor=False)
        many = Camera(camera.K, *(np.repeat(pose[:1], len(path), 0) for pose in (camera.R, camera.t)), 120, 120)
        return [image for _, _, image in RasterRenderer(2).render(scene, [many])]

    scene = Scene([SceneMesh(MeshSequence(vertices, body.faces, uv), skin)], floor=False)
    truth = linear(np.stack(pictures(fine[6:15]))).mean(0)  # of a shutter open for 0.9 frames centred on the middle one
    sharp = pictures(vertices)
    smeared = linear(record(scene, camera, sharp, exposure=0.9)[1])
    error, without = np.abs(smeared - truth).mean(), np.abs(linear(sharp[1]) - truth).mean()
    print(f"smeared {1000 * error:.2f}, sharp {1000 * without:.2f} of 1000")
    assert error < 0.45 * without


def test_a_turning_camera_smears_the_background(thrown) -> None:
    scene, camera, _, _ = thrown
    eye = np.tile([0.0, -3.0, 1.0], (4, 1))
    R, t = look_at(eye, np.stack([[0.15 * k, 0.0, 1.0] for k in range(4)]))
    turning = Camera(camera.K, R, t, SIZE, SIZE)
    lines = np.zeros((SIZE, SIZE, 3), np.uint8)
    lines[:, ::20] = 200
    across, along = (
        record(scene, turning, [image] * 4, exposure=0.5)[1] for image in (lines, lines.transpose(1, 0, 2))
    )
    assert across[20:60, 10:-10].max() < 120 and along[20:60, 10:-10].max() > 170


def test_gains_noise_and_defocus_are_as_drawn(thrown) -> None:
    scene, camera, _, pictures = thrown
    grey = [np.full((SIZE, SIZE, 3), code, np.uint8) for code in (100, 100, 20, 220)]
    np.testing.assert_array_equal(record(scene, camera, pictures), pictures)  # nothing drawn, nothing applied
    tinted = record(scene, camera, grey, gains=[1.2, 1.0, 0.8])[0]
    assert linear(tinted)[0, 0] == pytest.approx(linear(grey[0])[0, 0] * [1.2, 1.0, 0.8], rel=0.01)
    noisy = record(scene, camera, grey, noise=0.05)
    for frame, share in ((0, 100), (3, 220)):
        light = linear(np.array(share))
        assert linear(noisy[frame]).std() == pytest.approx(0.05 * np.sqrt(light + 0.02), rel=0.05)
        assert linear(noisy[frame]).mean() == pytest.approx(light, abs=0.003)
    assert (noisy[0] != noisy[1]).mean() > 0.8  # different noise in each frame
    np.testing.assert_array_equal(noisy, record(scene, camera, grey, noise=0.05))
    middle, spread = middle_and_spread(pictures[1])
    blurred, wider = middle_and_spread(record(scene, camera, pictures, defocus=0.02)[1])
    np.testing.assert_allclose(blurred, middle, atol=0.1)
    np.testing.assert_allclose(np.sqrt(wider**2 - spread**2), 0.02 * SIZE, rtol=0.05)


def test_points_out_of_focus_become_discs(make_sphere) -> None:
    ball, faces = make_sphere(400, 0.03)
    # The body is 3 m away and sharp; the other balls, beside and behind it, are nearer and farther.
    middles = np.array([[0.0, 0.0, 1.0], [-0.4, -1.0, 1.3], [0.9, 1.5, 0.7], [0.1, 2.5, 1.0]])
    meshes = [
        SceneMesh(MeshSequence((middle + size * ball)[None], faces), Material(np.full(3, 0.8), emission=1.0))
        for middle, size in zip(middles, (4.0, 1.0, 1.0, 8.0))
    ]
    camera, aperture = still(1), 0.15
    scenes = [Scene([mesh], floor=False) for mesh in meshes]
    alone = [next(iter(RasterRenderer(4).render(scene, [camera])))[2] for scene in scenes]
    for middle, mesh, picture in zip(middles[:3], meshes, alone):
        scene = Scene([SceneMesh(MeshSequence(meshes[0].mesh.vertices, faces), mesh.material), mesh], floor=False)
        together = np.maximum(picture, alone[0]) if mesh is not meshes[0] else picture
        blurred = record(scene, camera, [together], aperture=aperture)[0]
        disc = aperture * camera.K[0, 0] * abs(1 / (middle[1] + 3) - 1 / 3)
        window = np.zeros((SIZE, SIZE, 1), bool)
        column, row = np.round(camera.project(middle[None, None])[0, 0]).astype(int)
        window[row - 20 : row + 21, column - 20 : column + 21] = True
        place, spread = middle_and_spread(picture * window)
        moved, wider = middle_and_spread(blurred * window)
        np.testing.assert_allclose(moved, place, atol=0.15)
        # The variance of an even disc along an axis is a sixteenth of its squared diameter.
        np.testing.assert_allclose(wider**2 - spread**2, disc**2 / 16, rtol=0.25, atol=0.06)
    # A large blurred ball behind the sharp one does not bleed over it.
    both = np.where(alone[0] > 0, np.uint8(40), alone[3])
    blurred = record(Scene([meshes[0], meshes[3]], floor=False), camera, [both], aperture=aperture)[0]
    inside = cv2.erode(alone[0].max(-1), np.ones((5, 5))) > 0
    assert inside.sum() > 50 and np.abs(blurred[inside].astype(int) - 40).max() <= 1


def test_draws_are_plain_seeded_and_in_range() -> None:
    sampler = PhoneRecording()
    drawn = sampler.draw(np.random.default_rng(3), 200)
    assert drawn == sampler.draw(np.random.default_rng(3), 200) and json.loads(json.dumps(drawn)) == drawn
    assert CleanRecording().draw(np.random.default_rng(3), 2) == [dict(crf=18)] * 2
    values = {name: np.array([one[name] for one in drawn]) for name in drawn[0]}
    assert 0.4 < values["exposure"].max() <= 0.8 and np.median(values["exposure"]) < 0.25
    assert {int(crf) for crf in values["crf"]} == set(range(18, 35))
    assert 0.004 <= values["noise"].min() and values["noise"].max() <= 0.04
    off = PhoneRecording((0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (18, 18)).draw(np.random.default_rng(0), 1)[0]
    assert off | dict(seed=1) == PLAIN | dict(aperture=0.0)


@pytest.mark.parametrize(
    "bad", [dict(exposure=(0, 2)), dict(noise=(0.1, 0.0)), dict(crf=(18, 60)), dict(defocus=(-1, 0))]
)
def test_bad_ranges(bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        PhoneRecording(**bad)


def test_a_drawn_quality_is_the_encoders(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(4)]
    for crf in (18, 34):
        with VideoWriter(tmp_path / f"{crf}.mp4", 30, 64, 64, crf) as writer:
            for frame in frames:
                writer.add(frame)
    fine, coarse = ((tmp_path / f"{crf}.mp4").stat().st_size for crf in (18, 34))
    assert coarse < 0.5 * fine
    with av.open(str(tmp_path / "34.mp4")) as video:
        assert len(list(video.decode(video=0))) == 4
