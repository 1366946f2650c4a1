"""Files of text, decoded piece by piece, whatever their size."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from typing import Protocol

from kokuban.errors import FileFormatError, SettingError, StorageError
from kokuban.train.data.files import FilePath, kind_of, opened

GZIP = b"\x1f\x8b"
PIECE = 1 << 22  # bytes that are read at a time
# A mark at the beginning, and the encoding that it tells.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def pieces(path: FilePath, encoding: str | None = None) -> Iterator[str]:
    """The text of a file, gzipped or not, a few megabytes at a time.

    encoding: one that Python knows; None is UTF-8, or what a byte order mark tells.

    Raises StorageError where the file cannot be read, FileFormatError where it is not
    text, damaged, or in another encoding (with the line), SettingError for an encoding
    that is not known.
    """
    with opened(path) as file:
        if file.peek(2)[:2] != GZIP:
            yield from _decoded(_chunks(file, path), path, encoding)
            return
        with gzip.open(file) as unpacked:
            yield from _decoded(_chunks(unpacked, path), path, encoding)


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _chunks(file: _Bytes, path: FilePath) -> Iterator[bytes]:
    try:
        while chunk := file.read(PIECE):
            yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(
            f"{path}: the gzip file is cut off or damaged ({error})."
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: cannot be read ({reason}).") from error


def _decoded(
    chunks: Iterator[bytes], path: FilePath, encoding: str | None
) -> Iterator[str]:
    first = next(chunks, b"")
    marked = next((name for mark, name in _MARKS if first.startswith(mark)), None)
    if marked != "utf-16" and (kind := kind_of(first[:64])):
        raise FileFormatError(f"{path}: this is {kind}; a table is read from CSV text.")
    name = encoding or marked or "utf-8"
    try:
        decoder = codecs.getincrementaldecoder(name)()
    except LookupError:
        raise SettingError(
            f"Unknown encoding {name!r}: utf-8, cp1252, shift_jis and utf-16 are some."
        ) from None
    line, chunk = 1, first
    while True:
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise _undecoded(error, line, path, name) from None
        if "\0" in text:
            at = line + text[: text.index("\0")].count("\n")
            raise FileFormatError(
                f"{path}: line {at}: this is binary data; a table is read from CSV text."
            )
        line += text.count("\n")
        yield text
        if not chunk:
            return
        chunk = next(chunks, b"")


def _undecoded(
    error: UnicodeDecodeError, line: int, path: FilePath, name: str
) -> FileFormatError:
    before = error.object[: error.start].decode(name, errors="ignore")
    at = line + before.count("\n")
    found = f"{path}: line {at}: byte {error.object[error.start]:#04x} is not"
    if name in ("utf-8", "utf-8-sig"):
        return FileFormatError(
            f"{found} UTF-8; save the file as UTF-8, or name its encoding "
            "(--encoding cp1252, say)."
        )
    return FileFormatError(f"{found} {name}; the file is in another encoding.")
