"""What every reader of a file needs: one error for a file that cannot be opened, and
the names of the kinds of file that are handed over by mistake."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from os import PathLike

from kokuban.errors import StorageError

FilePath = str | PathLike[str]

# The first bytes of a file, and what such a file is.
_KINDS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"%PDF", "a PDF document"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"\x00\x00\x08", "an IDX file"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
)


def kind_of(head: bytes) -> str | None:
    """The kind of file that begins with `head`, where it is a well-known one."""
    lowered = head.lstrip()[:16].lower()
    for magic, kind in _KINDS:
        if head.startswith(magic) or (magic[:1] == b"<" and lowered.startswith(magic)):
            return kind
    return None


@contextmanager
def opened(path: FilePath) -> Iterator[BufferedReader]:
    """The file at `path`, open for reading bytes.

    Raises StorageError where it is missing, a folder, or cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise StorageError(f"{path}: there is no such file.") from error
    except IsADirectoryError as error:
        raise StorageError(f"{path}: a folder, not a file.") from error
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: cannot be read ({reason}).") from error
