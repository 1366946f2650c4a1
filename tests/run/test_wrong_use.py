"""Wrong use of the native engine: refused with a reason, and never the process's end."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban import ops
from kokuban.expr import symbol
from kokuban.nn.build import DRAW
from kokuban.run.compiled import Compiled
from kokuban.run.lower import NotLowered, lower
from kokuban.run.vm import Machine, native

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")

# ---------------------------------------------------------------- plans


def item(code: str, result: list[int], operands: list[int], **changes: Any) -> Any:
    """An instruction as the binding takes it; its frame is N×2."""
    fields = {
        "code": native().codes().index(code) if code else 99,
        "results": result,
        "operands": operands,
        "ints": [],
        "numbers": [],
        "steps": [],
        "fed": (True, 0),
        "start": -1,
        "rows": -1,
        "columns": 2,
        "barrier": False,
        "guarded": False,
        "chain": 0,
        "by_columns": False,
    }
    return tuple({**fields, **changes}.values())


def micro(name: str, args: list[Any], to: Any, *, tall: bool = False) -> Any:
    """A step as the binding takes it."""
    return (native().micros().index(name), tall, args, to, 0.0)


def good() -> tuple[Any, ...]:
    """An engine for one product, as the binding takes it."""
    return native().Engine64, (
        "baseline",
        [(-1, 3, 0), (3, 2, 1), (-1, 2, 2)],
        [item("matmul", [2], [0, 1])],
        -1,
        4,
        1,
        1e6,
    )


REFUSED: list[tuple[int, Any]] = [
    (0, "avx9"),
    (1, [(-1, 3, 0), (4, 2, 1), (-1, 2, 2)]),
    (1, [(-1, 3, 0), (3, 2, 1), (0, 2, 2)]),
    (1, [(-1, 3, 0), (3, 2, 1), (1 << 30, 1 << 30, 2)]),
    (1, [(-1, 3, 0), (3, 2, 1), (-1, 2, 3)]),
    (1, [(-1, 3, 0), (3, 2, 1), (-1, 2, 0)]),
    (3, 3),
    (4, 0),
]
if native() is not None:
    WIDE, ROW, STORED = (2, 0, 0.0), (3, 0, 0.0), (True, 0)
    REFUSED += [
        (2, [changed])
        for changed in (
            item("", [2], [0, 1]),
            item("matmul", [7], [0, 1]),
            item("matmul", [2], [0, -1]),
            item("matmul", [2], [0]),
            item("matmul", [0], [0, 1]),
            item("matmul", [], [0, 1]),
            item("matmul", [2], [0, 1], fed=(True, 1)),
            item("matmul", [2], [0, 1], fed=(False, 99)),
            item("matmul", [2], [0, 1], fed=(False, 0)),
            item("matmul", [2], [0, 1], start=0),
            item("matmul", [2], [0, 1, 0], start=2),
            item("matmul", [2], [0, 1], rows=5),
            item("entries", [2], [0], steps=[]),
            item("entries", [2], [0], steps=[micro("exp", [WIDE], STORED)]),
            item("entries", [2], [2], steps=[micro("exp", [ROW], STORED)]),
            item("entries", [2], [2], steps=[micro("exp", [WIDE], (True, 3))]),
            item("entries", [2], [2], steps=[micro("exp", [WIDE], (False, -1))]),
            item("entries", [2], [2], steps=[micro("exp", [(0, 0, 0.0)], STORED)]),
            item("entries", [2], [2], steps=[micro("exp", [WIDE], STORED, tall=True)]),
            item("entries", [2], [2], steps=[micro("row_sum", [WIDE], STORED)]),
            item("entries", [2], [2], steps=[(99, False, [WIDE], STORED, 0.0)]),
            item("entries", [2], [2], steps=[micro("exp", [(9, 0, 0.0)], STORED)]),
            item("entries", [2], [2], steps=[micro("exp", [], STORED)]),
            item("entries", [2], [2], steps=[micro("row_sum", [], STORED, tall=True)]),
            item("entries", [2], [2], steps=[micro("add", [WIDE], STORED)]),
            item("entries", [2], [2], steps=[micro("add", [WIDE] * 3, STORED)]),
            item("take", [2], [], ints=[99]),
            item("transpose", [2], [0]),
            item("slice", [2], [0], ints=[0, 2]),
            item("mask", [2], [], ints=[1]),
            item("transpose", [2], [1], start=1),
            item("sum_rows", [1], [1], chain=1),
        )
    ]


@pytest.mark.parametrize(("place", "value"), REFUSED)
def test_a_plan_that_does_not_hold_is_refused(place: int, value: Any) -> None:
    kind, arguments = good()
    assert kind(*arguments)
    changed = [*arguments]
    changed[place] = value
    with pytest.raises(ValueError, match=r"\w"):
        kind(*changed)


def test_memory_that_is_not_there_is_a_memory_error() -> None:
    kind, arguments = good()
    huge = [(1 << 19, 1 << 20, 0), (3, 2, 1), (-1, 2, 2)]
    with pytest.raises(MemoryError):
        kind(arguments[0], huge, [], -1, 4, 1, 1e6)


@pytest.mark.parametrize("threads", [-5, 0, 1, 10**6])
def test_any_number_of_threads_works(threads: int) -> None:
    kind, arguments = good()
    engine = kind(*arguments[:5], threads, 1e9)
    a, b = np.arange(12.0).reshape(4, 3), np.ones((3, 2))
    engine.set(0, a)
    engine.set(1, b)
    if threads < 10:  # so many can perhaps not be had, nor are they of use
        engine.once(4)
        found = np.empty((4, 2))
        engine.get(2, found)
        assert np.array_equal(found, a @ b)


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("value", [None, "x", [()], [(1, 2)], [[0] * 13], float])
def test_what_is_no_plan_at_all(place: int, value: Any) -> None:
    kind, arguments = good()
    changed = [*arguments]
    changed[place] = value
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        kind(*changed)


@pytest.mark.filterwarnings("ignore:nanobind:RuntimeWarning")  # which says the same
def test_engines_are_made_once_and_not_copied() -> None:
    kind, arguments = good()
    engine = kind(*arguments)
    with pytest.raises((TypeError, RuntimeError)):
        engine.__init__(*arguments)
    with pytest.raises(TypeError):
        _ = kind.__new__(kind).bytes
    for duplicate in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError):
            duplicate(engine)


# ---------------------------------------------------------------- arrays


def multiplied(engine: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    engine.batch_rows(len(a))
    engine.set(0, a)
    engine.set(1, b)
    engine.once(len(a))
    found = np.full((len(a), 2), np.nan)
    engine.get(2, found)
    return found


WRONG_ARRAYS: dict[str, Callable[[], Any]] = {
    "shape": lambda: np.ones((2, 3)),
    "no rows": lambda: np.ones((0, 2)),
    "no columns": lambda: np.ones((3, 0)),
    "one dimension": lambda: np.ones(6),
    "three dimensions": lambda: np.ones((3, 2, 1)),
    "a number": lambda: 1.0,
    "float32": lambda: np.ones((3, 2), np.float32),
    "integers": lambda: np.ones((3, 2), np.int64),
    "complex": lambda: np.ones((3, 2), np.complex128),
    "the other byte order": lambda: np.ones((3, 2), ">f8"),
    "objects": lambda: np.ones((3, 2), object),
    "columns first": lambda: np.ones((2, 3)).T,
    "every other row": lambda: np.ones((6, 2))[::2],
    "backwards": lambda: np.ones((3, 2))[::-1],
    "repeated": lambda: np.broadcast_to(np.ones((1, 2)), (3, 2)),
    "a list": lambda: [[1.0, 1.0]] * 3,
    "bytes": lambda: b"x" * 48,
    "None": lambda: None,
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_an_array_that_does_not_fit_is_refused(name: str) -> None:
    kind, arguments = good()
    engine = kind(*arguments)
    for use in (engine.set, engine.get):
        with pytest.raises((ValueError, TypeError)):
            use(1, WRONG_ARRAYS[name]())
    assert np.array_equal(
        multiplied(engine, np.ones((2, 3)), np.ones((3, 2))), [[3, 3]] * 2
    )


def test_what_is_read_may_be_read_only_and_what_is_written_not() -> None:
    kind, arguments = good()
    engine = kind(*arguments)
    fixed = np.ones((3, 2))
    fixed.flags.writeable = False
    engine.set(1, fixed)
    with pytest.raises(TypeError):
        engine.get(1, fixed)
    x = np.ones((4, 3))
    y = np.zeros((4, 2))
    y.flags.writeable = False
    with pytest.raises(TypeError):
        engine.forward(0, x, 2, y, -1)


@pytest.mark.parametrize("number", [-1, 3, 1 << 30, -(1 << 31)])
def test_a_buffer_that_is_not_there(number: int) -> None:
    kind, arguments = good()
    engine = kind(*arguments)
    a = np.ones((4, 3))
    for use in (engine.set, engine.get):
        with pytest.raises(ValueError, match="no such buffer"):
            use(number, a)
    for places in ((number, 2), (0, number)):
        with pytest.raises(ValueError, match="no such buffer"):
            engine.forward(places[0], a, places[1], np.ones((4, 2)), -1)
    with pytest.raises(ValueError, match="no such source"):
        engine.source(-1 if number < 0 else 64, a)


@pytest.mark.parametrize("rows", [-1, 0, 5, 1 << 62, -(1 << 63)])
def test_batches_that_do_not_fit(rows: int) -> None:
    kind, arguments = good()
    engine = kind(*arguments)
    for use in (engine.once, engine.batch_rows):
        with pytest.raises(ValueError, match="rows of a batch"):
            use(rows)


# ---------------------------------------------------------------- runs over data


def taking() -> tuple[Any, np.ndarray]:
    """An engine that takes rows of data, N×2, and gives the sum of them; the data."""
    engine = native().Engine64(
        "baseline",
        [(-1, 2, 0), (1, 1, 1)],
        [
            item("take", [0], [], ints=[0]),
            item("sum_all", [1], [0], rows=1, columns=1, barrier=True),
        ],
        -1,
        4,
        1,
        1.0,
    )
    data = np.arange(20.0).reshape(10, 2)
    engine.source(0, data)
    return engine, data


def run(engine: Any, **changes: Any) -> Any:
    """Three batches of four, the last of two rows."""
    arguments = {
        "order": np.arange(10),
        "size": 4,
        "first": 0,
        "last": 3,
        "rates": np.zeros(3),
        "step": 0,
        "seed": 0,
        "settings": [-1, -1, -1, 1],
        "seconds": 10.0,
        "total": 0.0,
        "asked": None,
    }
    return engine.run(*{**arguments, **changes}.values())


def test_a_run() -> None:
    engine, data = taking()
    done, total, last = run(engine)
    assert done == 3
    assert last == data[8:].sum()
    assert total == 4 * data[:4].sum() + 4 * data[4:8].sum() + 2 * last


LARGE = 1 << 62


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 0},
        {"size": -4},
        {"size": 5},
        {"size": LARGE},
        {"first": -1},
        {"first": 3},
        {"last": 4},
        {"first": LARGE - 1, "last": LARGE, "rates": np.zeros(1)},
        {"first": LARGE // 2 - 1, "last": LARGE // 2, "size": 8},
        {"last": LARGE},
        {"last": -1},
        {"order": np.arange(0)},
        {"order": np.arange(10) - 1},
        {"order": np.arange(10) + 1},
        {"order": np.full(10, LARGE)},
        {"order": np.arange(10, dtype=np.int32)},
        {"order": np.arange(20)[::2]},
        {"order": np.arange(10.0)},
        {"order": np.arange(10).reshape(5, 2)},
        {"rates": np.zeros(2)},
        {"rates": np.zeros(3, np.float32)},
        {"rates": np.zeros((3, 1))},
        {"step": -1},
        {"step": (1 << 63) - 1},
        {"seed": -1},
        {"seed": 1 << 64},
        {"settings": [-1, -1, -1]},
        {"settings": [-1, -1, -1, -1]},
        {"settings": [7, -1, -1, 1]},
        {"settings": [-1, -1, -1, 2]},
        {"seconds": None},
    ],
    ids=str,
)
def test_a_run_that_does_not_hold_is_refused(changes: dict[str, Any]) -> None:
    engine, _ = taking()
    with pytest.raises((ValueError, TypeError)):
        run(engine, **changes)
    assert run(engine)[0] == 3


def test_a_run_for_no_time_at_all_does_a_step() -> None:
    engine, _ = taking()
    for seconds in (0.0, -1.0, float("-inf"), float("nan"), float("inf")):
        assert run(engine, seconds=seconds)[0] >= 1


def test_data_that_do_not_fit_the_plan() -> None:
    engine, data = taking()
    with pytest.raises(ValueError, match="no rows to take"):
        engine.once(2)
    for wrong in (np.ones((10, 3)), np.ones((10, 1)), np.ones((0, 2))):
        engine.source(0, wrong)
        with pytest.raises(ValueError, match=r"no such data|do not have"):
            run(engine)
    engine.source(0, data[:9])  # row 9 is not there any more
    with pytest.raises(ValueError, match="that the data do not have"):
        run(engine)
    engine.source(1, data[:5])  # another source has fewer
    with pytest.raises(ValueError, match="that the data do not have"):
        run(engine, order=np.arange(9) % 8)


@pytest.mark.parametrize("bad", [-1.0, 2.0, 0.5, np.nan, np.inf, -np.inf, 1e300])
def test_ones_in_columns_that_are_not_there(bad: float) -> None:
    engine, data = taking()
    ones = np.arange(10.0)[:, None] % 2
    with pytest.raises(ValueError, match="more than one 1 a row"):
        engine.source(0, data, 2)
    wrong = ones.copy()
    wrong[7] = bad
    with pytest.raises(ValueError, match="a 1 in a column"):
        engine.source(0, wrong, 2)
    engine.source(0, ones, 3)
    with pytest.raises(ValueError, match="no such data"):
        run(engine)
    engine.source(0, ones, 2)
    done, total, last = run(engine)
    assert (done, total, last) == (3, 4 * 4 + 4 * 4 + 2 * 2, 2)
    ones[:] = bad  # what was right may be changed, and nothing breaks
    assert run(engine)[0] == 3


def test_data_live_as_long_as_the_engine_reads_them() -> None:
    engine, data = taking()
    copies = [data.copy() for _ in range(5)]
    wanted = run(engine)
    for _ in range(5):
        engine.source(0, copies.pop())
        gc.collect()
        _ = [np.full((10, 2), np.nan) for _ in range(50)]  # where they would have been
        assert run(engine) == wanted


# ---------------------------------------------------------------- predictions


def test_predictions_of_rows_that_do_not_fit() -> None:
    kind, arguments = good()
    engine = kind(*arguments)
    engine.set(1, np.ones((3, 2)))
    x, y = np.ones((9, 3)), np.empty((9, 2))
    assert engine.forward(0, x, 2, y, -1) == -1
    assert np.array_equal(y, np.full((9, 2), 3.0))
    assert engine.forward(0, x[:0], 2, y[:0], -1) == -1
    for wrong_x, wrong_y in (
        (np.ones((9, 2)), y),
        (x, np.empty((8, 2))),
        (x, np.empty((9, 3))),
        (x[:, :0], y),
        (x.astype(np.float32), y),
        (np.asfortranarray(x), y),
        (x[::2], y[:5]),
        (x, y[::-1]),
    ):
        with pytest.raises((ValueError, TypeError)):
            engine.forward(0, wrong_x, 2, wrong_y, -1)
    with pytest.raises(ValueError, match="input without a row a sample"):
        engine.forward(1, np.ones((1, 2)), 2, np.empty((1, 2)), -1)  # 3×2, whatever x is
    with pytest.raises(ValueError, match="output without a row a sample"):
        engine.forward(0, x[:2], 1, np.empty((2, 2)), -1)
    with pytest.raises(ValueError, match="no such buffer"):
        engine.forward(0, x, 2, y, 9)


# ---------------------------------------------------------------- threads of Python


def test_one_engine_in_many_threads() -> None:
    """Whatever they do to it at the same time, each call is done as if alone."""
    engine, data = taking()
    wanted, wrong = run(engine), list[Any]()
    copies = [data.copy() for _ in range(4)]

    def runs() -> None:
        for _ in range(300):
            found = run(engine)
            if found != wanted:
                wrong.append(found)

    def disturbs() -> None:
        for k in range(600):
            engine.source(0, copies[k % 4].copy())
            engine.batch_rows(1 + k % 4)

    threads = [threading.Thread(target=f) for f in (runs, runs, disturbs, disturbs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_an_order_that_changes_while_it_is_read() -> None:
    """Rows are taken from a copy that was checked."""
    engine, _ = taking()
    order, over = np.arange(10), threading.Event()

    def spoils() -> None:
        k = 0
        while not over.is_set():
            order[3] = (3, LARGE)[k % 2]
            k += 1

    thread = threading.Thread(target=spoils, daemon=True)
    thread.start()
    seen, runs = set[str](), 0
    while runs < 300 or len(seen) < 2:
        try:
            run(engine, order=order)
            seen.add("run")
        except ValueError:
            seen.add("refused")
        runs += 1
    over.set()
    thread.join()


# ---------------------------------------------------------------- from Python


def a_machine() -> tuple[Machine, Any, Any]:
    x, w = kb.input("X", ("N", 3)), kb.parameter("W", (3, 2))
    return Machine(lower([x @ w]), np.float64, 4), x, w


def test_a_machine_takes_any_array_of_the_right_shape() -> None:
    machine, x, w = a_machine()
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 8)).T[::2], np.asfortranarray(rng.normal(size=(3, 2)))
    b.flags.writeable = False
    (found,) = machine.once({x: a, w: b}, 4)
    np.testing.assert_allclose(found, a @ b, rtol=1e-14)
    (found,) = machine.once({x: a.astype(np.float32), w: np.ones((3, 2), int)}, 4)
    np.testing.assert_allclose(found, a.astype(np.float32) @ np.ones((3, 2)), rtol=1e-6)


def test_a_machine_refuses_what_does_not_fit() -> None:
    machine, x, w = a_machine()
    good_x, good_w = np.ones((4, 3)), np.ones((3, 2))
    for wrong in ({x: good_x[:3], w: good_w}, {x: good_x, w: good_w.T}):
        with pytest.raises(ValueError, match="shape"):
            machine.once(wrong, 4)
    for rows in (0, -1, 5):
        with pytest.raises(ValueError, match="rows of a batch"):
            machine.once({x: good_x, w: good_w}, rows)
    with pytest.raises(ValueError, match=r"shape|not its buffer"):
        machine.forward(x, np.ones((4, 2)))
    with pytest.raises(kb.errors.ShapeError, match="different numbers of rows"):
        machine.sources([good_x, good_x[:2]])
    (found,) = machine.once({x: good_x, w: good_w}, 4)
    assert np.array_equal(found, np.full((4, 2), 3.0))


def test_masks_are_drawn_in_training_only() -> None:
    """Elsewhere their seed is a value that the engine would not see."""
    x = kb.input("X", ("N", 3))
    dropped = x * ops.dropout_mask(DRAW, 0.5, x.shape)
    with pytest.raises(NotLowered, match="dropout_mask in training only"):
        lower([dropped])
    values = {x: np.ones((5, 3)), DRAW: np.array([[3, 7]])}
    (found,) = Compiled([dropped])(values)
    assert np.array_equal(found, kb.evaluate(dropped, values))


def test_a_loss_that_takes_a_new_value_itself() -> None:
    s = kb.parameter("s", (1, 1))
    with pytest.raises(NotLowered, match="cannot give s as a result, since it"):
        lower([s], [], {s: s * 0.5})


def test_samples_in_columns() -> None:
    x = symbol("X", ("N", 3), "input")
    with pytest.raises(NotLowered, match="keeps samples in rows"):
        lower([kb.exp(x.T)])


def test_an_ended_engine_can_only_be_read() -> None:
    kind, given = good()
    engine = kind(*given)
    weight = np.arange(6.0).reshape(3, 2)
    engine.set(1, weight)
    engine.end([1])
    kept = np.zeros((3, 2))
    engine.get(1, kept)
    np.testing.assert_array_equal(kept, weight)
    x, y = np.zeros((4, 3)), np.zeros((4, 2))
    for use in (
        lambda: engine.once(4),
        lambda: engine.set(0, x),
        lambda: engine.get(2, y),
        lambda: engine.forward(0, x, 2, y, -1),
        lambda: engine.end([0]),
        lambda: engine.end([7]),
    ):
        with pytest.raises(ValueError, match=r"has ended|no such buffer"):
            use()
    engine.end([1])
    engine.get(1, kept)
    np.testing.assert_array_equal(kept, weight)
