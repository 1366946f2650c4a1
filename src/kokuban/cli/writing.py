"""Whether a file may be written, asked before the work whose result it is to hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from kokuban.errors import SettingError, StorageError


def require_writable(path: str, others: Iterable[str]) -> None:
    """SettingError where `path` is one of the command's other files, StorageError where
    it cannot be written."""
    target = Path(path)
    if any(target.resolve() == Path(other).resolve() for other in others):
        raise SettingError(f"{path!r} would be written over: choose another name.")
    if target.is_dir():
        raise StorageError(f"Cannot write {path!r}: it is a folder.")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise StorageError(f"Cannot write {path!r}: {error.strerror}.") from error
