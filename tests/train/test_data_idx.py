"""IDX files: every type and rank, and every way for a file to be wrong."""

import gzip
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from numpy.typing import NDArray

from kokuban.errors import DataError, FileFormatError, StorageError
from kokuban.train.data import read_idx, read_idx_pair

SHARED = Path(__file__).parents[3] / "shared" / "data"
IMAGES = SHARED / "mnist-10k-images-idx3-ubyte.gz"
LABELS = SHARED / "mnist-10k-labels-idx1-ubyte.gz"

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def header(code: int, *shape: int) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def idx(array: NDArray[Any], dtype: str = "u1") -> bytes:
    return header(CODES[dtype], *array.shape) + array.astype(dtype).tobytes()


def write(folder: Path, data: bytes, name: str = "data") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3), (1, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("dtype", CODES)
def test_each_type_and_rank(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], packed: bool
) -> None:
    values = np.array([0, 1, 2, 100, 3, 127])
    if not dtype.endswith("u1"):
        values[1:] *= -1
    data = idx(values.reshape(shape), dtype)
    array = read_idx(write(tmp_path, gzip.compress(data) if packed else data))
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert array.dtype.isnative
    assert array.flags.writeable
    np.testing.assert_array_equal(array, values.reshape(shape))


def test_bytes_spelt_out(tmp_path: Path) -> None:
    # 2 x 2 two-byte integers: 1, -2, 258, 0
    data = bytes.fromhex("00000b02 00000002 00000002 0001 fffe 0102 0000")
    assert read_idx(write(tmp_path, data)).tolist() == [[1, -2], [258, 0]]


GOOD = idx(np.arange(6).reshape(2, 3))

