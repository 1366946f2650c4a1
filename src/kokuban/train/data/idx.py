"""IDX files: arrays as the MNIST data set stores them, plain or gzipped.

The format (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"):
two zero bytes, one byte for the type, one for the rank, the size of each dimension as a
big-endian 32-bit integer, then the entries, big-endian, the last dimension fastest.
"""

import gzip
import math
import zlib
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError, FileFormatError
from kokuban.train.data.files import FilePath, kind_of, opened

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_RANK = 32  # what every NumPy can hold
_CHUNK = 1 << 20

_Stream = BufferedReader | gzip.GzipFile


def read_idx(path: FilePath, max_bytes: int = 1 << 33) -> NDArray[Any]:
    """The array in an IDX file, in the machine's own byte order.

    Memory grows with the bytes that are really there, never with what the header says;
    a gzipped file is unpacked only as far as the header says, and at most `max_bytes`.

    Raises FileFormatError: the file is missing, empty, of another kind, truncated, longer
    than its header says, damaged, without entries, or larger than `max_bytes`.
    """
    with opened(path) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        stream: _Stream = gzip.GzipFile(fileobj=file) if packed else file
        try:
            dtype, shape = _read_header(stream, path)
            size = math.prod(shape) * dtype.itemsize
            if size > max_bytes:
                raise FileFormatError(
                    f"{path}: the header says {_product(shape)} entries, {size:,} bytes; "
                    f"the most that is read is {max_bytes:,}."
                )
            data = _read_exactly(stream, size, path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{path}: damaged gzip data ({error}).") from error
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(
    stream: _Stream, path: FilePath
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    head = stream.read(4)
    if not head:
        raise FileFormatError(f"{path}: the file is empty.")
    if head[:2] != b"\0\0" or len(head) < 4 or head[2] not in _TYPES:
        codes = ", ".join(f"{code:02x}" for code in _TYPES)
        kind = f" ({kind})" if (kind := kind_of(head)) else ""
        raise FileFormatError(
            f"{path}: starts with the bytes {head.hex(' ')}{kind}; an IDX file starts "
            f"with 00 00, a type (one of {codes}) and the rank."
        )
    rank = head[3]
    if not 1 <= rank <= _MAX_RANK:
        raise FileFormatError(f"{path}: rank {rank}; it may be 1 to {_MAX_RANK}.")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise FileFormatError(
            f"{path}: truncated in the header: rank {rank} needs {4 + 4 * rank} bytes, "
            f"there are {4 + len(sizes)}."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        raise FileFormatError(f"{path}: {_product(shape)} entries: there is no data.")
    return _TYPES[head[2]], shape


def _read_exactly(stream: _Stream, size: int, path: FilePath) -> bytearray:
    """The `size` bytes that remain; reading one more shows that none follow, and makes
    gzip compare its checksum."""
    data = bytearray()
    while len(data) <= size:
        chunk = stream.read(min(_CHUNK, size + 1 - len(data)))
        if not chunk:
            break
        data += chunk
    if len(data) < size:
        raise FileFormatError(
            f"{path}: truncated: the header says {size:,} bytes of entries, "
            f"there are {len(data):,}."
        )
    if len(data) > size:
        raise FileFormatError(
            f"{path}: bytes follow after the {size:,} that the header says."
        )
    return data


def _product(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def read_idx_pair(
    images: FilePath, labels: FilePath
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images and their labels, ready for training.

    Returns x, (images, pixels) float32, each grey level 0..255 divided by 255, and t,
    (images,) int64.

    Raises FileFormatError as `read_idx` does, and DataError where the images are not
    unsigned bytes of rank 2 or more, the labels not a list of whole numbers from 0 on, or
    the two files differ in length.
    """
    x, t = read_idx(images), read_idx(labels)
    if x.ndim < 2 <= t.ndim:
        raise DataError(
            f"{images} holds a list and {labels} images: give the images first."
        )
    if x.ndim < 2 or x.dtype != np.uint8:
        raise DataError(
            f"{images}: images are unsigned bytes, n x rows x columns; these are "
            f"{x.dtype}, {_product(x.shape)}."
        )
    if t.ndim != 1 or t.dtype.kind not in "iu":
        raise DataError(
            f"{labels}: labels are a list of whole numbers; these are {t.dtype}, "
            f"{_product(t.shape)}."
        )
    if len(x) != len(t):
        raise DataError(f"{images} holds {len(x):,} images, {labels} {len(t):,} labels.")
    if t.min() < 0:
        raise DataError(
            f"{labels}: label {t.min()} of image {int(t.argmin()) + 1} is below 0."
        )
    rows = x.reshape(len(x), -1).astype(np.float32)
    rows /= np.float32(255)
    return rows, t.astype(np.int64)
