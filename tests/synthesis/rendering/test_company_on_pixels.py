"""Two people of different colours, one partly behind the other: masks and visibility compared with the pictures."""

import numpy as np
import pytest

from mviper.structures import MeshSequence, PassFile
from mviper.synthesis import pose_body
from mviper.synthesis.company import Placement
from mviper.synthesis.rendering import CyclesRenderer, RasterRenderer
from mviper.synthesis.scene import CompassCameras, Material, Scene, SceneMesh
from mviper.synthesis.scene.annotation import keypoint_parts, vertex_parts, visibility
from mviper.synthesis.scene.passes import write_passes


@pytest.mark.parametrize(
    "renderer", [CyclesRenderer(4, denoise=False, threads=1), RasterRenderer(2)], ids=["cycles", "raster"]
)
def test_who_is_seen_where(body, moving, renderer, tmp_path) -> None:
    if isinstance(renderer, CyclesRenderer):
        pytest.importorskip("bpy")
    vertices, keypoints = (values[2:3].astype(float) for values in pose_body(body, moving))
    parts = vertex_parts(body.weights)
    places = (Placement(), Placement(0.6, (0.25, 0.9)))  # the second behind, 25 cm further right
    centre = np.array([*keypoints[0, 0, :2], 0.0])
    meshes, joints = [], []
    for number, (place, colour) in enumerate(zip(places, ([1.0, 0, 0], [0, 0, 1.0]))):
        surface = place.apply(vertices - centre)
        glowing = Material(np.array(colour), emission=1.0)
        meshes.append(SceneMesh(MeshSequence(surface, body.faces, name="body"), glowing, parts, number))
        joints.append(place.apply(keypoints - centre))
    camera = CompassCameras(views=("south",), resolution=250)(np.concatenate(joints, 1))[0]
    _, _, picture = next(iter(renderer.render(Scene(meshes, floor=False), [camera])))
    write_passes(tmp_path, ["segmentation"], meshes, [camera], ["p0", "p1"])
    passes = PassFile(tmp_path / "south_passes.zip")
    masks = passes.instances(0)
    assert passes.labels == ("background", "p0_body", "p1_body")

    shown = np.where(picture.max(-1) > 187, np.where(picture[..., 0] > picture[..., 2], 1, 2), 0)
    for person in (1, 2):
        iou = ((masks == person) & (shown == person)).sum() / ((masks == person) | (shown == person)).sum()
        print(f"person {person}: IoU {iou:.3f} of {(masks == person).sum()} pixels")
        assert iou >= 0.93 and (masks == person).sum() > 400

    own = keypoint_parts(keypoints[0], vertices[0], parts)
    hidden = 0
    for number in (0, 1):
        alone = visibility([camera], joints[number], own, [meshes[number]], number)[0][0].astype(bool)
        seen = visibility([camera], joints[number], own, meshes, number)[0][0].astype(bool)
        assert not (seen & ~alone).any()
        x, y = np.round(camera.project(joints[number])[0]).astype(int).T
        assert (shown[y[seen], x[seen]] == number + 1).mean() >= 0.8  # the others are on edges
        assert (shown[y[seen], x[seen]] == 2 - number).mean() < 0.05
        covered = alone & ~seen
        assert (shown[y[covered], x[covered]] == 2 - number).mean() >= 0.9 if covered.any() else number == 0
        hidden += covered.sum()
    assert 8 <= hidden <= 36  # one partly covers the other
