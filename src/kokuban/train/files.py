"""Files of named arrays with a digest: safetensors, written atomically.

Loading runs no code. The metadata hold one JSON text under "kokuban" and, under
"digest", the SHA-256 of the whole file with the digest's own 64 digits as zeros; any
changed bit is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kokuban.errors import FileFormatError, StorageError
from kokuban.train.data.files import opened

BLANK = "0" * 64


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file or nothing, as `writing` does."""
    with writing(path) as file:
        file.write(content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write, which takes its name only when all of it is on the disk.

    Until then, and if anything fails, an older file of that name stays as it was. Raises
    StorageError where the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except StorageError:  # of what is being written, a file that cannot be read
        raise
    except OSError as error:
        raise StorageError(
            f"Cannot write {str(target)!r}: {error.strerror or error}. "
            "Nothing was changed; an older file of that name is as it was."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    about: Mapping[str, Any],
) -> None:
    """Write arrays and a JSON description as one file with a digest."""
    from safetensors.numpy import save

    metadata = {"kokuban": json.dumps(about, sort_keys=True), "digest": BLANK}
    content = save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata)
    digest = hashlib.sha256(content).hexdigest()
    write_atomically(path, content.replace(BLANK.encode(), digest.encode(), 1))


def load_arrays(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the description of a file that `save_arrays` wrote.

    Raises StorageError if it cannot be read, FileFormatError if it is of another kind,
    truncated or changed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    where = f"{os.fspath(path)!r}"
    with opened(path) as stream:
        content = stream.read()
    try:
        header = _header(content)
        metadata = header["__metadata__"]
        digest, about = metadata["digest"], metadata["kokuban"]
    except (ValueError, KeyError, TypeError):
        raise FileFormatError(
            f"{where} is not a file of Kokuban, or its beginning is damaged; it should "
            "be one that Model.save or fit(checkpoint=…) wrote."
        ) from None
    blanked = content.replace(str(digest).encode(), BLANK.encode(), 1)
    if digest == BLANK or hashlib.sha256(blanked).hexdigest() != digest:
        raise FileFormatError(
            f"{where} is damaged: its content does not match its digest. It was changed "
            "or cut off after it was written; use another copy."
        )
    try:
        return load(content), json.loads(about)
    except (SafetensorError, ValueError) as error:
        raise FileFormatError(f"{where} cannot be read: {error}.") from error


def _header(content: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file; ValueError where there is none."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError("no header")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header
