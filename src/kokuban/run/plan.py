"""Lowering: expressions become one flat list of instructions over numbered buffers.

Entrywise operations are gathered into small programs, products with a transposed left
factor read it in place, broadcasts are read where they are used. What runs row by row is
kept together; a barrier stands only where an instruction reads what other threads wrote.
The result of every instruction is an expression, so a plan can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kokuban.errors import KokubanError
from kokuban.expr import (
    Expr,
    Symbol,
    is_number,
    number,
    order,
    substitute,
    symbol,
    written,
)
from kokuban.ops import exp
from kokuban.shape import Dim, Shape, show

BATCH = "N"  # the dimension of the samples

ROW_BY_ROW = ("softmax", "logsumexp", "row_max")
# What has an instruction of its own; every other operation is a step of a program.
WHOLE = (*ROW_BY_ROW, "matmul", "transpose", "sum", "slice", "place", "mask", "copy")
MOST_STEPS = 40  # of one elementwise program

Argument = tuple[str, int, float]  # place, index of a register or operand, number


class NotLowered(KokubanError, NotImplementedError):
    """The native engine cannot take an expression; the message names the operation."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an elementwise program; result -1 is the instruction's own."""

    micro: str
    a: Argument
    b: Argument
    result: int
    value: float = 0.0


@dataclass(slots=True)
class Instruction:
    """One instruction. `aligned`: for each operand, whether row i needs only row i."""

    code: str
    node: Expr
    result: int
    operands: tuple[int, ...] = ()
    aligned: tuple[bool, ...] = ()
    ints: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    steps: tuple[Step, ...] = ()
    registers: int = 0
    barrier: bool = False
    chain: int = 0

    @property
    def partition(self) -> tuple[str, Dim]:
        """How threads divide it; the same partition gives a thread the same rows."""
        return ("rows", self.node.shape[0])


