"""Lamps, panoramas, fabrics, appearance: seeded, in range, plain data."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from mviper.body.surface import BodyShape
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.registry import APPEARANCES, BACKGROUNDS, CAMERAS, FABRICS, LIGHTS
from mviper.structures import Camera, MeshSequence
from mviper.structures.joints import KEYPOINTS
from mviper.synthesis import pose_body
from mviper.synthesis.scene import (
    AreaLights,
    Material,
    PhotoBackground,
    PhotoFabric,
    ProceduralFabric,
    Scene,
    SceneMesh,
    SkinHairShoes,
    SphericalBackground,
    appearance,
    backdrop_places,
    look_at,
    place_backdrop,
    seen_on_ground,
    sun_lamps,
)
from mviper.synthesis.scene.annotation import vertex_parts
from mviper.synthesis.scene.appearance import FOOTWEAR
from mviper.synthesis.scene.backgrounds import find_sun, read_panorama, shrunk, upright_white
from mviper.synthesis.scene.hair import CUTS, grow_beard, grow_hair, hair_mesh
from mviper.synthesis.scene.lights import blackbody
from mviper.synthesis.scene.photos import read_photo
from mviper.synthesis.scene.skin import MONK_SCALE, draw_skin, skin_colour, skin_corners, skin_material, vertex_mask

SPHERE, PHOTO = dict(type="SphericalBackground"), dict(type="PhotoBackground", root="photos")
WOVEN, PICTURED = dict(type="ProceduralFabric"), dict(type="PhotoFabric", root="photos")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Five small images in two folders, and a file that is not an image."""
    root = tmp_path_factory.mktemp("pictures") / "photos"
    rng = np.random.default_rng(0)
    for name in ("street/a.jpg", "street/b.PNG", "woven/c.jpg", "woven/d.jpg", "woven/e.bmp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.resize(rng.integers(0, 256, size=(6, 9, 3), dtype=np.uint8), (180, 120))
        assert cv2.imwrite(str(root / name), picture)
    (root / "labels.txt").write_text("street\n")
    return root


@pytest.mark.parametrize(
    ("registry", "config"),
    [
        (LIGHTS, dict(type="AreaLights")),
        (BACKGROUNDS, SPHERE),
        (BACKGROUNDS, PHOTO),
        (BACKGROUNDS, dict(type="MixedBackground", backgrounds=[SPHERE, PHOTO])),
        (FABRICS, WOVEN),
        (FABRICS, PICTURED),
        (FABRICS, dict(type="MixedFabric", fabrics=[WOVEN, PICTURED], weights=[0.2, 0.8])),
        (APPEARANCES, dict(type="SkinHairShoes")),
        (CAMERAS, dict(type="OrbitCameras")),
        (CAMERAS, dict(type="HandheldCameras")),
        (CAMERAS, dict(type="PhoneCameras")),
        (CAMERAS, dict(type="WideAngleCameras")),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_draws_are_seeded_plain_data(registry, config: dict, photos: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos.parent)
    sampler = registry.build(config)
    draws = [sampler.draw(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert json.loads(json.dumps(draws[0])) == draws[0]
    if registry is BACKGROUNDS:
        loaded = sampler.load(draws[0])
        for name in ("light_image", "visible_image"):
            assert loaded[name].dtype == np.float32 and np.isfinite(loaded[name]).all() and loaded[name].min() >= 0
    if registry is FABRICS:
        image = sampler.image(draws[0])
        assert image.dtype == np.uint8 and image.shape[0] == image.shape[1] and draws[0]["metres"] > 0.01


def test_lamps_point_at_the_person_from_all_sides() -> None:
    centre = np.array([1.0, 2.0, 0.9])
    drawn = AreaLights().draw(np.random.default_rng(3))
    lamps = AreaLights.place(drawn, centre, radius=1.0)
    assert len(lamps) == 4
    away = np.array([lamp["position"] - centre for lamp in lamps])
    assert (away[:, 2] > 0).all() and (np.linalg.norm(away, axis=1) > 3.4).all()
    exposures = {round(lamp["exposure"], 6) for lamp in drawn["lamps"]}
    assert len(exposures) == 4 and len({lamp["kelvin"] for lamp in drawn["lamps"]}) == 4
    bearings = np.sort(np.arctan2(away[:, 0], away[:, 1]))
    assert np.diff(bearings, append=bearings[0] + 2 * np.pi).max() < np.pi  # no side without a lamp


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (lambda: AreaLights(exposure=(0, 0.5)), r"exposure must be > 0, got \(0, 0.5\)"),
        (lambda: AreaLights(size=(1.5, 0.4)), r"size is \(lowest, highest\), got \(1.5, 0.4\)"),
        (lambda: AreaLights(distance=3.0), r"distance is \(lowest, highest\), got 3.0"),
        (lambda: AreaLights(kelvin=(1000, 4000)), "expected kelvin between 1667 and 25000"),
        (lambda: AreaLights(count=-1), "expected count as an integer >= 0, got -1"),
        (lambda: SkinHairShoes(tones=[0]), r"Monk scale, 1 to 10, got \[0\]"),
        (lambda: SkinHairShoes(tones=[4, 11]), "Monk scale"),
        (lambda: SkinHairShoes(tones=[]), "Monk scale"),
        (lambda: SkinHairShoes(tones=4), "Monk scale"),
    ],
)
def test_values_that_cannot_be_drawn_from_are_refused(sampler, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler()


def test_blackbody_colours() -> None:
    warm, cool = blackbody(2700), blackbody(7500)
    assert warm[0] == 1 and warm[2] < 0.4 and cool[2] == 1 and cool[0] > 0.7
    np.testing.assert_allclose(blackbody(6500), 1, atol=0.07)  # approximately sRGB's white


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


def test_panoramas_from_a_folder(tmp_path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    rng = np.random.default_rng(0)
    panorama = rng.uniform(0.1, 4.0, size=(32, 64, 3)).astype(np.float32)
    (tmp_path / "halls").mkdir()
    cv2.imwrite(str(tmp_path / "halls" / "a.hdr"), panorama[..., ::-1])
    header = dict(compression=openexr.ZIP_COMPRESSION, type=openexr.scanlineimage)
    openexr.File(header, {name: panorama[..., k].copy() for k, name in enumerate("RGB")}).write(str(tmp_path / "b.exr"))
    background = SphericalBackground(tmp_path)
    assert [path.name for path in background.files] == ["b.exr", "a.hdr"]
    exr, hdr = (read_panorama(path) for path in background.files)
    np.testing.assert_array_equal(exr, panorama)
    np.testing.assert_allclose(hdr, panorama, rtol=0.02, atol=0.02)
    loaded = background.load(background.draw(np.random.default_rng(0)))
    assert loaded["kind"] == "sphere" and loaded["visible"] >= 2 * np.pi  # 64 pixels: all of them, rather than 10


def panorama_with_sun(bearing: float, elevation: float, radius: float) -> np.ndarray:
    """A blue sky of radiance 0.5 over dark ground, with a warm disc of radiance 800; bearings from the left."""
    rows, columns = np.mgrid[:256, :512]
    up, round_ = (0.5 - (rows + 0.5) / 256) * np.pi, (columns + 0.5) / 512 * 2 * np.pi
    image = np.where(up[..., None] > 0, [0.3, 0.5, 0.9], [0.1, 0.1, 0.1]).astype(np.float32)
    cosine = np.sin(up) * np.sin(elevation) + np.cos(up) * np.cos(elevation) * np.cos(round_ - bearing)
    image[cosine > np.cos(radius)] = [1000, 800, 500]
    return image


def test_the_sun_is_found_where_it_shines() -> None:
    for bearing, elevation, radius in ((1.0, 0.6, 0.03), (3.0, 0.1, 0.05), (0.02, 1.2, 0.04)):  # across the border too
        image = panorama_with_sun(bearing, elevation, radius)
        sun, sky = find_sun(image)
        assert np.cos(sun["bearing"] - bearing) > np.cos(0.02) and sun["elevation"] == pytest.approx(
            elevation, abs=0.01
        )
        assert sun["radius"] == pytest.approx(radius, rel=0.15)
        # A disc of radius r and radiance L gives an irradiance E = pi r^2 L, of which white reflects E / pi.
        np.testing.assert_allclose(sun["exposure"], radius**2 * np.array([1000, 800, 500]), rtol=0.15)
        assert sky.max() < 40 and np.abs(sky - image).sum(-1)[image[..., 0] < 900].max() == 0
    assert find_sun(panorama_with_sun(1.0, 0.6, 0.0))[0] is None


def test_light_comes_from_where_the_sun_is_seen(tmp_path) -> None:
    """The panorama's sun, its lamp and the sun in cameras of all lenses have the same direction."""
    cv2.imwrite(str(tmp_path / "sun.hdr"), panorama_with_sun(2.0, 0.3, 0.05)[..., ::-1])
    background = SphericalBackground(tmp_path, pitch=(0.0, 0.0))
    for seed, focal in enumerate((100.0, 250.0, 1200.0)):
        loaded = background.load(background.draw(np.random.default_rng(seed)))
        lamp = sun_lamps(loaded, np.zeros(3))[0]
        towards = lamp["position"] / np.linalg.norm(lamp["position"])
        # A camera that looks that way sees the sun in the middle of its image.
        R, t = look_at(np.zeros((1, 3)), towards[None])
        camera = Camera(np.array([[focal, 0, 124.5], [0, focal, 124.5], [0, 0, 1]]), R, t, 250, 250)
        scene = Scene(
            [SceneMesh(MeshSequence(np.zeros((1, 1, 3)), np.zeros((0, 3), int)), Material(np.ones(3)))], [], loaded
        )
        u, v = backdrop_places(towards, place_backdrop(scene, [camera]))
        height, width = loaded["visible_image"].shape[:2]
        seen = loaded["visible_image"][int(v * height), int(u % 1 * width)]
        assert seen.min() > 0.85, (focal, seen)
        # And the ambient light is rotated with it: brightest in the upper half.
        assert loaded["light_yaw"] == pytest.approx(np.pi / 2 - loaded["visible_yaw"])


def test_steep_cameras_see_no_streaks(tmp_path) -> None:
    """The panorama's own ground is visible straight below, under and around the person."""
    rows = (np.arange(256) + 0.5) / 256
    panorama = np.tile(np.where(rows > 0.9, 1.0, 0.1)[:, None, None], (1, 512, 3)).astype(np.float32)
    loaded = dict(
        kind="sphere",
        light_image=panorama,
        visible_image=panorama,
        visible_yaw=0.3,
        light_yaw=0.0,
        visible=1.0,
        pitch=0.1,
    )
    R, t = look_at(np.array([[0.0, -1.0, 3.0]]), np.zeros((1, 3)))
    mesh = SceneMesh(MeshSequence(np.zeros((1, 1, 3)), np.zeros((0, 3), int)), Material(np.ones(3)))
    scene = Scene([mesh], [], loaded)
    for focal in (150.0, 1500.0):
        camera = Camera(np.array([[focal, 0, 124.5], [0, focal, 124.5], [0, 0, 1]]), R, t, 250, 250)
        backdrop = place_backdrop(scene, [camera])
        below = seen_on_ground(np.array([[0.0, 1.0, -3.0]]) / np.sqrt(10), np.array([0.0, -1.0, 3.0]), backdrop)
        places = backdrop_places(np.array([[0, 0.001, -1.0], [0.001, 0, -1.0]]), backdrop)
        if focal < 1000:  # the person stands at the nadir
            np.testing.assert_allclose(below, [[0, 0, -1]], atol=1e-6)
            np.testing.assert_allclose(places[:, 1], 1, atol=0.01)
        else:  # magnified, it never gets there
            assert (places[:, 1] < 0.5 + 1.31 / np.pi).all()


def test_large_pictures_are_shrunk(tmp_path) -> None:
    panorama = np.random.default_rng(0).uniform(size=(64, 128, 3)).astype(np.float32)
    small = shrunk(panorama, 32)
    assert small.shape == (16, 32, 3) and small.mean() == pytest.approx(panorama.mean(), rel=1e-5)
    assert shrunk(panorama, 128) is panorama
    cv2.imwrite(str(tmp_path / "large.png"), np.full((150, 300, 3), (30, 20, 10), np.uint8))
    photo = read_photo(tmp_path / "large.png", 100)
    assert photo.shape == (100, 200, 3) and (photo == [10, 20, 30]).all()
    assert read_photo(tmp_path / "large.png", 400).shape == (150, 300, 3)


def test_people_are_exposed_by_what_upright_surfaces_see() -> None:
    even = np.ones((64, 128, 3), np.float32)
    assert upright_white(None, even) == pytest.approx(1, rel=1e-3)
    sun = dict(elevation=np.pi / 3, exposure=np.full(3, 4.0))  # half of it along the ground, on a third of the compass
    assert upright_white(sun, even) == pytest.approx(1 + 4 * 0.5 / np.pi, rel=1e-3)


def test_photographs_light_the_scene_in_their_own_colours(tmp_path) -> None:
    photo = np.zeros((90, 160, 3), np.uint8)
    photo[:45], photo[45:] = (235, 160, 60), (40, 90, 60)  # blue sky, green below; OpenCV writes blue first
    cv2.imwrite(str(tmp_path / "hill.png"), photo)
    background = PhotoBackground(tmp_path, brightness=(1.0, 1.0))
    drawn = background.draw(np.random.default_rng(0))
    loaded = background.load(drawn)
    sky, ground = loaded["light_image"][0, 0], loaded["light_image"][-1, 0]
    assert sky[2] > sky[1] > sky[0] and ground[1] > ground[0] > ground[2]
    # The sun has the brightest part's colour and share of the light; exposure is as in a camera.
    sun, share = loaded["sun"], drawn["sun"]["share"]
    assert sun["exposure"][2] > sun["exposure"][0]
    around, direct = upright_white(None, loaded["light_image"]), sun["exposure"] @ [0.2126, 0.7152, 0.0722]
    assert direct / (direct + around) == pytest.approx(share, rel=1e-3)
    assert 0.8 * 0.4 < direct + around < 1.25 * 0.9
    assert loaded["visible_image"][0, 0] == pytest.approx(
        ((np.array([60, 160, 235]) / 255 + 0.055) / 1.055) ** 2.4, abs=1e-5
    )


def test_folders_of_pictures(photos: Path, tmp_path) -> None:
    fabric = PhotoFabric(photos, patterns=["woven/*"])
    assert fabric.photos.names == ["woven/c.jpg", "woven/d.jpg", "woven/e.bmp"]
    assert PhotoFabric(photos).photos.names[:2] == ["street/a.jpg", "street/b.PNG"]
    image = fabric.image(fabric.draw(np.random.default_rng(3)))
    assert image.shape == (512, 512, 3)
    for axis in (0, 1):  # mirrored: it tiles
        np.testing.assert_array_equal(image, np.flip(image, axis))
    for sampler in (PhotoFabric(photos, patterns=["silk/*"]), PhotoBackground(tmp_path / "none")):
        with pytest.raises(MissingDataError, match="no picture"):
            sampler.draw(np.random.default_rng(0))
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    for sampler, read in ((PhotoFabric(tmp_path), "image"), (PhotoBackground(tmp_path), "load")):
        with pytest.raises(FileFormatError, match=r"bad\.jpg"):
            getattr(sampler, read)(sampler.draw(np.random.default_rng(0)))


def test_skin_has_the_ten_tones_of_the_monk_scale() -> None:
    looks = SkinHairShoes()
    assert {looks.draw(np.random.default_rng(seed))["tone"] for seed in range(100)} == set(range(1, 11))
    assert len(MONK_SCALE) == 10 and MONK_SCALE[0] == "f6ede4" and MONK_SCALE[-1] == "292420"
    brightness = [skin_colour(tone) @ [0.2126, 0.7152, 0.0722] for tone in range(1, 11)]
    assert brightness[0] > 0.7 and brightness[-1] < 0.3 and (np.diff(brightness[2:]) < 0).all()
    assert all(np.diff(skin_colour(tone)).max() < 0 for tone in range(1, 11))  # redder than green, greener than blue
    bald = SkinHairShoes(tones=(3,), hair=False, shoes=False).draw(np.random.default_rng(0))
    assert bald["tone"] == 3 and bald["hair"] is bald["shoes"] is None


def test_skin_is_painted_where_its_parts_are(body) -> None:
    shape = BodyShape.from_body(body, np.zeros(10))
    drawn = draw_skin(np.random.default_rng(0), 4) | dict(
        lipstick=None, lips=1.0, brows=1.0, stubble=1.0, moles=0, iris="5c7a8a"
    )
    hair = np.array([0.1, 0.08, 0.06])
    skin = skin_material(shape, 4, drawn, hair, [])
    again = skin_material(shape, 4, drawn, hair, [])
    assert skin.image.tobytes() == again.image.tobytes() and skin.surface.tobytes() == again.surface.tobytes()
    corners, places = skin_corners(shape), shape.vertices[shape.faces].mean(1)
    middles, side = corners.mean(1), len(skin.image)
    normal = np.cross(*(shape.vertices[shape.faces[:, k]] - shape.vertices[shape.faces[:, 0]] for k in (1, 2)))

    def colour(point: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """Of the face that looks forward (-y) nearest to a point in the face's plane."""
        gap = np.linalg.norm((places - point)[:, [0, 2]], axis=1) + 10 * ((normal[:, 1] > 0) | (places[:, 1] > -0.05))
        u, v = middles[gap.argmin()]
        return picture[int((1 - v) * side), int(u * side)].astype(float)

    eye, nose, chin = (shape.joint(name) for name in ("left_eye", "nose", "jaw_extra"))
    mouth = np.array([0, nose[1], nose[2] - 0.37 * (nose[2] - chin[2])])
    on_cheek = eye + np.array([0.012, 0, -0.03])
    cheek, lip = colour(on_cheek, skin.image), colour(mouth + np.array([0, 0, -0.006]), skin.image)
    brow = colour(eye + np.array([0.005, 0, 0.0215]), skin.image)
    jaw = colour(mouth + np.array([0.03, 0, -0.025]), skin.image)
    assert lip[0] / lip[1] > 1.15 * cheek[0] / cheek[1]
    assert brow.sum() < 0.75 * cheek.sum() and jaw.sum() < 0.93 * cheek.sum()
    eyeballs = ((middles > [0.01, 0.64]) & (middles < [0.1, 0.73])).all(1)
    assert eyeballs.sum() > 50
    assert np.linalg.norm(np.abs(places[eyeballs]) - np.abs(eye), axis=1).max() < 0.04
    texels = ((np.array([[0, 1]]) + middles[eyeballs] * [1, -1]) * side).astype(int)
    wet = skin.surface[texels[:, 1], texels[:, 0], 0]
    assert wet.max() < 40 < 90 < colour(on_cheek, skin.surface)[0]
    assert skin_corners(dataclasses.replace(shape, uv=None)) is None


@pytest.mark.parametrize(
    "pattern", ["plain", "stripes", "plaid", "dots", "weave", "herringbone", "houndstooth", "print"]
)
def test_fabrics_tile(pattern: str) -> None:
    fabric = ProceduralFabric((pattern,))
    drawn = fabric.draw(np.random.default_rng(1))
    image = fabric.image(drawn)
    assert image.shape == (256, 256, 3) and image.dtype == np.uint8
    assert 0.01 < drawn["metres"] < 0.35
    if pattern != "plain":
        assert image.astype(float).std((0, 1)).max() > 5
    # Across the border the image changes no more than inside.
    image = image.astype(float)
    inside = np.abs(np.diff(image, axis=1)).mean((0, 2)).max()
    assert np.abs(image[:, 0] - image[:, -1]).mean() <= 1.5 * inside + 2


def test_unknown_patterns() -> None:
    with pytest.raises(ConfigError, match="houndstooth"):
        ProceduralFabric(("tartan",))


def test_looks_leave_the_body_alone_and_sit_on_head_and_feet(body, moving) -> None:
    vertices, keypoints = pose_body(body, moving)
    shape = BodyShape.from_body(body, moving.betas)
    mesh = MeshSequence(vertices, body.faces, name="body")
    looks = SkinHairShoes(cuts=["side"], footwear=["trainers"])
    skin, hair, shoes = looks.dress(looks.draw(np.random.default_rng(0)), mesh, shape, keypoints, moving)
    assert skin.mesh.vertices is vertices and len(skin.mesh.faces) < len(body.faces)

    def reach(mesh: MeshSequence, name: str) -> np.ndarray:
        point = keypoints[:, KEYPOINTS.index(name), None]
        return np.linalg.norm(mesh.vertices - point, axis=-1)

    assert (reach(hair.mesh, "headtop").min(1) < 0.03).all() and (reach(hair.mesh, "head").max(1) < 0.35).all()
    for toe in ("left_bigtoe", "right_bigtoe", "left_heel", "right_heel"):
        assert (reach(shoes.mesh, toe).min(1) < 0.03).all()
    # Skinned like the body: no further from it than the shell's thickness.
    for shell, thickness in ((hair.mesh, 0.1), (shoes.mesh, 0.05)):
        for frame in range(len(shell)):
            assert cKDTree(vertices[frame]).query(shell.vertices[frame])[0].max() < thickness


def test_shoes_enclose_what_they_cover_and_no_more(body, moving) -> None:
    vertices, keypoints = pose_body(body, moving)
    shape = dataclasses.replace(BodyShape.from_body(body, moving.betas), uv=None)  # no texture, which takes longest
    mesh = MeshSequence(vertices, body.faces, name="body")
    bare_faces, heights = len(body.faces), {}
    for kind in FOOTWEAR:
        looks = SkinHairShoes(cuts=["shaved"], beards=0.0, footwear=[kind])
        drawn = looks.draw(np.random.default_rng(1))
        meshes = looks.dress(drawn, mesh, shape, keypoints, moving)
        if kind == "bare":
            assert len(meshes) == 1 and len(meshes[0].mesh.faces) == bare_faces
            continue
        skin, shoes = meshes
        legs = np.concatenate([shape.joint(f"{side}_ankle")[None] for side in ("left", "right")])
        rest = shoes.material.rest
        heights[kind] = rest[:, 2].max() / legs[:, 2].max()
        assert np.isin([7, 8, 10, 11], shoes.parts).any() and len(skin.mesh.faces) <= bare_faces
        # Both feet wear one, with thickness all round the toes.
        assert (rest[:, 0] > 0.02).sum() == pytest.approx((rest[:, 0] < -0.02).sum(), rel=0.02)
    assert heights["sandals"] < 0.6 < heights["trainers"] < 1.6 < heights["boots"] and heights["pumps"] < 1.3


@pytest.fixture(scope="module")
def grown(body) -> tuple[BodyShape, np.ndarray, np.ndarray]:
    """The mean body at rest, its normals, and its height above the hair line."""
    shape = BodyShape.from_body(body, np.zeros(10))
    parts = vertex_parts(shape.weights)
    value = appearance._hair_value(shape, parts, dict(forehead=0.6, nape=0.5))
    return shape, appearance._normals(shape.vertices, shape.faces), value


@pytest.mark.parametrize("name", [name for name, cut in CUTS.items() if cut.cards])
def test_hair_grows_outside_the_head_to_its_length(grown, name) -> None:
    shape, normals, value = grown
    strands = grow_hair(shape, normals, value, CUTS[name], np.random.default_rng(0))
    again = grow_hair(shape, normals, value, CUTS[name], np.random.default_rng(0))
    assert all(np.array_equal(a.points, b.points) for a, b in zip(strands, again))
    cards = strands[0].points
    assert len(cards) > 0.9 * CUTS[name].cards
    nearest = cKDTree(shape.vertices).query(cards.reshape(-1, 3))[1]
    over = ((cards.reshape(-1, 3) - shape.vertices[nearest]) * normals[nearest]).sum(1)
    assert (over < -0.006).mean() < 0.02, f"{(over < -0.006).mean():.3f} lie in the skin"
    if not (CUTS[name].tail or CUTS[name].bun or CUTS[name].curl):
        length = np.linalg.norm(np.diff(cards, axis=1), axis=2).sum(1)
        assert 0.7 * CUTS[name].sides < length.min() and length.max() < 1.15 * CUTS[name].top


def test_long_hair_hangs_whichever_way_the_head_is_turned(grown, body) -> None:
    shape, normals, value = grown
    strands = grow_hair(shape, normals, value, CUTS["long"], np.random.default_rng(0))
    frames, neck = 24, shape.joint("neck")
    lean = np.minimum(np.linspace(0, 2, frames), 1)
    R = Rotation.from_rotvec(1.2 * lean[:, None] * [1.0, 0, 0]).as_matrix()  # bows forwards, then keeps still
    t = neck - R @ neck
    still = MeshSequence(
        np.repeat((shape.vertices + np.array([0, 0, 50.0]))[None], frames, 0), body.faces
    )  # out of the way
    mesh = hair_mesh(strands, (R, t), True, still, shape)
    rigid = hair_mesh(strands, (R, t), False, still, shape)
    cards, stiff = (one.vertices.reshape(frames, len(strands[0].points), -1, 2, 3).mean(3) for one in (mesh, rigid))
    np.testing.assert_allclose(cards[:, :, 0], stiff[:, :, 0], atol=1e-5)  # roots stay on the head
    length = np.linalg.norm(np.diff(cards, axis=2), axis=3)
    np.testing.assert_allclose(length, length[:1].repeat(frames, 0), atol=1e-4)

    def down(one: np.ndarray) -> float:
        ends = one[:, -1] - one[:, -4]
        return float((-ends[:, 2] / np.linalg.norm(ends, axis=1)).mean())

    assert down(cards[0]) > 0.8 and down(cards[-1]) > 0.8 > 0.6 > down(stiff[-1])
    speed = np.linalg.norm(np.diff(cards[:, :, -1], axis=0), axis=-1).mean(1)
    assert speed[-1] < 0.25 * speed.max()  # it comes to rest
    bearded = grow_beard(shape, normals, *(vertex_mask(shape, part) for part in ("beard", "moustache")), "full",
                         np.random.default_rng(0))  # fmt: skip
    chin = shape.joint("jaw_extra")
    assert len(bearded) == 2 and np.linalg.norm(bearded[0].points[:, 0] - chin, axis=1).max() < 0.17
