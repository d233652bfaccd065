"""The z-buffer's images compared with the path tracer's, and its light and shadow with hand-computed cases."""

import cv2
import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.structures import Camera, MeshSequence
from mviper.synthesis.rendering import CyclesRenderer, RasterRenderer
from mviper.synthesis.scene import (
    AreaLights,
    HandheldCameras,
    Material,
    Scene,
    SceneMesh,
    SphericalBackground,
    look_at,
)

SIZE = 160


def plate(height: float, half: float, x: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A horizontal square, seen from above, in 400 faces."""
    grid = np.linspace(-half, half, 15)
    vertices = np.stack([*np.meshgrid(grid + x, grid), np.full((15, 15), height)], -1).reshape(-1, 3)
    corner = (np.arange(14)[:, None] * 15 + np.arange(14)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 16], -1), np.stack([corner, corner + 16, corner + 15], -1)]
    )
    return vertices, faces


def above(height: float) -> Camera:
    """A camera that looks down from almost straight above."""
    R, t = look_at(np.array([[0.0, -0.05 * height, height]]), np.array([[0.0, 0.0, 0.0]]))
    return Camera(np.array([[150.0, 0, 79.5], [0, 150.0, 79.5], [0, 0, 1]]), R, t, SIZE, SIZE, "above")


def sky(light: float, seen: float) -> dict:
    """Uniform light from all directions, and a grey background."""
    return dict(
        kind="sphere", light_image=np.full((8, 16, 3), light, np.float32),
        visible_image=np.full((32, 64, 3), seen, np.float32), light_yaw=0.0, visible_yaw=0.0, visible=1.0, pitch=0.0,
    )  # fmt: skip


def linear(image: np.ndarray) -> np.ndarray:
    value = image.astype(float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def picture(scene: Scene, camera: Camera, **options: object) -> np.ndarray:
    return linear(next(RasterRenderer(**options).render(scene, [camera]))[2])


def test_a_white_surface_under_an_even_sky_sends_back_its_light() -> None:
    vertices, faces = plate(1.0, 0.6)
    scene = Scene([SceneMesh(MeshSequence(vertices[None], faces), Material(np.ones(3)))], background=sky(0.4, 0.1))
    shown = picture(scene, above(4.0))
    assert shown[80, 80] == pytest.approx(0.4, abs=0.01)
    assert shown[2, 2] == pytest.approx(0.1, abs=0.01)


def test_a_lamp_lights_by_distance_and_angle() -> None:
    vertices, faces = plate(0.5, 0.4)
    scene = Scene(
        [SceneMesh(MeshSequence(vertices[None], faces), Material(np.full(3, 0.735), roughness=1.0))], floor=False
    )
    far, height = 1.5, 2.0
    lamp = dict(
        position=np.array([far, 0, 0.5 + height]),
        target=np.array([0.0, 0, 0.5]),
        power=8.0,
        colour=np.ones(3),
        size=0.2,
    )
    scene.lamps = [lamp]
    square = far**2 + height**2
    expected = linear(np.array(0.735 * 255)) * 8.0 / (np.pi**2 * square) * height / np.sqrt(square)
    assert picture(scene, above(4.0))[80, 80, 1] == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("shadows", [True, False])
def test_objects_before_a_lamp_cast_shadows(shadows) -> None:
    floor, floor_faces = plate(0.0, 1.5)
    shade, shade_faces = plate(1.0, 0.3)
    meshes = [
        SceneMesh(MeshSequence(floor[None], floor_faces), Material(np.full(3, 0.8))),
        SceneMesh(MeshSequence(shade[None] + [0.8, 0, 0], shade_faces), Material(np.full(3, 0.8))),
    ]
    # The lamp's ray through the shade's middle meets the floor at x = 0.8 - 0.8 = 0.
    lamp = dict(position=np.array([2.4, 0.0, 3.0]), target=np.zeros(3), power=30.0, colour=np.ones(3), size=0.1)
    shown = picture(Scene(meshes, [lamp], floor=False), above(8.0), shadows=shadows)
    camera = above(8.0)

    def at(x: float, y: float) -> float:
        column, row = camera.project(np.array([[[x, y, 0.0]]]))[0, 0]
        return shown[round(row), round(column), 1]

    assert (at(0.0, 0.0) < 0.1 * at(0.0, 0.9)) == shadows
    assert at(0.0, -0.9) == pytest.approx(at(0.0, 0.9), rel=0.05)


@pytest.mark.parametrize("height", [0.1, 0.3])
def test_the_floor_darkens_by_the_sky_that_is_hidden_from_it(height) -> None:
    vertices, faces = plate(height, 0.3)
    mesh = SceneMesh(MeshSequence(vertices[None], faces), Material(np.ones(3)))
    camera = above(4.0)
    shown = picture(Scene([mesh], background=sky(0.4, 0.3)), camera)[..., 1]

    def left(x: float, half: float) -> float:
        """The fraction of light that a plate leaves at (x, 0): its form factor, summed over small patches."""
        grid = np.linspace(-half, half, 301)
        square = (grid[:, None] - x) ** 2 + grid**2 + height**2
        return 0.3 * (1 - (height**2 / (np.pi * square**2)).sum() * (half / 150) ** 2)

    for x in (0.4, 0.5):
        column, row = camera.project(np.array([[[x, 0.0, 0.0]]]))[0, 0]
        # A cell of the grid is hidden whole, and its shadow is smoothed: the plate may be too large by half a cell.
        assert left(x, 0.33) - 0.02 < shown[round(row), round(column)] < left(x, 0.3) + 0.02
    assert shown[80, 155] == pytest.approx(0.3, abs=0.01)


def test_pictures_are_as_bright_as_the_path_tracers(body, moving) -> None:
    pytest.importorskip("bpy")
    from mviper.synthesis import pose_body

    vertices, keypoints = pose_body(body, moving)
    rng = np.random.default_rng(0)
    sampler, lights, background = HandheldCameras(count=2, resolution=SIZE), AreaLights(), SphericalBackground()
    cameras = sampler(keypoints, sampler.draw(rng))
    lamps = lights.place(lights.draw(rng), keypoints[:, 0].mean(0), 0.5)
    scene = Scene(
        [SceneMesh(MeshSequence(vertices, body.faces, name="body"), Material(np.array([0.7, 0.5, 0.4])))], lamps,
        background.load(background.draw(rng)),
    )  # fmt: skip
    quick = [image.astype(float) for _, _, image in RasterRenderer().render(scene, cameras, [0])]
    slow = [image.astype(float) for _, _, image in CyclesRenderer(16, threads=1).render(scene, cameras, [0])]
    for mine, theirs in zip(quick, slow):
        assert np.abs(mine - theirs).mean() < 6  # of 255; the difference is bounced light and contact with the floor
        assert abs(mine.mean() - theirs.mean()) < 3


@pytest.mark.parametrize("kind", ["near", "far", "steep", "photo", "photo all round"])
def test_backgrounds_stand_where_the_path_tracer_shows_them(kind) -> None:
    pytest.importorskip("bpy")
    rng = np.random.default_rng(1)
    blots = rng.uniform(0.05, 0.8, size=(9, 18, 3)).astype(np.float32)
    picture_ = cv2.resize(blots, (256, 128), interpolation=cv2.INTER_CUBIC).clip(0.02, 0.85)
    even = np.full((8, 16, 3), 1.0, np.float32) * np.float32([1.2, 1.0, 0.7])
    background = dict(kind="photo" if "photo" in kind else "sphere", light_image=even, visible_image=picture_,
                      light_yaw=0.0, visible_yaw=0.7, visible=1.2, pitch=0.1, share=0.7, roll=0.15, place=[0.5, -0.5],
                      min_pixels=30)  # fmt: skip
    focal, height, around = {"near": (90.0, 1.2, 2), "far": (700.0, 1.2, 3), "steep": (70.0, 4.0, 2)}.get(
        kind, (150.0, 1.5, 12 if "all" in kind else 2)
    )
    bearings = 0.3 + 2 * np.pi * np.arange(around) / around
    eyes = np.stack([3 * np.sin(bearings), 3 * np.cos(bearings), np.full(around, height)], -1)
    cameras = []
    for eye in eyes:
        R, t = look_at(eye[None], np.array([[0.0, 0, 0.6]]))
        cameras.append(Camera(np.array([[focal, 0, 79.5], [0, focal, 79.5], [0, 0, 1]]), R, t, SIZE, SIZE, "one"))
    mesh = SceneMesh(MeshSequence(np.array([[[0, 0, 0.01], [0.02, 0, 0.01], [0, 0.02, 0.01]]]), np.array([[0, 1, 2]])),
                     Material(np.ones(3)))  # fmt: skip
    scene = Scene([mesh], background=background)
    quick, slow = (
        [image.astype(float) for _, view, image in renderer.render(scene, cameras) if view < 2]
        for renderer in (RasterRenderer(), CyclesRenderer(4, denoise=False, threads=1))
    )
    for mine, theirs in zip(quick, slow):
        assert np.abs(mine - theirs).mean() < 4 and np.std(theirs) > 15


def test_samples_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="samples"):
        RasterRenderer(samples=0)