@dataclass(slots=True)
class Plan:
    """Buffers and instructions. Buffers are numbered; each has the expression it holds.

    swaps   pairs of buffers that change places after a step: old values and new ones
    """

    buffers: list[Expr] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    swaps: list[tuple[int, int]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The buffers' shapes, the batch as -1."""
        return [(_sized(b.shape[0]), _sized(b.shape[1])) for b in self.buffers]

    def work_a_row(self, rows: int) -> float:
        """Operations of the matrix products in a step, for each of so many rows."""
        work = 0
        for item in self.instructions:
            if item.code.startswith("matmul"):
                inner = self.shapes[item.operands[1]][0]
                sizes = (*self.shapes[item.result], inner)
                a, b, c = (rows if d < 0 else d for d in sizes)
                work += 2 * a * b * c
        return work / rows

    def __str__(self) -> str:
        names = self._names()
        lines = []
        for item in self.instructions:
            if item.barrier:
                lines.append("-" * 7 + " every row done")
            how = item.partition[0] if item.partition[1] != 1 else "once"
            holders = {self.buffers[k]: names[k] for k in item.operands}
            inner = [n for n in holders if n is not item.node and n.args]
            (formula,) = substitute([item.node], {n: holders[n] for n in inner})
            lines.append(
                f"{how:<7} {names[item.result].name:<6} <- "
                f"{written(formula, 12, 90):<60} "
                f"{show(item.node.shape)}"
            )
        for old, new in self.swaps:
            lines.append(f"then    {names[old].name:<6} <- {names[new].name}")
        return "\n".join(lines)

    def _names(self) -> list[Symbol]:
        """A symbol for each buffer: its own, or a short one."""
        return [
            b if isinstance(b, Symbol) else symbol(f"v{k}", b.shape, "state")
            for k, b in enumerate(self.buffers)
        ]


def _sized(dim: Dim) -> int:
    return dim if isinstance(dim, int) else -1


def _named(node: Expr, *names: str) -> bool:
    return node.op is not None and node.op.name in names


def _entrywise(node: Expr) -> bool:
    """Whether a node is a step of an elementwise program."""
    return node.op is not None and node.op.native not in (None, *WHOLE)


def lower(
    outputs: Sequence[Expr],
    sources: Sequence[Symbol] = (),
    assigned: Mapping[Symbol, Expr] | None = None,
) -> Plan:
    """The plan that computes `outputs`, and gives symbols their new values.

    `sources` are the symbols whose rows are taken from the data, batch by batch; all
    other symbols are buffers. Raises NotLowered for what the engine cannot take.
    """
    every = _shared_softmax([*outputs, *(assigned or {}).values()])
    outputs, new_values = every[: len(outputs)], every[len(outputs) :]
    assigned = dict(zip(assigned or {}, new_values, strict=True))
    lowering = _Lowering(every, sources)
    plan = lowering.plan
    plan.outputs = [lowering.buffer_of(o) for o in outputs]
    taken: set[int] = set(plan.outputs)
    for target, new in assigned.items():
        old, fresh = lowering.leaf(target), lowering.buffer_of(new)
        if fresh in taken or not _real(new).args:
            fresh = lowering.copy(new)
        taken.add(fresh)
        plan.swaps.append((old, fresh))
    plan.instructions = _scheduled(plan.instructions)
    return plan


def _shared_softmax(outputs: Sequence[Expr]) -> list[Expr]:
    """softmax(U) as e^(U - logsumexp(U)) where ln Σeᵘ is worked out anyway."""
    nodes = order(outputs)
    sums = {n.args[0]: n for n in nodes if _named(n, "logsumexp")}
    both = {n: n.args[0] for n in nodes if _named(n, "softmax") and n.args[0] in sums}
    return substitute(outputs, {n: exp(u - sums[u]) for n, u in both.items()})


def _real(node: Expr) -> Expr:
    """The node behind marks that change nothing at the run."""
    while _named(node, "distribution"):
        (node,) = node.args
    return node


class _Lowering:
    """One lowering under way: which nodes have buffers, and what fills them."""

    def __init__(self, outputs: Sequence[Expr], sources: Sequence[Symbol]) -> None:
        self.plan = Plan()
        self.sources = list(sources)
        self._place: dict[Expr, int] = {}
        self._outputs = {_real(o) for o in outputs}
        self._nodes = [n for n in order(outputs) if n is _real(n)]
        self._users: dict[Expr, list[Expr]] = {n: [] for n in self._nodes}
        for n in self._nodes:
            for a in n.args:
                self._users[_real(a)].append(n)
        self._root = self._groups()
        for node in self._nodes:
            self._lower(node)

    # ------------------------------------------------------------ what is kept

    def _groups(self) -> dict[Expr, Expr]:
        """For each entrywise node the node whose program it belongs to."""
        root: dict[Expr, Expr] = {}
        count: dict[Expr, int] = {}
        for node in reversed(self._nodes):
            if not _entrywise(node):
                continue
            users = self._users[node]
            roots = {root.get(u) for u in users if u.shape == node.shape}
            inside = (
                node not in self._outputs
                and len(roots) == 1
                and all(u in root and u.shape == node.shape for u in users)
            )
            found = roots.pop() if inside else None
            if found is None or count[found] >= MOST_STEPS:
                found = node
            root[node] = found
            count[found] = count.get(found, 0) + 1
        return root

    def _virtual(self, node: Expr) -> bool:
        """Whether a node is read through its argument and needs no buffer."""
        if node in self._outputs:
            return False
        users = self._users[node]
        if _named(node, "broadcast"):
            return all(u in self._root for u in users)
        if _named(node, "transpose"):
            return all(
                _named(u, "matmul") and _real(u.args[1]) is not node for u in users
            )
        return self._root.get(node, node) is not node

    def buffer_of(self, node: Expr) -> int:
        """The buffer of a node, made now if it is a leaf."""
        node = _real(node)
        return self._place[node] if node in self._place else self.leaf(node)

    def leaf(self, node: Expr) -> int:
        """The buffer of a symbol, constant or size."""
        if node not in self._place:
            self._place[node] = self._new(node)
        return self._place[node]

    def _new(self, node: Expr) -> int:
        for dim in node.shape:
            if isinstance(dim, str) and dim != BATCH:
                raise NotLowered(
                    f"The native engine knows one named dimension, {BATCH!r}; "
                    f"{written(node)} has {dim!r}."
                )
        self.plan.buffers.append(node)
        return len(self.plan.buffers) - 1

    def copy(self, node: Expr) -> int:
        """A buffer of its own with the value of a node."""
        result = self._new(node)
        step = Step("copy", ("full", 0, 0.0), ("number", 0, 0.0), -1)
        self.plan.instructions.append(
            Instruction(
                "elementwise",
                node,
                result,
                (self.buffer_of(node),),
                (True,),
                steps=(step,),
            )
        )
        return result

    # ------------------------------------------------------------ node by node

    def _lower(self, node: Expr) -> None:
        if isinstance(node, Symbol) and node in self.sources:
            self._emit("take", node, ints=(self.sources.index(node),))
        elif node.op is None:
            if not is_number(node):
                self.leaf(node)
        elif not self._virtual(node):
            if node in self._root:
                self._program(node)
            else:
                self._single(node)

    def _emit(
        self,
        code: str,
        node: Expr,
        operands: Iterable[Expr] = (),
        aligned: tuple[bool, ...] = (),
        ints: tuple[int, ...] = (),
        numbers: tuple[float, ...] = (),
    ) -> None:
        read = tuple(self.buffer_of(o) for o in operands)
        self._place[node] = self._new(node)
        self.plan.instructions.append(
            Instruction(code, node, self._place[node], read, aligned, ints, numbers)
        )

    def _single(self, node: Expr) -> None:
        assert node.op is not None
        name, attrs = node.op.name, dict(node.attrs)
        args = [_real(a) for a in node.args]
        if name == "matmul":
            if _named(args[0], "transpose"):
                inner = _real(args[0].args[0])
                self._emit("matmul_ta", node, (inner, args[1]), (False, False))
            else:
                self._emit("matmul", node, args, (True, False))
        elif name == "transpose":
            self._emit("transpose", node, args, (False,))
        elif name in ROW_BY_ROW:
            self._emit(name, node, args, (True,))
        elif name == "sum":
            over = attrs["over"]
            code = {"all": "sum_all", "rows": "sum_rows", "columns": "sum_columns"}[over]
            self._emit(code, node, args, (over == "columns",))
        elif name in ("slice", "place"):
            start = (attrs["start"], 0) if attrs["axis"] == 0 else (0, attrs["start"])
            if attrs["axis"] == 0 and BATCH in (node.shape[0], args[0].shape[0]):
                raise NotLowered(f"The native engine cannot {name} rows of the batch.")
            self._emit(name, node, args, (attrs["axis"] == 1,), start)
        elif name == "dropout_mask":
            rate = attrs["rate"]
            self._emit(
                "mask",
                node,
                ints=(attrs["stream"], int(rate * 2.0**32)),
                numbers=(1 / (1 - rate),),
            )
        elif name == "broadcast":
            self._spread(node)
        else:
            raise NotLowered(f"The native engine does not have the operation {name!r}.")

    def _spread(self, node: Expr) -> None:
        """A broadcast that must be written out."""
        operands: list[int] = []
        argument = self._argument(node, node.shape, {}, operands)
        result = self._place[node] = self._new(node)
        step = Step("copy", argument, ("number", 0, 0.0), -1)
        aligned = tuple(argument[0] == "column" for _ in operands)
        self.plan.instructions.append(
            Instruction(
                "elementwise", node, result, tuple(operands), aligned, steps=(step,)
            )
        )

    def _program(self, root: Expr) -> None:
        """The entrywise nodes of a group as one program with few registers."""
        inside = [n for n in self._nodes if self._root.get(n) is root]
        last_use = {a: k for k, n in enumerate(inside) for a in map(_real, n.args)}
        register: dict[Expr, int] = {}
        free: list[int] = []
        most, operands, steps = 0, list[int](), list[Step]()
        places: dict[int, set[str]] = {}
        for k, n in enumerate(inside):
            args = [self._argument(a, n.shape, register, operands) for a in n.args]
            for place, index, _ in args:
                if place in ("full", "row", "column", "scalar"):
                    places.setdefault(index, set()).add(place)
            for a in dict.fromkeys(map(_real, n.args)):
                if last_use[a] == k and a in register:
                    free.append(register.pop(a))
            if n is root:
                result = -1
            else:
                result = free.pop() if free else most
                most = max(most, result + 1)
                register[n] = result
            assert n.op is not None
            attrs = dict(n.attrs)
            value = float(attrs.get("exponent", attrs.get("at_zero", 0.0)))
            b = args[1] if len(args) > 1 else ("number", 0, 0.0)
            assert n.op.native is not None
            steps.append(Step(n.op.native, args[0], b, result, value))
        self._place[root] = self._new(root)
        aligned = tuple(places[k] <= {"full", "column"} for k in range(len(operands)))
        self.plan.instructions.append(
            Instruction(
                "elementwise",
                root,
                self._place[root],
                tuple(operands),
                aligned,
                steps=tuple(steps),
                registers=most,
            )
        )

    def _argument(
        self, node: Expr, shape: Shape, register: Mapping[Expr, int], operands: list[int]
    ) -> Argument:
        """Where a program of the given shape finds a node."""
        node = _real(node)
        if node in register:
            return ("temporary", register[node], 0.0)
        if is_number(node):
            return ("number", 0, number(node))
        place = "full"
        if _named(node, "broadcast") and node not in self._place:
            (node,) = map(_real, node.args)  # read where it is used
        if node.shape != shape:
            one_row, one_column = node.shape[0] != shape[0], node.shape[1] != shape[1]
            place = "scalar" if one_row and one_column else "row" if one_row else "column"
        buffer = self.buffer_of(node)
        if buffer not in operands:
            operands.append(buffer)
        return (place, operands.index(buffer), 0.0)


def _scheduled(items: Sequence[Instruction]) -> list[Instruction]:
    """An order with few barriers: what needs one waits until nothing else is left."""
    waiting = list(items)
    written_by = {item.result: item for item in items}
    done: list[Instruction] = []
    ready: set[int] = set()  # results there are
    fresh: dict[int, tuple[str, Dim]] = {}  # written since the last barrier, how divided
    chain = 0

    def able(item: Instruction) -> bool:
        return all(o not in written_by or o in ready for o in item.operands)

    def free(item: Instruction) -> bool:
        return all(
            o not in fresh or (aligned and fresh[o] == item.partition)
            for o, aligned in zip(item.operands, item.aligned, strict=True)
        )

    while waiting:
        candidates = [w for w in waiting if able(w)]
        now = [w for w in candidates if free(w)]
        barrier = not now
        if barrier:
            fresh, now = {}, candidates
        same = [w for w in now if done and w.partition == done[-1].partition]
        item = (same or now)[0]
        item.barrier = barrier
        if barrier or not done or done[-1].partition != item.partition:
            chain += 1
        item.chain = chain if item.partition == ("rows", BATCH) else 0
        waiting.remove(item)
        done.append(item)
        ready.add(item.result)
        fresh[item.result] = item.partition
    return done
