"""Decodes pictures with OpenCV, after checking their size before any memory is allocated."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mviper.errors import FileFormatError

# Photos of 108 million pixels are ordinary; the limit is twice PIL's warning threshold.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_picture(content: bytes, path: str | Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decodes a picture.

    Args:
        content: The file's bytes.
        path: Its name, for the error.
        flags: OpenCV's.

    Returns:
        Shape (H, W, 3) uint8, BGR.

    Raises:
        FileFormatError: Not a picture, damaged, or with more pixels than any photo (179 million).
    """
    try:
        with Image.open(io.BytesIO(content)):  # reads the header only
            pass
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except Exception as error:  # PIL and OpenCV raise various errors on damaged files
        raise FileFormatError(path, f"not a readable picture: {error}") from error
    if picture is None:
        raise FileFormatError(path, "not a readable picture")
    return picture
