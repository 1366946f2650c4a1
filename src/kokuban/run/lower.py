"""Lowering: expressions become a plan that the native engine runs.

What the engine has no kernel for is first written with what it has. Each node is then a
task, tasks are scheduled into groups, and a group is one instruction: a product or a sum
with the entrywise steps that follow it. New values of symbols are written over the old
ones where nobody reads those any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kokuban.errors import KokubanError
from kokuban.expr import Expr, Symbol, is_number, number, order, plain, rebuild, written
from kokuban.ops import exp, log, relu, row_max, step, sum as sum_of
from kokuban.run.narrow import Narrow
from kokuban.run.plan import (
    BATCH,
    EXPANDED,
    PRODUCTS,
    REGISTERS,
    Argument,
    Instruction,
    Plan,
    Step,
    Target,
    is_entrywise,
    is_named,
)
from kokuban.run.schedule import Group, Task, copied, gradients_early, scheduled
from kokuban.shape import Shape

# What two steps make, by the argument of the second that the first is.
TOGETHER = {
    ("multiply", "add", 0): "multiply_add",
    ("multiply", "add", 1): "multiply_add",
    ("multiply", "subtract", 0): "multiply_subtract",
    ("multiply", "subtract", 1): "subtract_multiple",
    ("multiply", "multiply_add", 2): "add_products",
    ("step", "multiply", 0): "multiply_step",
    ("step", "multiply", 1): "multiply_step",
    ("square", "multiply", 0): "multiply_square",
    ("square", "multiply", 1): "multiply_square",
    ("multiply_square", "add", 0): "multiply_square_add",
    ("multiply_square", "add", 1): "multiply_square_add",
    ("multiply_square", "multiply_add", 2): "add_product_of_square",
    ("square", "row_sum", 0): "row_sum_of_squares",
    ("sqrt", "add", 0): "root_add",
    ("sqrt", "add", 1): "root_add",
    ("multiply", "divide", 0): "part",
    ("part", "add", 0): "add_part",
    ("part", "add", 1): "add_part",
    ("part", "subtract", 1): "subtract_part",
    ("subtract", "exp", 0): "exp_difference",
    ("subtract", "multiply", 0): "difference_multiple",
    ("subtract", "multiply", 1): "difference_multiple",
    ("multiply_subtract", "divide", 0): "multiply_subtract_part",
}


class NotLowered(KokubanError, NotImplementedError):
    """The native engine cannot take an expression; the message names the operation."""


def lower(
    outputs: Sequence[Expr],
    sources: Sequence[Symbol] = (),
    assigned: Mapping[Symbol, Expr] | None = None,
    rows: int = 0,
) -> Plan:
    """The plan that computes `outputs`, and gives symbols their new values.

    `sources` are the symbols whose rows are taken from the data, batch by batch; all
    other symbols are buffers. Symbols take new values only where the first output, the
    loss, is finite. `rows` is how many a batch has, or 0: with many, memory is saved,
    with few, threads divide large weights, and small networks keep narrow ones
    transposed. Raises NotLowered for what the engine cannot take.
    """
    both = [
        o for o in map(_real, outputs) if isinstance(o, Symbol) and o in (assigned or {})
    ]
    if both:
        raise NotLowered(
            f"The native engine cannot give {both[0].name} as a result, since it takes a "
            "new value."
        )
    every, written_as = _expanded(plain([*outputs, *(assigned or {}).values()]))
    new_values = dict(zip(assigned or {}, every[len(outputs) :], strict=True))
    program = Narrow(every[: len(outputs)], new_values, written_as, rows)
    tasks = _Tasks(program.outputs, sources, program.assigned)
    gradients_early(tasks.all, rows)
    groups = scheduled(tasks.all, rows)
    plan = _Emission(program.outputs, groups, bool(assigned), program.shown).plan
    plan.twins = program.twins
    return plan


def _real(node: Expr) -> Expr:
    """The node behind marks that change nothing at the run."""
    while is_named(node, "distribution"):
        (node,) = node.args
    return node


# ---------------------------------------------------------------- expressions


def _expanded(outputs: Sequence[Expr]) -> tuple[list[Expr], dict[Expr, Expr]]:
    """Without softmax and logsumexp, and sums over all entries taken row by row first.

    With m the largest entry of a row of U, softmax(U) = e^(U - m)/Σe^(U - m) and
    ln Σe^U = m + ln Σe^(U - m) share their terms. ReLU's derivative is read off its
    output, which is kept anyway. What divides many entries is inverted once. Also gives
    what each node was before, for the reader.
    """
    new: dict[Expr, Expr] = {}
    before: dict[Expr, Expr] = {}
    nodes = order(outputs)
    rectified = {n.args[0] for n in nodes if is_named(n, "relu")}
    for node in nodes:
        args = tuple(new[a] for a in node.args)
        if is_named(node, *EXPANDED):
            (u,) = args
            most = row_max(u)
            terms = exp(u - most)
            total = sum_of(terms, over="columns")
            new[node] = (
                terms * (1 / total) if is_named(node, "softmax") else log(total) + most
            )
        elif is_named(node, "divide") and _repeats_a_vector(args[1]):
            new[node] = args[0] * (1 / args[1].args[0])
        elif is_named(node, "step") and node.args[0] in rectified and _at_zero(node) == 0:
            new[node] = step(relu(args[0]), at_zero=0)
        elif (
            is_named(node, "sum")
            and dict(node.attrs)["over"] == "all"
            and _has_rows(args[0])
        ):
            each_row = sum_of(args[0], over="columns")
            before[each_row] = sum_of(node.args[0], over="columns")
            new[node] = sum_of(each_row, over="all")
        else:
            new[node] = rebuild(node, args)
        before.setdefault(new[node], node)
    return [new[o] for o in outputs], before


def _at_zero(node: Expr) -> float:
    return float(dict(node.attrs)["at_zero"])


def _repeats_a_vector(node: Expr) -> bool:
    return is_named(node, "broadcast") and node.args[0].shape != (1, 1)


def _reads_transposed(node: Expr) -> bool:
    """Whether a node is a product that reads a transposed factor where it lies."""
    return is_named(node, "matmul") and not all(
        is_named(_real(a), "transpose") for a in node.args
    )


def _has_rows(node: Expr) -> bool:
    return 1 not in node.shape


# ---------------------------------------------------------------- nodes to tasks


class _Tasks:
    """One task for each node that has a value of its own."""

    def __init__(
        self,
        outputs: Sequence[Expr],
        sources: Sequence[Symbol],
        assigned: Mapping[Symbol, Expr],
    ) -> None:
        self.all: list[Task] = []
        self._sources = list(sources)
        self._training = bool(assigned)
        every = [*outputs, *assigned.values()]
        self._kept = {_real(o) for o in every}
        self._nodes = [n for n in order(every) if n is _real(n)]
        self._users: dict[Expr, list[Expr]] = {n: [] for n in self._nodes}
        for n in self._nodes:
            for a in n.args:
                self._users[_real(a)].append(n)
        for node in self._nodes:
            self._add(node)
        asked = set(map(_real, outputs))
        for task in self.all:
            task.kept = task.gives in asked
        self._assign(assigned, tuple(map(_real, outputs[:1])))

    def _assign(self, assigned: Mapping[Symbol, Expr], loss: tuple[Expr, ...]) -> None:
        """New values are written in place where a task gives them, else copied."""
        maker = {t.gives: t for t in self.all if t.gives is not None}
        for symbol, new in assigned.items():
            task = maker.get(_real(new))
            free = task is not None and task.target is None and task.gives not in loss
            if task is not None and free and task.kind != "alone":
                task.give_to(symbol, loss)
            else:
                self.all.append(copied(_real(new), symbol, loss))

    def _virtual(self, node: Expr) -> bool:
        """Whether a node is read through its argument and needs no value."""
        if node in self._kept:
            return False
        users = self._users[node]
        if is_named(node, "broadcast"):
            return all(map(is_entrywise, users))
        if is_named(node, "transpose"):
            return all(map(_reads_transposed, users))
        return False

    def _add(self, node: Expr) -> None:
        if isinstance(node, Symbol) and node in self._sources:
            self._alone("take", node, (), (self._sources.index(node),))
        elif node.op is None or self._virtual(node):
            return
        elif is_entrywise(node):
            self._entry(node)
        else:
            self._other(node)

    def _append(
        self, kind: str, code: str, node: Expr, *reads: tuple[Expr, bool]
    ) -> None:
        frame = reads[0][0].shape if kind == "row" else node.shape
        self.all.append(Task(kind, code, frame, node, node, list(reads)))

    def _alone(
        self,
        code: str,
        node: Expr,
        reads: tuple[tuple[Expr, bool], ...],
        ints: tuple[int, ...] = (),
        numbers: tuple[float, ...] = (),
    ) -> None:
        self.all.append(
            Task("alone", code, node.shape, node, node, list(reads), ints, numbers)
        )

    def _entry(self, node: Expr) -> None:
        assert node.op is not None
        assert node.op.native is not None
        reads = []
        for a in node.args:
            read, place = self.place(a, node.shape)
            if read is not None:
                reads.append((read, place in ("full", "column")))
        squared = node.op.native == "power" and dict(node.attrs)["exponent"] == 2
        self._append("entry", "square" if squared else node.op.native, node, *reads)

    @staticmethod
    def place(node: Expr, shape: tuple[object, ...]) -> tuple[Expr | None, str]:
        """What a step of the given shape reads for a node, and where that lies."""
        node = _real(node)
        if is_number(node):
            return None, "number"
        if is_named(node, "broadcast"):
            (node,) = map(_real, node.args)  # read where it is used
        if node.shape == shape:
            return node, "full"
        one_row, one_column = node.shape[0] != shape[0], node.shape[1] != shape[1]
        return (
            node,
            "scalar" if one_row and one_column else "row" if one_row else "column",
        )

    def _other(self, node: Expr) -> None:
        assert node.op is not None
        name, attrs = node.op.name, dict(node.attrs)
        args = [_real(a) for a in node.args]
        by_rows = node.shape[0] != 1
        if name == "matmul" and is_named(args[0], "transpose"):
            inner = _real(args[0].args[0])
            self._append("feed", "matmul_ta", node, (inner, False), (args[1], False))
        elif name == "matmul" and is_named(args[1], "transpose"):
            inner = _real(args[1].args[0])
            self._append("feed", "matmul_tb", node, (args[0], by_rows), (inner, False))
        elif name == "matmul":
            self._append("feed", "matmul", node, (args[0], by_rows), (args[1], False))
        elif name == "transpose":
            self._alone("transpose", node, ((args[0], False),))
        elif name == "row_max" or (name == "sum" and attrs["over"] == "columns"):
            one = args[0].shape[1] == 1
            code = "copy" if one else "row_max" if name == "row_max" else "row_sum"
            self._append("entry" if one else "row", code, node, (args[0], True))
        elif name == "sum":
            self._append("feed", f"sum_{attrs['over']}", node, (args[0], False))
        elif name in ("slice", "place"):
            across = attrs["axis"] == 1
            if not across and BATCH in (node.shape[0], args[0].shape[0]):
                raise NotLowered(f"The native engine cannot {name} rows of the batch.")
            start = (0, attrs["start"]) if across else (attrs["start"], 0)
            self._alone(name, node, ((args[0], across and by_rows),), start)
        elif name == "dropout_mask":
            if not self._training:  # whose seed and step the engine knows
                raise NotLowered("The native engine draws dropout_mask in training only.")
            rate = attrs["rate"]
            ints = (attrs["stream"], int(rate * 2.0**32))
            self._alone("mask", node, (), ints, (1 / (1 - rate),))
        elif name == "broadcast":
            column = args[0].shape[0] == node.shape[0]
            self._append("entry", "copy", node, (args[0], column))
        else:
            raise NotLowered(f"The native engine does not have the operation {name!r}.")


# ---------------------------------------------------------------- groups to instructions


class _Emission:
    """The plan under way: buffers for what is stored, and each group's instruction."""

    def __init__(
        self,
        outputs: Sequence[Expr],
        groups: Sequence[Group],
        guarded: bool,
        written_as: Mapping[Expr, Expr],
    ) -> None:
        self.plan = Plan()
        self._written_as = written_as
        self._place: dict[Expr, int] = {}
        self._assigned = {
            t.gives for g in groups for t in g.tasks if t.target is not None
        }
        self._readers: dict[Expr, list[Group]] = {}
        for group in groups:
            for n in (n for t in group.tasks for n, _ in t.reads):
                self._readers.setdefault(n, []).append(group)
        self._outputs = {_real(o) for o in outputs}
        for group in groups:
            self._instruction(group)
        self.plan.outputs = [self.buffer(_real(o)) for o in outputs]
        if guarded:
            self.plan.guard = self.plan.outputs[0]
        self._share_memory()

    def buffer(self, node: Expr) -> int:
        """The buffer of a node, made now."""
        if node not in self._place:
            for dim in node.shape:
                if isinstance(dim, str) and dim != BATCH:
                    raise NotLowered(
                        f"The native engine knows one named dimension, {BATCH!r}; "
                        f"{written(node)} has {dim!r}."
                    )
            if node.shape[1] == BATCH:
                raise NotLowered(
                    f"The native engine keeps samples in rows; {written(node)} has them "
                    "in columns."
                )
            self._place[node] = len(self.plan.buffers)
            self.plan.buffers.append(self.shown(node))
        return self._place[node]

    def shown(self, node: Expr) -> Expr:
        """A node as it was before it was written for the engine."""
        return self._written_as.get(node, node)

    def stored(self, node: Expr, group: Group) -> bool:
        """Whether a value must outlive its group."""
        others = any(g is not group for g in self._readers.get(node, ()))
        return others or node in self._outputs or node in self._assigned

    def result(self, task: Task) -> int:
        """The buffer that takes a task's value: its target's, or one of its own."""
        if task.target is None:
            return self.buffer(task.node)
        place = self.buffer(task.target)
        if task.gives is not None:
            self._place[task.gives] = place
        return place

    def _instruction(self, group: Group) -> None:
        first = group.first
        item = _Program(self, group).item if first.kind != "alone" else None
        if item is None:
            read = tuple(self.buffer(n) for n, _ in first.reads)
            item = Instruction(
                first.code,
                first.frame,
                (self.shown(first.node),),
                (self.result(first),),
                read,
                first.ints,
                first.numbers,
            )
        item.barrier, item.chain = group.barrier, group.chain
        item.by_columns = group.by_columns
        item.guarded = any(t.target is not None for t in group.tasks)
        self.plan.instructions.append(item)

    def _share_memory(self) -> None:
        """Pieces of memory for the buffers: shared where a barrier lies between.

        Within an instruction too, where no other thread reads what was there before.
        """
        plan = self.plan
        phase, users = 0, dict[int, dict[int, list[Instruction]]]()  # in each phase
        for item in plan.instructions:
            phase += item.barrier
            for k in {*item.results, *item.operands}:
                users.setdefault(k, {}).setdefault(phase, []).append(item)
        passing = {
            k
            for k, b in enumerate(plan.buffers)
            if k in users and b.args and k not in plan.outputs
        }
        plan.memory = list(range(len(plan.buffers)))
        held: dict[Shape, list[int]] = {}  # the last buffer in each piece
        for k in sorted(passing, key=lambda k: min(users[k])):
            begin, pieces = min(users[k]), held.setdefault(plan.buffers[k].shape, [])
            maker = users[k][begin][0]
            for old in pieces:
                end, own = max(users[old]), len(users[old]) == 1  # its rows, a thread's
                last = users[old][end]
                fits = last[-1] is maker and (own or len(last) == 1)
                if end < begin or (end == begin and fits and maker.in_place(old, k)):
                    pieces.remove(old)
                    plan.memory[k] = plan.memory[old]
                    break
            pieces.append(k)


