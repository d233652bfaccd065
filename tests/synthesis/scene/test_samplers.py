"""Lamps, panoramas, fabrics, looks: seeded, in range, plain data."""

import json

import numpy as np
import pytest

from mviper.body.joints import KEYPOINTS
from mviper.body.surface import BodyShape
from mviper.errors import FileFormatError, MissingDataError
from mviper.registry import APPEARANCES, BACKGROUNDS, FABRICS, LIGHTS
from mviper.structures import MeshSequence
from mviper.synthesis.pipeline import pose_body
from mviper.synthesis.scene import AreaLights, ProceduralFabric, SkinHairShoes, SphericalBackground
from mviper.synthesis.scene.lights import blackbody


@pytest.mark.parametrize(
    "sampler",
    [
        LIGHTS.build(dict(type="AreaLights")),
        BACKGROUNDS.build(dict(type="SphericalBackground")),
        FABRICS.build(dict(type="ProceduralFabric")),
        APPEARANCES.build(dict(type="SkinHairShoes")),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_draws_are_seeded_plain_data(sampler) -> None:
    draws = [sampler.draw(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert json.loads(json.dumps(draws[0])) == draws[0]


def test_lamps_point_at_the_person_from_all_sides() -> None:
    centre = np.array([1.0, 2.0, 0.9])
    drawn = AreaLights().draw(np.random.default_rng(3))
    lamps = AreaLights.place(drawn, centre, radius=1.0)
    assert len(lamps) == 4
    away = np.array([lamp["position"] - centre for lamp in lamps])
    assert (away[:, 2] > 0).all() and (np.linalg.norm(away, axis=1) > 3.4).all()
    bearings = np.sort(np.arctan2(away[:, 0], away[:, 1]))
    assert np.diff(bearings, append=bearings[0] + 2 * np.pi).max() < np.pi  # no side without a lamp


def test_blackbody_colours() -> None:
    warm, cool = blackbody(2700), blackbody(7500)
    assert warm[0] == 1 and warm[2] < 0.4 and cool[2] == 1 and cool[0] > 0.7
    np.testing.assert_allclose(blackbody(6500), 1, atol=0.07)  # about sRGB's white


def test_a_telephoto_frame_shows_at_least_200_source_pixels() -> None:
    background = SphericalBackground()
    assert len(background.files) == 8
    loaded = background.load(background.draw(np.random.default_rng(0)))
    height, width = loaded["visible_image"].shape[:2]
    assert (height, width) == (512, 1024)
    assert np.pi / 3 <= loaded["visible"] <= np.pi / 2 and loaded["visible"] / (2 * np.pi) * width >= 200
    assert np.isfinite(loaded["light_image"]).all() and loaded["light_image"].min() >= 0


def test_backgrounds_that_are_not_there(tmp_path) -> None:
    with pytest.raises(MissingDataError, match=str(tmp_path)):
        SphericalBackground(tmp_path).draw(np.random.default_rng(0))
    (tmp_path / "bad.exr").write_bytes(b"not a picture")
    background = SphericalBackground(tmp_path)
    with pytest.raises(FileFormatError, match=r"bad\.exr"):
        background.load(background.draw(np.random.default_rng(0)))


@pytest.mark.parametrize("pattern", ["plain", "stripes", "plaid", "dots", "weave"])
def test_fabrics_tile(pattern: str) -> None:
    fabric = ProceduralFabric((pattern,))
    drawn = fabric.draw(np.random.default_rng(1))
    image = fabric.image(drawn)
    assert image.shape == (256, 256, 3) and image.dtype == np.uint8
    assert 0.01 < drawn["metres"] < 0.25
    if pattern != "plain":
        assert image.astype(float).std((0, 1)).max() > 5
    # Across the border the picture changes no more than inside it.
    image = image.astype(float)
    inside = np.abs(np.diff(image, axis=1)).mean((0, 2)).max()
    assert np.abs(image[:, 0] - image[:, -1]).mean() <= 1.5 * inside + 2


def test_looks_leave_the_body_alone_and_sit_on_head_and_feet(body, moving) -> None:
    vertices, keypoints = pose_body(body, moving)
    shape = BodyShape.from_body(body, moving.betas)
    mesh = MeshSequence(vertices, body.faces, name="body")
    looks = SkinHairShoes()
    skin, hair, shoes = looks.dress(looks.draw(np.random.default_rng(0)), mesh, shape, keypoints, moving)
    assert skin.mesh.vertices is vertices and len(skin.mesh.faces) < len(body.faces)

    def reach(mesh: MeshSequence, name: str) -> np.ndarray:
        point = keypoints[:, KEYPOINTS.index(name), None]
        return np.linalg.norm(mesh.vertices - point, axis=-1)

    assert (reach(hair.mesh, "headtop").min(1) < 0.03).all() and (reach(hair.mesh, "head").max(1) < 0.3).all()
    for toe in ("left_bigtoe", "right_bigtoe", "left_heel", "right_heel"):
        assert (reach(shoes.mesh, toe).min(1) < 0.03).all()
    # Skinned like the body: no further from it than a shell is thick.
    from scipy.spatial import cKDTree

    for shell in (hair.mesh, shoes.mesh):
        for frame in range(len(shell)):
            assert cKDTree(vertices[frame]).query(shell.vertices[frame])[0].max() < 0.05
