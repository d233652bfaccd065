"""Contact sheets of motions and data sets."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.body import SMPL
from mviper.errors import MissingDataError
from mviper.structures import Motion
from mviper.visualization.browse import dataset_sheets, motion_sheet


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


def test_a_folder_without_sequences_says_what_makes_them(tmp_path):
    with pytest.raises(MissingDataError, match=r"tools/generate\.py"):
        dataset_sheets(tmp_path, SMPL())