class _Program:
    """The instruction of one group, its values in registers or results."""

    def __init__(self, emission: _Emission, group: Group) -> None:
        self._emission, self._group = emission, group
        self._where: dict[Expr, Target] = {}
        self._free: list[int] = []
        self._most = 0
        self._operands: list[int] = []
        self._results: list[int] = []
        self._formulas: list[Expr] = []
        self._steps: list[Step] = []
        self._start = -1
        # the task of each step, and the registers that it was the last to read
        self._done: list[tuple[Task, list[tuple[bool, int]]]] = []
        self._uses: dict[Expr, int] = {}
        for t in group.tasks:
            for n, _ in t.reads:
                self._uses[n] = self._uses.get(n, 0) + 1
        tasks, fed = list(group.tasks), (False, 0)
        code = "entries"
        if group.first.kind == "feed":
            code = group.first.code
            for n, _ in group.first.reads:
                self._operands.append(emission.buffer(n))
            last = self._begin(tasks)
            fed = self._target(last)
        for task in self._near_use(tasks):
            self._step(task)
        self.item = Instruction(
            code,
            group.first.frame,
            tuple(self._formulas),
            tuple(self._results),
            tuple(self._operands),
            steps=tuple(self._steps),
            fed=fed,
            start=self._start,
        )

    def _begin(self, tasks: list[Task]) -> Task:
        """Take the product off the tasks, with a sum that it can start from."""
        product = tasks.pop(0)
        assert product.gives is not None
        if (
            product.code not in PRODUCTS
            or not tasks
            or tasks[0].code != "add"
            or self._uses.get(product.gives) != 1
            or self._emission.stored(product.gives, self._group)
        ):
            return product
        frame = self._group.first.frame
        places = [_Tasks.place(a, frame) for a in tasks[0].node.args]
        for (node, place), (other, _) in zip(places, reversed(places), strict=True):
            apart = node is not None and node not in self._where
            if other is product.gives and apart and place in ("full", "row"):
                self._start = self._operand(node)  # type: ignore[arg-type]
                return tasks.pop(0)
        return product

    def _near_use(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks, each that only one other reads right before that, as far as can be.

        So steps go on from each other. What takes longer to work out comes first: then
        fewer values wait. A task stays before those that overwrite what it reads.
        """
        user = {n: k for k, t in enumerate(tasks) for n, _ in t.reads}
        then = list(range(len(tasks)))  # the one with which each is done
        makers: dict[Expr, int] = {}  # of what is worked out right before its use
        for k, t in reversed(list(enumerate(tasks))):
            if t.kind != "entry" or t.gives is None or self._uses.get(t.gives) != 1:
                continue
            read, later = {n for n, _ in t.reads}, then[user[t.gives]]
            kept = self._emission.stored(t.gives, self._group)
            if not kept and all(other.target not in read for other in tasks[k:later]):
                makers[t.gives], then[k] = k, later
        before: list[list[int]] = []
        depth: list[int] = []
        for t in tasks:
            before.append([makers[n] for n, _ in t.reads if n in makers])
            before[-1].sort(key=lambda k: -depth[k])
            depth.append(1 + max((depth[k] for k in before[-1]), default=0))

        def with_makers(k: int) -> list[Task]:
            return [t for j in before[k] for t in with_makers(j)] + [tasks[k]]

        return [t for k in range(len(tasks)) if then[k] == k for t in with_makers(k)]

    def _operand(self, node: Expr) -> int:
        """The index of an operand that a step reads."""
        place = self._emission.buffer(node)
        factors = 2 if self._group.first.code in PRODUCTS else 0
        if self._group.first.kind == "feed" and not factors:
            factors = 1
        if place in self._operands[factors:]:
            return self._operands.index(place, factors)
        self._operands.append(place)
        return len(self._operands) - 1

    def _target(self, task: Task) -> Target:
        """Where a task's value goes."""
        node = task.gives
        if node is None or self._emission.stored(node, self._group):
            self._results.append(self._emission.result(task))
            self._formulas.append(self._emission.shown(task.node))
            found = (True, len(self._results) - 1)
        else:
            index = self._free.pop() if self._free else self._most
            self._most = max(self._most, index + 1)
            found = (False, index)
        if node is not None:
            self._where[node] = found
        return found

    def _step(self, task: Task) -> None:
        tall = task.kind == "row" or task.frame != self._group.first.frame
        of = task.node.args if task.code != "copy" else (task.reads[0][0],)
        code, attrs = task.code, dict(task.node.attrs) if task.code != "copy" else {}
        value = float(attrs.get("at_zero", attrs["exponent"] if code == "power" else 0.0))
        args: tuple[Argument, ...]
        if task.kind == "row":  # of its argument as it stands, a broadcast too
            args = (self._found(_real(of[0]), "full", False),)
        else:
            args = tuple(self._argument(a, task.frame, tall) for a in of)
        over: list[tuple[bool, int]] = []  # registers that the step is the last to read
        while joined := self._with_last(task, code, args, tall):
            before = self._steps.pop()
            code, args, value = *joined, before.value
            freed = self._done.pop()[1]
            held = [k for is_tall, k in freed if is_tall and not tall]
            self._free = [k for k in self._free if k not in held]
            over += [(True, k) for k in held]
        for n, _ in task.reads:
            self._uses[n] -= 1
            if not self._uses[n] and n in self._where and not self._where[n][0]:
                over.append((n in self._group.tall, self._where[n][1]))
        # a wide result must not lie where the next panel finds a number for each row
        self._free += [k for is_tall, k in over if tall or not is_tall]
        to = self._target(task)
        self._free += [k for is_tall, k in over if is_tall and not tall]
        self._steps.append(Step(code, tall, args, to, value))
        self._done.append((task, over))

    def _with_last(
        self, task: Task, code: str, args: tuple[Argument, ...], tall: bool
    ) -> tuple[str, tuple[Argument, ...]] | None:
        """A step with the one before in it, if that was made just for it."""
        if not self._steps:
            return None
        before, (last, _) = self._steps[-1], self._done[-1]
        if before.to[0] or last.gives is None or self._uses.get(last.gives) != 1:
            return None
        if before.tall != (tall and task.kind != "row") or last.frame != task.frame:
            return None
        if task.kind == "row" and before.args[0][0] not in ("temporary", "full"):
            return None
        for k, (place, index, _) in enumerate(args):
            together = TOGETHER.get((before.micro, code, k))
            if together and place in REGISTERS and index == before.to[1]:
                return together, (*before.args, *args[:k], *args[k + 1 :])
        return None

    def _argument(self, node: Expr, shape: tuple[object, ...], tall: bool) -> Argument:
        """Where a step of the given shape finds a node."""
        read, place = _Tasks.place(node, shape)
        if read is None:
            return ("number", 0, number(_real(node)))
        return self._found(read, place, tall)

    def _found(self, read: Expr, place: str, tall: bool) -> Argument:
        """Where a value that lies at `place` is now: perhaps in a register."""
        if read in self._where:
            stored, index = self._where[read]
            wide = read in self._group.wide
            if not stored:
                return ("temporary" if wide else "tall", index, 0.0)
            place = "full" if wide else "column"
        elif tall:  # of a step m×1, where a number is as wide as the result
            place = {"full": "column", "row": "scalar"}.get(place, place)
        return (place, self._operand(read), 0.0)
