"""Rendered pixels agree with the annotation."""

import cv2
import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.structures import Camera, MeshSequence
from mviper.synthesis import pose_body
from mviper.synthesis.rendering import CyclesRenderer, RasterRenderer, VideoWriter
from mviper.synthesis.scene import (
    CompassCameras,
    Material,
    OrbitCameras,
    PhoneCameras,
    Scene,
    SceneMesh,
    WideAngleCameras,
)

bpy = pytest.importorskip("bpy")

GLOW = Material(np.array([0.8, 0.8, 0.8]), emission=1.0)


def linear(image: np.ndarray) -> np.ndarray:
    """SRGB uint8 to linear light."""
    value = image.astype(float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def make_cameras(kind: type, keypoints: np.ndarray, count: int, resolution: int) -> list[Camera]:
    """Cameras of one kind: the paper's four, or some in which people fill less of the image.

    Of the handheld ones, one is nearly level, one looks steeply down and one up, both strongly rolled.
    """
    if kind is CompassCameras:
        return kind()(keypoints)
    whole = dict(fill=(0.6, 0.75), cut=0.0) if kind is PhoneCameras else {}
    sampler = kind(count=count, resolution=resolution, **whole)
    drawn = sampler.draw(np.random.default_rng(5))
    if kind is PhoneCameras:
        for one, elevation, roll in zip(drawn["cameras"], (0.1, 0.78, -0.26), (0.05, 0.26, -0.26)):
            one |= dict(elevation=elevation, roll=roll, aim=[0.02, -0.03])
    return sampler(keypoints, drawn)


EVERY_RENDERER = pytest.mark.parametrize(
    "renderer", [CyclesRenderer(samples=16, denoise=False, threads=1), RasterRenderer(samples=4)],
    ids=["cycles", "raster"],
)  # fmt: skip
EVERY_KIND = pytest.mark.parametrize("kind", [CompassCameras, OrbitCameras, PhoneCameras, WideAngleCameras])


@EVERY_RENDERER
@EVERY_KIND
def test_glowing_balls_lie_on_their_keypoints(body, moving, make_sphere, kind, renderer) -> None:
    check_balls(pose_body(body, moving)[1], make_sphere, kind, renderer, 480, [0, 2, 5])


def test_glowing_balls_lie_on_their_keypoints_in_large_pictures_too(body, moving, make_sphere) -> None:
    check_balls(pose_body(body, moving)[1], make_sphere, PhoneCameras, RasterRenderer(samples=4), 1080, [2, 5])


def check_balls(keypoints, make_sphere, kind, renderer, size: int, frames: list[int]) -> None:
    """Compares the centres of glowing balls with the projections of the joints."""
    joints = keypoints[:, :24].astype(np.float64)
    ball, ball_faces = make_sphere(100, 0.009 * 480 / size)
    count = len(ball)
    vertices = (joints[:, :, None] + ball).reshape(len(joints), -1, 3)
    faces = np.concatenate([ball_faces + k * count for k in range(24)])
    cameras = make_cameras(kind, keypoints, 3, size)
    scene = Scene([SceneMesh(MeshSequence(vertices, faces), GLOW)], floor=False)
    errors = []
    for frame, view, image in renderer.render(scene, cameras, frames):
        pixels = cameras[view].project(joints)[frame]
        gaps = np.abs(pixels[:, None] - pixels).max(-1) + 1e3 * np.eye(24)
        light = linear(image).sum(-1)
        for x, y in pixels[gaps.min(1) > 9]:  # balls that do not overlap
            column, row = round(x), round(y)
            window = light[row - 4 : row + 5, column - 4 : column + 5]
            rows, columns = np.mgrid[-4:5, -4:5]
            assert window.sum() > 0.5
            centre = (window * columns).sum() / window.sum(), (window * rows).sum() / window.sum()
            errors.append([column + centre[0] - x, row + centre[1] - y])
    errors = np.array(errors)
    assert len(errors) > 80
    print(f"{kind.__name__}: {len(errors)}, mean {errors.mean(0)}, p99 {np.percentile(np.abs(errors), 99):.3f} px")
    assert np.abs(errors.mean(0)).max() <= 0.05
    assert np.percentile(np.linalg.norm(errors, axis=1), 99) <= 0.3


@EVERY_RENDERER
@EVERY_KIND
def test_silhouette_and_vertices_are_the_bodys(body, moving, kind, renderer) -> None:
    vertices, keypoints = pose_body(body, moving)
    cameras = make_cameras(kind, keypoints, 2, 400)
    scene = Scene([SceneMesh(MeshSequence(vertices, body.faces, name="body"), GLOW)], floor=False)
    frames = [4]
    seen = set()
    for frame, view, image in renderer.render(scene, cameras, frames):
        seen.add((frame, view))
        if isinstance(renderer, CyclesRenderer):  # the rendered mesh, read back from Blender's evaluated scene
            thing = bpy.data.objects["0_body"].evaluated_get(bpy.context.evaluated_depsgraph_get())
            rendered = np.empty(vertices[frame].size, np.float32)
            thing.data.vertices.foreach_get("co", rendered)
            assert np.abs(rendered.reshape(-1, 3) - vertices[frame]).max() < 1e-4
        # The mesh drawn by OpenCV at eight times the size, pixel (0, 0) at the centre of the top-left pixel.
        pixels = cameras[view].project(vertices.astype(np.float64))[frame]
        size = cameras[view].width
        canvas = np.zeros((8 * size, 8 * size), np.uint8)
        fixed = np.round(((pixels + 0.5) * 8 - 0.5) * 16).astype(np.int32)
        for face in body.faces:
            cv2.fillConvexPoly(canvas, fixed[face], 1, shift=4)
        truth = canvas.reshape(size, 8, size, 8).mean((1, 3)) > 0.5
        mask = linear(image).max(-1) > 0.5 * linear(np.full(1, 204))[0]
        iou = (truth & mask).sum() / (truth | mask).sum()
        print(f"frame {frame} {cameras[view].name}: IoU {iou:.4f}")
        assert iou >= 0.98
    assert seen == {(frame, view) for frame in frames for view in range(len(cameras))}


def test_unknown_device() -> None:
    with pytest.raises(ConfigError, match="device"):
        CyclesRenderer(device="tpu")


def test_videos_are_h264_in_groups_of_eight_and_reproducible(tmp_path) -> None:
    import av

    y, x = np.mgrid[:64, :64]
    frames = [np.stack([(x + 3 * k) % 256, y * 2, 128 + 0 * x], -1).astype(np.uint8) for k in range(20)]
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, 30, 64, 64) as writer:
            for frame in frames:
                writer.add(frame)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 30
        decoded = list(container.decode(stream))
    assert len(decoded) == 20
    assert [k for k, frame in enumerate(decoded) if frame.key_frame] == [0, 8, 16]
    assert not any(str(frame.pict_type).endswith("B") for frame in decoded)
    for frame, image in zip(decoded, frames):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - image).mean() < 4
