"""What the package ships beside code: configs and tools, next to it in a checkout, in ``mviper/.mim`` in a wheel."""

from __future__ import annotations

from pathlib import Path

_IN_WHEEL = Path(__file__).resolve().parent / ".mim"

#: Whether the package was installed from a wheel rather than run from a checkout.
FROM_WHEEL = _IN_WHEEL.is_dir()

#: The folder that holds ``configs/``, ``tools/`` and ``model-index.yml``.
SHIPPED = _IN_WHEEL if FROM_WHEEL else Path(__file__).resolve().parents[1]

#: Config of the network that recovery uses by default; its weights are part of the package.
NETWORK = "mviper_landmarks"