WRONG = {
    "empty": (b"", "the file is empty"),
    "empty gzip": (gzip.compress(b""), "the file is empty"),
    "two bytes": (b"\0\0", "starts with the bytes 00 00; an IDX file"),
    "png": (b"\x89PNG\r\n\x1a\n", r"starts with the bytes 89 50 4e 47 \(a PNG image\)"),
    "csv": (b"1,2,3\n", "starts with the bytes 31 2c 32 2c; an IDX file"),
    "csv in gzip": (gzip.compress(b"1,2,3\n"), "starts with the bytes 31 2c 32 2c"),
    "type": (b"\0\0\x0a\1" + b"\0\0\0\1" + b"\0", "one of 08, 09, 0b, 0c, 0d, 0e"),
    "rank 0": (header(8), "rank 0; it may be 1 to 32"),
    "rank 33": (header(8, *[1] * 33) + b"\0", "rank 33"),
    "half a header": (GOOD[:9], "rank 2 needs 12 bytes, there are 9"),
    "header only": (GOOD[:12], "says 6 bytes of entries, there are 0"),
    "one byte short": (GOOD[:-1], "says 6 bytes of entries, there are 5"),
    "one byte long": (GOOD + b"\0", "bytes follow after the 6"),
    "long in gzip": (gzip.compress(GOOD + b"\0"), "bytes follow after the 6"),
    "short in gzip": (gzip.compress(GOOD[:-1]), "says 6 bytes of entries, there are 5"),
    "size 0": (header(8, 3, 0, 2), "3 x 0 x 2 entries: there is no data"),
    "absurd": (header(14, *[2**32 - 1] * 3) + b"\0", "the most that is read is"),
    "cut gzip": (gzip.compress(GOOD)[:-9], "damaged gzip data"),
    "gzip header only": (gzip.compress(GOOD)[:10], "damaged gzip data"),
    "wrong checksum": (gzip.compress(GOOD)[:-8] + b"\1" * 8, "damaged gzip data"),
    "after gzip": (gzip.compress(GOOD) + b"more", "damaged gzip data"),
    "broken gzip": (gzip.compress(GOOD)[:10] + b"\xff" * 20, "damaged gzip data"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file(tmp_path: Path, name: str) -> None:
    data, message = WRONG[name]
    path = write(tmp_path, data)
    with pytest.raises(FileFormatError, match=message) as error:
        read_idx(path)
    assert str(error.value).startswith(f"{path}: ")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(StorageError, match="a folder, not a file"):
        read_idx(tmp_path)
    with pytest.raises(StorageError, match="cannot be read"):
        read_idx(tmp_path / ("x" * 5000))


def peak_of_refusal(path: Path) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_follows_the_data_and_not_the_header(tmp_path: Path) -> None:
    promised = write(tmp_path, header(8, 2**31) + b"\0")
    assert peak_of_refusal(promised) < 4 << 20


def test_unpacking_stops_where_the_header_says(tmp_path: Path) -> None:
    bomb = write(tmp_path, gzip.compress(header(8, 4) + bytes(64 << 20)))
    assert peak_of_refusal(bomb) < 4 << 20


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert read_idx(path, max_bytes=6).shape == (2, 3)
    with pytest.raises(FileFormatError, match=r"6 bytes; the most .* is 5\.$"):
        read_idx(path, max_bytes=5)


@given(st.binary(max_size=64), st.booleans())
@example(gzip.compress(GOOD), False)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, prefix: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.idx"
    path.write_bytes(b"\0\0\x08\x01\0\0\0" + data if prefix else data)
    try:
        array = read_idx(path)
    except FileFormatError:
        return
    assert array.size > 0


def pair(
    folder: Path, images: NDArray[Any], labels: NDArray[Any], *types: str
) -> tuple[Path, Path]:
    x_type, t_type = types or ("u1", "u1")
    return (
        write(folder, idx(images, x_type), "images"),
        write(folder, gzip.compress(idx(labels, t_type)), "labels"),
    )


def test_pair(tmp_path: Path) -> None:
    images = np.array([[[0, 255], [51, 102]], [[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    x, t = read_idx_pair(*pair(tmp_path, images, np.array([3, 0, 9])))
    assert x.dtype == np.float32
    assert t.dtype == np.int64
    assert x.shape == (3, 4)
    np.testing.assert_allclose(x[0], [0, 1, 0.2, 0.4], rtol=1e-6)
    assert t.tolist() == [3, 0, 9]


SQUARES = np.zeros((3, 2, 2))
LIST = np.arange(3)


@pytest.mark.parametrize(
    ("images", "labels", "types", "message"),
    [
        (SQUARES, np.arange(4), ("u1", "u1"), "holds 3 images, .* 4 labels"),
        (LIST, SQUARES, ("u1", "u1"), "give the images first"),
        (LIST, LIST, ("u1", "u1"), "images are unsigned bytes.*these are uint8, 3\\."),
        (SQUARES, LIST, (">f4", "u1"), "these are float32, 3 x 2 x 2"),
        (SQUARES, SQUARES, ("u1", "u1"), "labels are a list.*3 x 2 x 2"),
        (SQUARES, LIST, ("u1", ">f8"), "whole numbers; these are float64, 3"),
        (SQUARES, LIST - 1, ("u1", ">i4"), "label -1 of image 1 is below 0"),
    ],
    ids=[
        "lengths",
        "swapped",
        "list",
        "floats",
        "square labels",
        "float labels",
        "minus",
    ],
)
def test_wrong_pair(
    tmp_path: Path,
    images: NDArray[Any],
    labels: NDArray[Any],
    types: tuple[str, str],
    message: str,
) -> None:
    with pytest.raises(DataError, match=message):
        read_idx_pair(*pair(tmp_path, images, labels, *types))


@pytest.mark.skipif(not IMAGES.exists(), reason="../shared/data is not here")
def test_mnist() -> None:
    x, t = read_idx_pair(IMAGES, LABELS)
    assert x.shape == (10_000, 784)
    assert (x.min(), x.max()) == (0, 1)
    assert t[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(t).tolist() == counts
    assert np.all(x[0].reshape(28, 28)[:7] == 0)  # the first digit begins lower down


@pytest.mark.skipif(not IMAGES.exists(), reason="../shared/data is not here")
def test_mnist_the_wrong_way_round_and_cut(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give the images first"):
        read_idx_pair(LABELS, IMAGES)
    cut = write(tmp_path, IMAGES.read_bytes()[:100_000])
    with pytest.raises(FileFormatError, match="damaged gzip data"):
        read_idx(cut)
