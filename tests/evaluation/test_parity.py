"""Our metrics equal MMHuman3D's on the same inputs, to 1e-6 m; its figures were computed by its own code."""

from __future__ import annotations

import json

import numpy as np
import pytest
from parity_inputs import FIGURES, our_figures, parity_inputs


@pytest.mark.parametrize("name", ["random", "body"])
def test_measures_agree_with_mmhuman3d(name):
    theirs, ours = json.loads(FIGURES.read_text())[name], our_figures(parity_inputs()[name])
    assert theirs.keys() == ours.keys()
    for figure, value in theirs.items():
        # pck and auc are fractions, averaged in float32
        np.testing.assert_allclose(ours[figure], value, rtol=0, atol=1e-6, err_msg=figure)
