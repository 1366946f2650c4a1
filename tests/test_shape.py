"""Shapes, dimensions and the sizes that data give them."""

from __future__ import annotations

import numpy as np
import pytest

from kokuban.errors import ShapeError, nearest, unknown
from kokuban.shape import bind, dimension, shape_of, show, size_of


@pytest.mark.parametrize(
    ("given", "expected"), [(3, 3), (np.int64(7), 7), ("N", "N"), ("標本", "標本")]
)
def test_dimensions(given: object, expected: int | str) -> None:
    found = dimension(given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "given", [0, -3, 1.0, True, None, "", "3", "a b", "N-1", b"N", [3]]
)
def test_what_is_no_dimension(given: object) -> None:
    with pytest.raises(ShapeError, match="A dimension is"):
        dimension(given)


@pytest.mark.parametrize("given", [3, "Nx", (3,), (1, 2, 3), None, {1: 2, 3: 4}])
def test_what_is_no_shape(given: object) -> None:
    with pytest.raises(ShapeError, match="A shape has two dimensions"):
        shape_of(given)


def test_shapes_are_shown_as_people_write_them() -> None:
    assert show(shape_of(["N", np.int32(4)])) == "N×4"


def test_sizes() -> None:
    assert size_of(3, {}) == 3
    assert size_of("N", {"N": 8}) == 8
    with pytest.raises(ShapeError, match="size of dimension 'M' is not known"):
        size_of("M", {"N": 8})


def test_bind_notes_the_named_dimensions() -> None:
    sizes: dict[str, int] = {}
    bind(sizes, ("N", 4), (8, 4), "X")
    bind(sizes, ("N", "M"), (8, 2), "Y")
    assert sizes == {"N": 8, "M": 2}


WRONG = [
    (("N", 4), (8, 5), "X is N×4; its value is 8×5."),
    (("N", 4), (9, 4), "X is N×4; its value is 9×4 (N = 8 elsewhere)."),
    (("K", "K"), (2, 3), "X is K×K; its value is 2×3 (K = 2 elsewhere)."),
    (("N", 4), (4,), "its value has 1 dimensions (shape (4,)). Reshape it to two"),
    ((1, 1), (), "X is 1×1, a matrix; its value has 0 dimensions"),
    (("M", 4), (0, 4), "X is M×4; its value is empty, 0×4."),
]


@pytest.mark.parametrize(("shape", "actual", "message"), WRONG)
def test_bind_refuses(
    shape: tuple[int | str, int | str], actual: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        bind({"N": 8}, shape, actual, "X")
    assert message in str(caught.value)


def test_the_nearest_name_is_offered() -> None:
    assert (
        nearest("softmx", ["softmax", "softplus", "tanh"]) == " Did you mean 'softmax'?"
    )
    assert nearest("zzz", ["softmax"]) == ""
    message = str(unknown("loss", "mze", ["mse", "mae"]))
    assert message == "Unknown loss 'mze'. Did you mean 'mse'? Known: mae, mse."
