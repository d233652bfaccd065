"""Folders of photographs for backgrounds and fabrics."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np

from mviper.errors import FileFormatError, MissingDataError
from mviper.files import is_hidden
from mviper.graphics import decode_picture

#: File endings of pictures, lower case.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class PhotoFolder:
    """The pictures in a folder, searched recursively on first use.

    Args:
        root: The folder.
        patterns: Patterns of pictures to use, by path within it; ``*`` matches slashes too.
        owner: The component's name, for error messages.
    """

    def __init__(self, root: str | Path, patterns: Sequence[str], owner: str) -> None:
        self.root, self.patterns, self.owner = Path(root).expanduser(), tuple(patterns), owner
        self._names: list[str] | None = None

    @property
    def names(self) -> list[str]:
        """Paths within the folder, sorted.

        Raises:
            MissingDataError: There are none.
        """
        if self._names is None:
            found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*")
                     if path.suffix.lower() in SUFFIXES and not is_hidden(path, self.root))  # fmt: skip
            names = sorted(name for name in found if any(fnmatch(name, pattern) for pattern in self.patterns))
            if not names:
                raise MissingDataError(
                    f"{self.owner}: no picture ({', '.join(SUFFIXES)}) in {self.root} that matches "
                    f"{', '.join(self.patterns)}; set root to a folder of pictures"
                )
            self._names = names
        return self._names

    def draw(self, rng: np.random.Generator) -> str:
        """One of :attr:`names`."""
        return self.names[rng.integers(len(self.names))]


def read_photo(path: Path, shorter_side: int) -> np.ndarray:
    """Reads a picture, downscaled to a maximum shorter side [px].

    Returns:
        sRGB, uint8 (H, W, 3).

    Raises:
        FileFormatError: It cannot be read.
    """
    try:
        image = decode_picture(path.read_bytes(), path)
    except OSError as error:
        raise FileFormatError(path, f"cannot be read: {error.strerror}") from error
    except FileFormatError as error:
        raise FileFormatError(path, error.problem, hint="remove it from the folder") from error
    scale = shorter_side / min(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1])
