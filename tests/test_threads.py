"""How the package's processes share processors with others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("given", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_waiting_threads_do_not_spin_unless_the_user_wants_it(given, expected):
    """It must be said before torch loads OpenMP."""
    say = "import sys, os, mviper; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    done = subprocess.run([sys.executable, "-c", say], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [expected, "False"], done.stderr
