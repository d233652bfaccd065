"""The annotation passes compared with Blender's rendering and its ray casting."""

import cv2
import numpy as np
import pytest

from mviper.structures import MeshSequence
from mviper.synthesis import pose_body
from mviper.synthesis.rendering import CyclesRenderer, RasterRenderer
from mviper.synthesis.scene import (
    CompassCameras,
    Material,
    OrbitCameras,
    PhoneCameras,
    Scene,
    SceneMesh,
    WideAngleCameras,
)
from mviper.synthesis.scene.annotation import vertex_parts
from mviper.synthesis.scene.passes import IMAGE_PASSES, view_passes

bpy = pytest.importorskip("bpy")

SIZE, FRAMES = 250, 2


def blots(seed: int, side: int, channel: int) -> np.ndarray:
    """An image of random blots in one colour channel, near its full strength, uint8 (side, side, 3)."""
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), side / 40)[side : 2 * side, side : 2 * side]
    picture = np.zeros((side, side, 3), np.uint8)
    picture[..., channel] = 230 + 25 * np.tanh(1.5 * smooth / smooth.std())
    return picture


def linear(image: np.ndarray) -> np.ndarray:
    """SRGB in [0, 255] to linear light."""
    value = image.astype(float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def glow(rest: np.ndarray, faces: np.ndarray, seed: int, channel: int) -> tuple[np.ndarray, Material]:
    """Texture coordinates from the rest pose, seen from the front, and a texture that needs no light."""
    uv = rest[faces][..., [0, 2]]
    return uv, Material(np.ones(3), image=blots(seed, 128, channel), metres=1.0, emission=1.0)


@pytest.mark.parametrize(
    "renderer", [CyclesRenderer(8, denoise=False, threads=1), RasterRenderer(3)], ids=["cycles", "raster"]
)
@pytest.mark.parametrize("kind", [CompassCameras, OrbitCameras, PhoneCameras, WideAngleCameras])
def test_passes_agree_with_the_picture(body, moving, kind, renderer) -> None:
    vertices, keypoints = (values[2 : 2 + FRAMES] for values in pose_body(body, moving))
    rest = vertices[0] - vertices[0].mean(0)
    parts = vertex_parts(body.weights)
    middle = vertices.mean(1, keepdims=True)
    trunk = np.isin(parts, [0, 3, 6, 9])
    shirt_faces = body.faces[trunk[body.faces].all(1)]
    uv, skin = glow(rest, body.faces, 0, 0)
    shirt_uv, cloth = glow(rest, shirt_faces, 1, 2)
    meshes = [
        SceneMesh(MeshSequence(vertices, body.faces, uv, "body"), skin, parts),
        SceneMesh(
            MeshSequence(middle + (vertices - middle) * [1.15, 1.15, 1.02], shirt_faces, shirt_uv, "shirt"), cloth
        ),
    ]
    # Behind them a panorama of green blots.
    panorama = linear(np.tile(blots(2, 256, 1), (1, 2, 1))).astype(np.float32)
    background = dict(
        kind="sphere", light_image=panorama[:2, :2], visible_image=panorama, light_yaw=0.0, visible_yaw=1.0,
        visible=np.pi / 2, pitch=0.0,
    )  # fmt: skip
    options = {CompassCameras: dict(views=("south",)), PhoneCameras: dict(count=1, fill=(0.8, 0.84), cut=0.0)}
    sampler = kind(resolution=SIZE, **options.get(kind, dict(count=1)))
    drawn = sampler.draw(np.random.default_rng(1))
    if kind is PhoneCameras:
        drawn["cameras"][0] |= dict(elevation=0.5, roll=0.26, aim=[0.02, -0.03])
    cameras = sampler(keypoints, drawn)
    camera = cameras[0]
    scene = Scene(meshes, background=background, floor=False)
    pictures = [image.astype(np.float32) for _, _, image in renderer.render(scene, cameras)]
    passes = {(name, frame): values for name, frame, values in view_passes(meshes, camera, IMAGE_PASSES)}

    # Segmentation: each object has its own colour channel.
    for frame in range(FRAMES):
        shown = np.array([1, 0, 2])[linear(pictures[frame]).argmax(-1)]
        for label in (1, 2):
            truth, seen = passes["segmentation", frame] == label, shown == label
            iou = (truth & seen).sum() / (truth | seen).sum()
            print(f"{kind.__name__} frame {frame} label {label}: IoU {iou:.4f} of {truth.sum()} pixels")
            assert iou >= 0.96 and truth.sum() > 200

    # Flow: the next image, sampled where the flow points, equals this one.
    flow = passes["flow", 0]
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    warped = cv2.remap(pictures[1], x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    for name, where in (("person", passes["segmentation", 0] > 0), ("background", passes["segmentation", 0] == 0)):
        where = where & (flow[..., 2] > 0)
        error = np.abs(warped - pictures[0])[where].mean()
        without = np.abs(pictures[1] - pictures[0])[where].mean()
        print(f"{kind.__name__} {name}: warped {error:.2f}, no warp {without:.2f} of 255, {where.sum()} pixels, "
              f"flow {np.abs(flow[..., :2])[where].mean():.1f} px")  # fmt: skip
        assert where.sum() > 500
        assert error < max(0.5 * without, 3.0)

    if isinstance(renderer, RasterRenderer):
        return
    # Depth and normals: Blender's own ray casting, in the scene's state after the last frame.
    graph = bpy.context.evaluated_depsgraph_get()
    R, t, last = camera.R[-1], camera.t[-1], FRAMES - 1
    eye, errors, angles = -R.T @ t, [], []
    rows, columns = np.nonzero(passes["segmentation", last])
    for pick in np.random.default_rng(0).permutation(len(rows))[:200]:
        y, x = rows[pick], columns[pick]
        ray = R.T @ np.linalg.inv(camera.K) @ [x, y, 1.0]
        found, place, normal, _, thing, _ = bpy.context.scene.ray_cast(graph, eye.tolist(), ray.tolist())
        label = passes["segmentation", last][y, x]
        assert found and thing.name == f"{label - 1}_{meshes[label - 1].mesh.name}"
        errors.append(abs((R @ np.array(place) + t)[2] - passes["depth", last][y, x]))
        facing = R @ np.array(normal)
        facing *= -np.sign(facing @ (R @ ray))
        angles.append(np.degrees(np.arccos(np.clip(facing @ passes["normals", last][y, x], -1, 1))))
    print(
        f"{kind.__name__}: depth error at most {1000 * max(errors):.3f} mm, normals median {np.median(angles):.1f} deg"
    )
    assert max(errors) < 1e-3
    assert np.median(angles) < 8  # smooth normals compared with flat faces
