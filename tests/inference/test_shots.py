"""Cuts between real and generated takes, and no false cuts from motion, pans and flashes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mviper.graphics.video import read_video
from mviper.inference.frames import Frame
from mviper.inference.shots import with_cuts

SIZE = (256, 192)


@pytest.fixture(scope="module")
def takes(shared_data):
    """Twelve small frames each of four real takes."""
    videos = (read_video(path, 12) for path in sorted((shared_data / "videos").glob("*.mp4")))
    return [[cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA) for image in video] for video in videos]


def cuts_of(images):
    marked = list(with_cuts(Frame(number, number / 30, image) for number, image in enumerate(images)))
    assert [frame.number for frame, _ in marked] == list(range(len(images)))
    return [frame.number for frame, is_cut in marked if is_cut]


def test_every_cut_is_found_and_no_other(takes):
    order = [0, 1, 2, 3, 1, 0, 2, 0, 3, 2, 1]  # ten cuts
    images, wanted = [], []
    for number, take in enumerate(order):
        wanted += [len(images)] if number else []
        images += takes[take][: 4 + number % 5]
    assert len(wanted) == 10 and cuts_of(images) == wanted


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_videos_come_whole(takes, count):
    assert cuts_of(takes[0][:count]) == []


def test_pans_flashes_and_low_rates_are_no_cuts(takes, shared_data):
    street = read_video(shared_data / "videos" / "sports2d_demo.mp4", 30)
    for step in (60, 200, 400):  # up to 40 % of the image per frame
        places = (abs((number * step / 768) % 2 - 1) * 768 for number in range(30))
        assert cuts_of([street[number, :, int(x) : int(x) + 1000] for number, x in enumerate(places)]) == []
    flash = [image.copy() for image in takes[1]]
    flash[4][:], flash[8][:] = 255, 0
    assert cuts_of(flash) == []
    assert cuts_of([np.clip(image * gain, 0, 255).astype(np.uint8)
                    for image, gain in zip(takes[0], np.tile([1, 0.5, 1.4], 4))]) == []  # fmt: skip
    assert cuts_of(takes[0][::3]) == []  # 4 frames per second
    assert cuts_of([np.zeros((64, 64, 3), np.uint8)] * 5) == []
