"""Safe file access: atomic writes, and reads that never execute anything."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import pickle
import pickletools
import re
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePath

import numpy as np

from mviper.errors import FileFormatError, MviperError

#: System files without a leading dot: from macOS (in zips), Synology and Windows.
_LEFTOVERS = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"}

#: First bytes of files that are rarely what their name says; letters in lower case.
_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with: git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself; fetch it with: git annex get"),
    (b"\0\x05\x16\x07", "macOS's AppleDouble metadata (._NAME), not the file itself, which should be next to it"),
    (b"<!doctype html", "an HTML page, not the file itself: the download needed a login or failed; download it again"),
    (b"<html", "an HTML page, not the file itself: the download needed a login or failed; download it again"),
    (b"<?xml", "an XML document, as servers send in place of a file; download it again"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"rar!", "a RAR archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"%pdf", "a PDF document"),
)


def is_hidden(path: str | PurePath, root: str | PurePath | None = None) -> bool:
    """Whether a file is hidden or a system's own: ``._NAME``, ``.DS_Store``, all below ``__MACOSX``, ...

    Args:
        path: The file.
        root: The folder being searched; only names below it count. None: only the file's own name.
    """
    names = PurePath(path).parts[-1:] if root is None else PurePath(path).relative_to(root).parts
    return any(name.startswith(".") or name in _LEFTOVERS for name in names)


def find_files(root: str | Path, *patterns: str) -> list[Path]:
    """Files under a folder that match any of the glob patterns, sorted, hidden ones excluded (:func:`is_hidden`)."""
    root = Path(root)
    return sorted({path for pattern in patterns for path in root.glob(pattern) if not is_hidden(path, root)})


def walk_files(root: str | Path, *endings: str) -> Iterator[Path]:
    """Files under a folder, folder by folder, each sorted, hidden ones excluded (:func:`is_hidden`).

    Args:
        root: The folder.
        *endings: File name endings in lower case (``".bvh"``), matched in any case; none: all files.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            if not is_hidden(name) and (not endings or name.lower().endswith(endings)):
                yield Path(folder, name)


def what_it_is(content: bytes | str | Path) -> str:
    """Describes, for errors, a file that is not what its name says: a failed download, a pointer, an archive, ...

    Args:
        content: Its first bytes (64 or more), or the file.

    Returns:
        "an HTML page, not the file itself: ..."; "" if nothing was recognised.
    """
    if not isinstance(content, bytes):
        try:
            with Path(content).open("rb") as file:
                content = file.read(512)
        except OSError:
            return ""
    if not content.strip(b"\0"):
        return "nothing but zeros: an incomplete download or copy" if content else "empty"
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    return next((what for beginning, what in _BEGINNINGS if start.startswith(beginning)), "")


def read_text(path: str | Path) -> str:
    """Reads UTF-8, or UTF-8 or UTF-16 with a byte order mark; strips DOS's final ^Z and padding zeros.

    Raises:
        FileFormatError: Missing, or not text.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FileFormatError(path, f"cannot be opened: {error.strerror}") from error
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding).rstrip("\x1a\0")
    except UnicodeDecodeError as error:
        what = what_it_is(content[:512])
        raise FileFormatError(path, f"it is {what}" if what else f"not text in UTF-8: {error}") from error


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name next to ``path``; the file is renamed to ``path`` if the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise MviperError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish_folder(temporary: Path, target: Path) -> None:
    """Renames a finished folder once its content is on disk; an existing target is kept.

    Args:
        temporary: The finished folder, in the same folder as ``target``.
        target: Its final name.

    Raises:
        OSError: The disk is full, or renaming failed.
    """
    for path in [*temporary.iterdir(), temporary]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def save_npz(path: str | Path, **arrays: object) -> None:
    """Writes a compressed ``.npz`` atomically and reproducibly (fixed time stamps: same content, same bytes)."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(value), allow_pickle=True)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)


