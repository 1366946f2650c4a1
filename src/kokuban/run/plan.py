"""A plan: one flat list of instructions over numbered buffers, as the engine takes it.

`run/lower.py` makes plans from expressions. Every buffer and every step holds the
expression that it stands for, so a plan can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol, substitute, symbol, written
from kokuban.shape import Dim, Shape, show

BATCH = "N"  # the dimension of the samples

# What has no step of its own in a program; every other operation has one.
WHOLE = ("matmul", "transpose", "sum", "slice", "place", "mask", "copy")
EXPANDED = ("softmax", "logsumexp")  # written with what the engine has
PRODUCTS = ("matmul", "matmul_ta", "matmul_tb")
FEEDS = (*PRODUCTS, "sum_rows", "sum_all")  # go on into a program
STORED = ("full", "row", "column", "scalar")  # places of operands
REGISTERS = ("temporary", "tall")
Matrix = np.ndarray[Any, np.dtype[Any]]
Argument = tuple[str, int, float]  # place, index of a register or operand, number
Target = tuple[bool, int]  # whether it is stored; index of the result or register


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a program; `tall`: its result is a number for each row."""

    micro: str
    tall: bool
    args: tuple[Argument, ...]
    to: Target
    value: float = 0.0


@dataclass(slots=True)
class Instruction:
    """One instruction over a frame of rows and columns.

    formulas   what each result stands for
    steps      its program, into which the product or sum of `code` goes at `fed`
    start      the operand that a product is added to, or -1
    barrier    all threads wait before it
    guarded    it and all after it run only where the loss is finite
    chain      neighbours of one chain go through their rows together
    by_columns threads divide its columns, not its rows
    """

    code: str
    frame: Shape
    formulas: tuple[Expr, ...]
    results: tuple[int, ...]
    operands: tuple[int, ...] = ()
    ints: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    steps: tuple[Step, ...] = ()
    fed: Target = (False, 0)
    start: int = -1
    barrier: bool = False
    guarded: bool = False
    chain: int = 0
    by_columns: bool = False

    def in_place(self, operand: int, result: int) -> bool:
        """Whether a result can lie where an operand does: entry i needs only entry i."""
        at = {k for k, place in enumerate(self.operands) if place == operand}
        factors = 2 if self.code in PRODUCTS else int(self.code in FEEDS)
        if at & {*range(factors), self.start}:
            return False
        to = (True, self.results.index(result))
        written = [k for k, s in enumerate(self.steps) if s.to == to]
        read = [
            (k, place)
            for k, s in enumerate(self.steps)
            for place, index, _ in s.args
            if place in STORED and index in at
        ]
        return bool(written) and all(p == "full" and k <= written[0] for k, p in read)


@dataclass(slots=True)
class Plan:
    """Buffers and instructions. Buffers are numbered; each has the expression it holds.

    memory   for each buffer the piece of memory it lives in
    guard    the buffer of the loss that guarded instructions look at, or -1
    twins    symbols that are kept transposed, and the symbols whose buffers they have
    """

    buffers: list[Expr] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    guard: int = -1
    twins: dict[Symbol, Symbol] = field(default_factory=dict)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The buffers' shapes, the batch as -1."""
        return [(sized(b.shape[0]), sized(b.shape[1])) for b in self.buffers]

    @property
    def places(self) -> dict[Expr, int]:
        """Which buffer each expression has, and each symbol that is kept transposed."""
        own = {node: k for k, node in enumerate(self.buffers)}
        return own | {s: own[twin] for s, twin in self.twins.items()}

    def kept(self, node: Expr, value: Matrix) -> Matrix:
        """A value as its buffer has it; or what the buffer has, as the value."""
        return value.T if node in self.twins else value

    def work_a_row(self, rows: int) -> float:
        """Operations of the matrix products in a step, for each of so many rows."""
        work = 0
        for item in self.instructions:
            if item.code in PRODUCTS:
                inner = self.shapes[item.operands[1]][item.code == "matmul_tb"]
                sizes = (sized(item.frame[0]), sized(item.frame[1]), inner)
                a, b, c = (rows if d < 0 else d for d in sizes)
                work += 2 * a * b * c
        return work / rows

    def __str__(self) -> str:
        names = self._names()
        lines = []
        for item in self.instructions:
            rows, columns = item.frame
            if item.barrier:
                lines.append("-" * 7 + " every row done")
            how, many = ("columns", columns) if item.by_columns else ("rows", rows)
            how = "once" if many == 1 else how
            for place, formula in zip(item.results, item.formulas, strict=True):
                read = {self.buffers[k]: names[k] for k in item.operands}
                inner = [n for n in read if n is not formula and n.args]
                (short,) = substitute([formula], {n: read[n] for n in inner})
                text = written(short, 12, 90)
                if item.code == "take":
                    text = f"rows of {text}, as shuffled"
                lines.append(
                    f"{how:<7} {names[place].name:<6} <- {text:<60} {show(formula.shape)}"
                )
                how = ""
        return "\n".join(lines)

    def _names(self) -> list[Symbol]:
        """A symbol for each buffer: its own, or a short one."""
        return [
            b if isinstance(b, Symbol) else symbol(f"v{k}", b.shape, "state")
            for k, b in enumerate(self.buffers)
        ]


def is_named(node: Expr, *names: str) -> bool:
    """Whether a node is one of these operations."""
    return node.op is not None and node.op.name in names


def is_entrywise(node: Expr) -> bool:
    """Whether a node is a step of a program, entry by entry."""
    return node.op is not None and node.op.native not in (
        None,
        *WHOLE,
        *EXPANDED,
        "row_max",
    )


def sized(dim: Dim) -> int:
    """A dimension as the engine writes it."""
    return dim if isinstance(dim, int) else -1
