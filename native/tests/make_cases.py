"""Writes whole plans, with their inputs and the reference's values, for test_plan.cpp.

    python make_cases.py FILE

Every operation's samples; products and sums of every size; steps of training for every
layer with every loss, the optimizers taking turns, and with products of many terms;
random graphs. In some plans threads divide all products of the batch by columns. The
file is numbers of eight bytes, least byte first: whole numbers, doubles, and texts and
lists after their length. `Writer` and `Case` show the order. Inputs are floats, so that
one case tests both types; each expected matrix comes with how far float64 and float32
may be from it.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import kokuban as kb
from kokuban import ops
from kokuban.expr import Const, Expr, Size, Symbol, apply, symbol
from kokuban.op import operations
from kokuban.optim.optimizer import RATE, STEP
from kokuban.run import schedule
from kokuban.run.lower import NotLowered, lower
from kokuban.run.plan import Argument, Instruction, Plan, sized
from kokuban.run.vm import PLACES
from kokuban.train.loop import Trainer

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from graphs import SIZES, graph, reference, rounding, rows_of
from oracles import draw

GRAPHS = 150
STEPS = 3
EPSILON = {np.float64: 2.0**-52, np.float32: 2.0**-23}
Matrices = Mapping[Expr, np.ndarray]


@dataclass
class Run:
    """One step: the rows to take, the draw of dropout, and what is set before it."""

    rows: int
    order: Sequence[int] = ()
    seed: int = 0
    draw: int = 0
    values: Matrices = field(default_factory=dict)


@dataclass
class Case:
    """A plan, what it runs on, and what its buffers hold after the last run.

    `close` is how far each expected matrix may be off, in float64 and in float32.
    """

    name: str
    plan: Plan
    most_rows: int
    values: Matrices
    runs: Sequence[Run]
    expected: Sequence[tuple[int, np.ndarray]]
    close: Sequence[tuple[float, float]]
    sources: Sequence[np.ndarray] = ()


class Writer:
    """The file's bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def whole(self, *numbers: int) -> None:
        self.parts += [struct.pack("<q", int(n)) for n in numbers]

    def real(self, *numbers: float) -> None:
        self.parts += [struct.pack("<d", float(n)) for n in numbers]

    def text(self, words: str) -> None:
        self.whole(len(words.encode()))
        self.parts.append(words.encode())

    def each(self, items: Iterable[Any], write: Callable[..., None]) -> None:
        items = list(items)
        self.whole(len(items))
        for item in items:
            write(item)

    def matrix(self, value: np.ndarray) -> None:
        self.whole(*value.shape)
        self.parts.append(np.ascontiguousarray(value, "<f8").tobytes())

    def instruction(self, item: Instruction) -> None:
        self.text(item.code)
        self.each(item.results, self.whole)
        self.each(item.operands, self.whole)
        self.each(item.ints, self.whole)
        self.each(item.numbers, self.real)
        self.whole(len(item.steps))
        for step in item.steps:
            self.text(step.micro)
            self.whole(step.tall)
            self.each(step.args, self._argument)
            self.whole(*step.to)
            self.real(step.value)
        self.whole(*item.fed, item.start, *map(sized, item.frame))
        self.whole(item.barrier, item.guarded, item.chain, item.by_columns)

    def _argument(self, argument: Argument) -> None:
        place, index, value = argument
        self.whole(PLACES.index(place), index)
        self.real(value)

    def case(self, case: Case) -> None:
        place = case.plan.places
        constants = {
            n: np.array(n.value, float, ndmin=2) for n in place if isinstance(n, Const)
        }

        def some(values: Matrices) -> None:
            known = {
                place[n]: case.plan.kept(n, v) for n, v in values.items() if n in place
            }
            self.whole(len(known))
            for number, value in known.items():
                self.whole(number)
                self.matrix(value)

        self.text(case.name)
        self.whole(case.plan.guard, case.most_rows)
        shapes = zip(case.plan.shapes, case.plan.memory, strict=True)
        self.each(
            ((*shape, memory) for shape, memory in shapes), lambda b: self.whole(*b)
        )
        self.each(case.plan.instructions, self.instruction)
        self.each(case.sources, self.matrix)
        some({**case.values, **constants})
        self.whole(len(case.runs))
        for run in case.runs:
            self.whole(run.rows)
            self.each(run.order, self.whole)
            self.whole(run.seed, run.draw)
            sizes = {n: np.full((1, 1), run.rows) for n in place if isinstance(n, Size)}
            some({**run.values, **sizes})
        self.whole(len(case.expected))
        for (number, value), close in zip(case.expected, case.close, strict=True):
            self.whole(number)
            self.matrix(value)
            self.real(*close)


def floats(value: np.ndarray) -> np.ndarray:
    """The nearest floats, as doubles."""
    return value.astype(np.float32).astype(float)


# ---------------------------------------------------------------- one run


def divided(by_columns: bool) -> Any:
    """While it is entered, threads divide products by columns, or as they would."""
    always = patch.multiple(schedule, WEIGHT=1, MOST_ROWS=999)
    return always if by_columns else nullcontext()


