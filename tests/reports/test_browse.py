"""Contact sheets and the page of motions."""

from __future__ import annotations

import base64
import re
import sys

import numpy as np
import pytest

from mviper.body import SMPL
from mviper.errors import MissingDependencyError
from mviper.reports.browse import motion_page, motion_sheet
from mviper.structures import Motion


def test_motion_is_shown_upright_and_facing_its_way():
    body = SMPL()
    poses = np.zeros((30, 24, 3))
    poses[:, 0, 0] = np.pi / 2  # y-up to z-up: faces south
    transl = np.stack([np.linspace(0, 2, 30), np.zeros(30), np.full(30, 1.0)], 1)
    sheet = motion_sheet(Motion(poses, transl, np.zeros(10), 30.0), body, pictures=4, columns=2, size=128)
    assert sheet.shape == (2 * 128 + 3 * 6, 2 * 128 + 3 * 6, 3)
    picture = sheet[6 + 24 : 6 + 128, 6 : 6 + 128].astype(int)  # below its label
    body_rows = (picture[..., 0] - picture[..., 2] > 25).sum(1)  # sand, not grey
    assert body_rows.sum() > 600
    widest = np.argmax(body_rows)  # the arms of the T-pose are in the upper half
    assert widest < np.flatnonzero(body_rows).mean()


def walking(frames: int, name: str) -> Motion:
    poses = np.zeros((frames, 24, 3))
    poses[:, 0, 0] = np.pi / 2
    return Motion(poses, np.linspace(0, 1, frames)[:, None] * [1.0, 0, 0], np.zeros(10), 30.0, name=name)


def test_page_holds_every_frame_of_every_motion_and_nothing_from_elsewhere():
    pytest.importorskip("viser")
    html = motion_page([walking(7, "first"), walking(4, "second")], SMPL())
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', html)
    recording = base64.b64decode(re.search(r'__VISER_EMBED_DATA__="([^"]+)"', html)[1])
    import msgspec
    import zstandard

    content = zstandard.ZstdDecompressor().decompress(
        recording[8:], max_output_size=int.from_bytes(recording[:8], "little")
    )
    length = int.from_bytes(content[:8], "little")
    scene = msgspec.msgpack.decode(content[8 : 8 + length])
    kinds = [message["type"] for _, message in scene["messages"]]
    assert sum("Mesh" in kind for kind in kinds) == 2 and "first" in str(scene["messages"])
    # Static parts are not repeated: the first frames, and the second body once it has stopped.
    moved = [time for time, message in scene["messages"] if "vertices" in message.get("updates", {})]
    assert len(moved) == 6 + 3 and scene["durationSeconds"] == pytest.approx(7 / 30)


def test_without_viser_the_page_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingDependencyError, match=r"requirements/inference\.txt"):
        motion_page([walking(2, "")], SMPL())