#: Globals that pickled numpy arrays and scalars need, by old and new module names.
_NUMPY_GLOBALS: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.multiarray", name): getattr(np.core.multiarray, name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): np.core.numeric._frombuffer for core in ("core", "_core")},
}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase, extra_globals: dict[tuple[str, str], object], **kwargs) -> None:
        super().__init__(file, **kwargs)
        self._globals = {**_NUMPY_GLOBALS, **extra_globals}

    def find_class(self, module: str, name: str) -> object:
        try:
            return self._globals[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed") from None


def _check_memo(file: io.BufferedIOBase) -> None:
    """Refuses absurdly large memo indices, for which the unpickler would reserve memory."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument) <= 2 * count + 1000:
            raise pickle.UnpicklingError(f"it stores an object under number {argument}")


def restricted_unpickle(
    file: io.BufferedIOBase, path: str | Path, extra_globals: dict[tuple[str, str], object] | None = None, **kwargs
) -> object:
    """Unpickles plain data and numpy arrays; anything else is refused, nothing is executed.

    Args:
        file: Open binary file.
        path: Its name, for the error.
        extra_globals: ``(module, name)`` pairs allowed beyond numpy's, with their stand-ins.
        **kwargs: For ``pickle.Unpickler`` (``encoding='latin1'`` for Python 2 pickles).

    Raises:
        FileFormatError: Not a pickle, truncated, or with a global that is not allowed.
    """
    start = file.tell()
    try:
        _check_memo(file)
        file.seek(start)
        return _RestrictedUnpickler(file, extra_globals or {}, **kwargs).load()
    except Exception as error:  # a hostile or truncated pickle can raise anything
        file.seek(start)
        what = what_it_is(file.read(512))
        problem = f"it is {what}" if what else f"cannot be unpickled safely: {error}"
        raise FileFormatError(path, problem) from error


def load_npz(
    path: str | Path, keys: Collection[str] | None = None, content: bytes | None = None
) -> dict[str, np.ndarray]:  # fmt: skip
    """Reads a ``.npz``; object arrays go through the restricted unpickler.

    Args:
        path: The file.
        keys: Arrays to read, some of which may be absent; ``None`` for all.
        content: The file's bytes where it is a member of an archive.

    Raises:
        FileFormatError: Missing, truncated, or not a ``.npz``.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path if content is None else io.BytesIO(content)) as archive:
            for member in archive.namelist():
                key = member.removesuffix(".npy")
                if keys is None or key in keys:
                    with archive.open(member) as file:
                        arrays[key] = _read_npy(file, path)
    except FileFormatError:
        raise
    except FileNotFoundError as error:
        raise FileFormatError(path, "no such file") from error
    except Exception as error:  # zipfile, zlib and numpy raise many kinds on damaged files
        what = what_it_is(path if content is None else content[:512])
        raise FileFormatError(path, f"it is {what}" if what else f"not a readable .npz: {error}") from error
    return arrays


def _read_npy(file: io.BufferedIOBase, path: str | Path) -> np.ndarray:
    content = io.BytesIO(file.read())
    version = np.lib.format.read_magic(content)
    shape, _, dtype = np.lib.format._read_array_header(content, version)
    if dtype.hasobject:
        return np.asarray(restricted_unpickle(content, path), dtype=object).reshape(shape)
    content.seek(0)
    array = np.lib.format.read_array(content, allow_pickle=False)
    # Python cannot extract such text from an array: any access would raise a SystemError.
    if dtype.kind == "U" and array.nbytes:
        letters = np.ascontiguousarray(array).reshape(-1).view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if letters.max() > sys.maxunicode:
            raise ValueError("an array of text in it is damaged")
    return array


def names_in(arrays: Mapping[str, object] | Path, most: int = 40) -> str:
    """Names of the arrays in a mapping or ``.npz`` file, for errors."""
    if isinstance(arrays, Path):
        with zipfile.ZipFile(arrays) as archive:
            arrays = dict.fromkeys(name.removesuffix(".npy") for name in archive.namelist())
    names = [repr(str(name))[1:-1] for name in arrays]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "nothing"


def why_not_loaded(error: Exception, path: str | Path) -> str:
    """The reason that ``torch.load(weights_only=True)`` gave, without its advice to load the file unsafely."""
    what = what_it_is(Path(path).expanduser())
    if what:
        return f"it is {what}"
    inner = re.search(r"WeightsUnpickler error:\s*(.*?)(?:\.? Please|\n|$)", str(error))
    reason = inner[1] if inner else str(error).strip().split("\n")[0].partition(". ")[0]
    return reason or "it is empty or cut"  # an EOFError has no message


def sha256_of(*arrays: np.ndarray) -> str:
    """SHA-256 over the bytes of float32 arrays, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()
