"""Focal lengths from the metadata of real containers and photos, and from the prior."""

from __future__ import annotations

import math

import av
import numpy as np
import pytest
from PIL import Image

from mviper.inference import open_frames
from mviper.inference.optics import optics_of


def _video(path, metadata: dict, size=(128, 72)):
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(path), "w", format="mov", options=options) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((*size[::-1], 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    return open_frames(path)


def test_a_phones_video_says_its_focal_length(tmp_path):
    named = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "iPhone 15 Pro"}
    lens = {"com.apple.quicktime.camera.focal_length.35mm_equivalent": "24"}
    stated = _video(tmp_path / "a.mov", {**named, **lens}).optics
    # 24 mm see 73.7 degrees across the sensor of sides 4 and 3, i.e. f = 0.693 times the width; 8 % are cut off.
    assert stated.focal == pytest.approx(0.693 * 1.08 * 128, rel=5e-3) and "24 mm" in stated.origin
    guessed = _video(tmp_path / "b.mov", named).optics
    assert guessed.focal == pytest.approx(0.68 * math.hypot(128, 72), rel=0.05) and guessed.spread > stated.spread
    android = _video(tmp_path / "c.mov", {"com.android.version": "14", "com.android.manufacturer": "Google"}).optics
    assert android == guessed
    unknown = _video(tmp_path / "d.mov", {}).optics
    assert unknown.spread > 2 * guessed.spread and "does not name" in unknown.origin
    nonsense = dict.fromkeys(lens, "?")
    assert _video(tmp_path / "e.mov", {**named, **nonsense}).optics == guessed


def test_a_photo_says_its_focal_length_upright_or_not(tmp_path):
    picture = Image.fromarray(np.zeros((300, 400, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # with display rotation
    exif.get_ifd(0x8769)[0xA405] = 28
    picture.save(tmp_path / "phone.jpg", exif=exif)
    source = open_frames(tmp_path / "phone.jpg")
    assert (source.width, source.height) == (300, 400)
    assert source.optics.focal == pytest.approx(28 / 43.27 * 500, rel=1e-3)


def test_focal_length_and_sensor_say_it_too():
    # A full-frame camera, 6000 pixels over 36 mm, at 50 mm; the picture was scaled down to a quarter.
    exif = {"FocalLength": 50.0, "FocalPlaneXResolution": 6000 / 36 * 25.4, "FocalPlaneResolutionUnit": 2,
            "ExifImageWidth": 6000, "ExifImageHeight": 4000}  # fmt: skip
    for size in ((1500, 1000), (1000, 1500)):
        assert optics_of(exif, *size).focal == pytest.approx(1500 * 50 / 36, rel=1e-6)
    nonsense = {**exif, "FocalPlaneXResolution": 1e9}
    assert optics_of(nonsense, 1500, 1000) == optics_of({}, 1500, 1000)