def evaluated(
    name: str,
    outputs: Sequence[Expr],
    values: Mapping[Symbol, np.ndarray],
    by_columns: bool = False,
) -> Iterator[Case]:
    """A case of expressions' values; none where they are too rough to be compared."""
    near = {s: floats(v) for s, v in values.items()}
    slack = rounding(outputs, near)
    if slack is None:
        return
    rows = rows_of(near)
    with divided(by_columns):
        plan = lower(outputs, rows=rows)
    exact = reference(outputs, near, np.float64)
    close = [(s * EPSILON[np.float64], s * EPSILON[np.float32]) for s in slack]
    expected = list(zip(plan.outputs, exact, strict=True))
    yield Case(name, plan, rows, near, [Run(rows)], expected, close)


def of_operations() -> Iterator[Case]:
    for op in operations():
        for k, sample in enumerate(op.samples):
            if op.name != "dropout_mask":  # which training has
                xs = [symbol(f"x{i}", s, "input") for i, s in enumerate(sample.shapes)]
                values = dict(zip(xs, draw(sample), strict=True))
                outputs = [apply(op.name, *xs, **sample.attrs)]
                yield from evaluated(f"{op.name} {k}", outputs, values)


def of_sizes() -> Iterator[Case]:
    """Each dimension of a product takes each size while the others keep theirs."""
    for size in SIZES:
        rng = np.random.default_rng(size)
        shapes = ((size, 17, 33), (17, size, 33), (33, 17, size), (size,) * 3)
        for case, (m, k, n) in enumerate(shapes):
            a, b = symbol("A", ("N", k), "input"), symbol("B", (k, n), "input")
            c, d = symbol("C", ("N", n), "input"), symbol("D", (m, n), "input")
            of = {a: (m, k), b: (k, n), c: (m, n), d: (m, n)}
            values = {s: rng.normal(size=shape) for s, shape in of.items()}
            outputs = [a @ b, a.T @ c, c @ b.T, b @ d.T, b.T, kb.softmax(c), d.T @ d]
            outputs += [ops.logsumexp(c), ops.row_max(d), ops.row_max(c @ b.T)]
            start = b.T[:1, :]  # of products that nothing else reads
            outputs += [kb.softmax(c / 8 @ b.T + start), kb.tanh(c / 6 @ b.T + start) * a]
            outputs += [kb.tanh(c / 7 @ b.T + a)]
            outputs += [
                kb.sum(s, over=o) for s in (c, d) for o in ("all", "rows", "columns")
            ]
            outputs += [kb.exp(c) * a[:, 0:1] + b[0:1, :] / 3, d[m // 2 :, n // 2 :]]
            yield from evaluated(f"sizes {m} {k} {n}", outputs, values, case > 1)


def of_graphs() -> Iterator[Case]:
    for seed in range(GRAPHS):
        drawn = graph(seed)
        try:
            yield from evaluated(f"graph {seed}", drawn.outputs, drawn.values)
        except NotLowered:
            continue


# ---------------------------------------------------------------- training

nn = kb.nn
ACTIVATIONS = [a for a in nn.activations.BY_NAME if a != "step"]
LAYERS: dict[str, Callable[[int], Sequence[nn.Layer]]] = {
    **{a: lambda _, a=a: [nn.activations.BY_NAME[a]()] for a in ACTIVATIONS},
    "batch norm": lambda n: [nn.BatchNorm(n), nn.Tanh()],
    "layer norm": lambda n: [nn.LayerNorm(n), nn.Tanh()],
    "residual": lambda n: [nn.Residual(nn.Affine(n, n), nn.Sigmoid())],
    "scalar": lambda _: [nn.ScalarAffine(), nn.Tanh()],
    "dropout": lambda _: [nn.Dropout(0.25)],
}
OPTIMIZERS = [
    kb.optim.SGD(0.05, weight_decay=0.01),
    kb.optim.Momentum(0.02),
    kb.optim.Nesterov(0.02),
    kb.optim.RMSprop(0.003),
    kb.optim.Adagrad(0.02),
    kb.optim.Adam(0.003, clip_norm=0.5),
    kb.optim.AdamW(0.003, clip_value=0.1),
]
LOSSES = [n for n in nn.LOSSES if n not in ("cross_entropy", "binary_cross_entropy")]
ETA = 2.0**-6


def of_training() -> Iterator[Case]:
    rng = random.Random(0)
    for i, layer in enumerate(LAYERS):
        for j, loss in enumerate(LOSSES):
            optimizer = OPTIMIZERS[(i + j) % len(OPTIMIZERS)]
            sizes = [rng.choice(SIZES) for _ in range(4)]
            if layer == "batch norm":  # of two rows it makes 1 and -1, whatever they are
                sizes[0] = max(sizes[0], 15)
            name = f"{layer}, {loss}, {type(optimizer).__name__} {sizes}"
            with divided(by_columns=(i + j) % 3 == 0):
                case = trained(name, LAYERS[layer], loss, optimizer, sizes)
            yield case


DEEP = (  # sizes of a net some of whose products have more terms than are summed at once
    (70, 1100, 70, 3),
    (70, 5, 70, 1100),
    (1100, 1, 17, 3),
    (1100, 5, 70, 3),
)


def of_deep_products() -> Iterator[Case]:
    for sizes in DEEP:
        for by_columns in (False, True):
            name = f"deep {list(sizes)}, by columns: {by_columns}"
            with divided(by_columns):
                yield trained(
                    name, LAYERS["relu"], "softmax_cross_entropy", OPTIMIZERS[0], sizes
                )


def trained(
    name: str,
    inner: Callable[[int], Sequence[nn.Layer]],
    loss: str,
    optimizer: kb.optim.Optimizer,
    sizes: Sequence[int],
) -> Case:
    """Some steps of training, the last with a short batch; sizes: batch, then columns."""
    batch, *columns = sizes
    layers = inner(columns[1])
    # before batch norm a bias has a gradient of exactly zero, and some optimizers would
    # divide rounding by rounding
    bias = not isinstance(layers[0], nn.BatchNorm)
    net = nn.Sequential(
        nn.Affine(columns[0], columns[1], bias),
        *layers,
        nn.Affine(columns[1], columns[2]),
    )
    model = kb.Model(net, loss=loss, dtype=np.float32)
    model.initialise(1)
    network = model.network
    data = data_for(network.inputs, network.targets, loss, 2 * batch + 1)
    begin = {s: floats(v) for s, v in model.values.items()}
    order = np.random.default_rng(batch).integers(0, 2 * batch + 1, STEPS * batch)
    batches = [order[k * batch : (k + 1) * batch] for k in range(STEPS)]
    batches[-1] = batches[-1][: max(1, batch // 2)]
    seen, trainers = [], []
    for dtype in (np.float64, np.float32):
        trainer = Trainer(
            network.loss,
            optimizer,
            begin,
            updates=network.updates,
            dtype=dtype,
            seed=7,
            engine="numpy",
        )
        for rows in batches:
            of_batch = {s: v[rows].astype(dtype) for s, v in data.items()}
            last = trainer.step(of_batch, ETA)
        seen.append([np.array([[last]]), *trainer.state.values.values()])
        trainers.append(trainer)
    exact, rough = seen
    trainer = trainers[0]
    plan = trainer.plan(list(data), batch)
    place = plan.places
    numbers = [plan.outputs[0], *(place.get(s, -1) for s in trainer.state.values)]
    held = [network.loss, *trainer.state.values]
    slots = {s: np.zeros(s.shape) for s in trainer.slots}
    runs = [
        Run(len(rows), rows, 7, k, {RATE: one(ETA), STEP: one(k + 1)})
        for k, rows in enumerate(batches)
    ]
    kept = [k for k, number in enumerate(numbers) if number >= 0]
    return Case(
        name,
        plan,
        batch,
        {**slots, **begin},
        runs,
        [(numbers[k], plan.kept(held[k], exact[k])) for k in kept],
        [closeness(exact[k], rough[k]) for k in kept],
        list(data.values()),
    )


def one(value: float) -> np.ndarray:
    return np.full((1, 1), value)


def closeness(exact: np.ndarray, rough: np.ndarray) -> tuple[float, float]:
    """How far both types may be off, by what float32 made of it in the reference."""
    scale = max(1.0, float(np.max(np.abs(exact))))
    off = float(np.max(np.abs(exact - rough)))
    return 1e-10 * scale + 1e-6 * off, 1e-5 * scale + 20 * off


def data_for(
    inputs: Sequence[Symbol], targets: Sequence[Symbol], loss: str, rows: int
) -> dict[Symbol, np.ndarray]:
    rng = np.random.default_rng(rows)
    filled = 0.2 if rows % 3 == 0 else 1.0  # in a third of the cases mostly zeros
    data = {}
    for s in inputs:
        x = rng.normal(size=(rows, s.shape[1]))
        data[s] = floats(x * (rng.uniform(size=x.shape) < filled))
    for s in targets:
        columns = s.shape[1]
        if loss == "softmax_cross_entropy":
            data[s] = np.eye(columns)[rng.integers(0, columns, rows)]
        elif kb.nn.LOSSES[loss].classes:
            data[s] = (rng.uniform(size=(rows, columns)) > 0.5).astype(float)
        else:
            data[s] = floats(np.abs(rng.normal(size=(rows, columns))))
    return data


def main(path: str) -> None:
    writer = Writer()
    parts = (
        of_operations(),
        of_sizes(),
        of_graphs(),
        of_training(),
        of_deep_products(),
    )
    cases = [case for part in parts for case in part]
    writer.text("kokuban plans 1")
    writer.each(cases, writer.case)
    Path(path).write_bytes(b"".join(writer.parts))
    print(f"{len(cases)} plans")


if __name__ == "__main__":
    main(sys.argv[1])
