"""Where the tests' files lie."""

from __future__ import annotations

import os
from pathlib import Path

#: The checkout's root.
REPOSITORY = Path(__file__).resolve().parents[1]
#: Real mocap, videos and annotation samples next to the checkout; they need not exist.
SHARED_DATA = Path(os.environ.get("MVIPER_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
