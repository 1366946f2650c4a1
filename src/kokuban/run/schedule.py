"""Scheduling: tasks in an order with few barriers, gathered into groups.

A group becomes one instruction: a product or a sum, and the entrywise tasks that go on
from it while its entries are in cache. Threads share out the rows of a group; a barrier
stands only where a task reads what other threads wrote since the last one, or would
overwrite what they may still read.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kokuban.expr import Expr, Symbol
from kokuban.run.plan import BATCH, sized
from kokuban.shape import SCALAR, Dim, Shape

MANY = 1 << 18  # numbers of an activation that is worth a barrier
FEWER = 4  # times as many as in the gradient that it is kept for
LONG = 1.5e10  # operations that a step may go on for when it is to be broken off
WEIGHT = 1 << 16  # numbers of a weight that is worth two barriers
MOST_ROWS = 1  # of a batch, for each of its columns

MOST_TASKS = 40  # of one group
MOST_VALUES = 24  # of one group: each takes a register at most
FUSED_COLUMNS = 128  # a wider product is not held for a sum over its rows
TRANSPOSED_COLUMNS = 16  # nor one by a factor that each thread transposes

Partition = tuple[str, Dim]


@dataclass(eq=False, slots=True)
class Task:
    """One value to work out.

    kind     entry: a step of a program; row: a number for each row of its argument;
             feed: a product or sum that a program can go on from; alone: none of these
    code     the engine's name of it
    frame    the shape that it runs over
    gives    the node whose value it is; None for a copy
    reads    what it reads, and whether row i needs only row i
    kept     whether its value is asked for, or wanted early
    target   the symbol that takes the value, once nobody reads the old one
    after    values that must be there, for all threads, before it runs
    needs    what it reads or waits for, and whether row i needs only row i
    partition  how threads divide it
    """

    kind: str
    code: str
    frame: Shape
    node: Expr
    gives: Expr | None
    reads: list[tuple[Expr, bool]]
    ints: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    kept: bool = False
    target: Symbol | None = field(init=False, default=None)
    after: tuple[Expr, ...] = field(init=False, default=())
    needs: list[tuple[Expr, bool]] = field(init=False)
    partition: Partition = field(init=False)

    def __post_init__(self) -> None:
        self.needs = self.reads
        rows, columns = self.frame
        apart = rows == 1 and self.kind in ("entry", "feed")
        self.partition = ("columns", columns) if apart else ("rows", rows)

    def give_to(self, target: Symbol | None, after: tuple[Expr, ...]) -> None:
        """Let a symbol take the value once `after` are there, or nobody."""
        self.target, self.after = target, after
        self.needs = [*self.reads, *((n, False) for n in after)]


def copied(node: Expr, target: Symbol, after: tuple[Expr, ...]) -> Task:
    """The task that gives a symbol the value of a node."""
    task = Task("entry", "copy", node.shape, node, None, [(node, True)])
    task.give_to(target, after)
    return task


def gradients_early(tasks: Sequence[Task], rows: int) -> None:
    """Let some gradients of weights be stored before any weight takes its new value.

    H, N×m, is kept for a gradient HᵀΔ until the loss is known to be finite, and what is
    worked out from H meanwhile, such as ΔWᵀ ⊙ f'(H), lies beside it. If HᵀΔ is stored
    first, it takes H's place. That costs a barrier, so it is for large H and small HᵀΔ.

    A step can be broken off up to its first new value, and goes on from there. So where
    the gradients that are left take long, the largest are stored before that too.
    """
    makers, readers = _makers(tasks), _readers(tasks)
    last = [t for t in tasks if t.target is not None]
    for h in makers:
        if h.shape[0] != BATCH or rows * sized(h.shape[1]) < MANY:
            continue
        products = [t for t in readers.get(h, ()) if t.code == "matmul_ta"]
        before = _ancestors(products, makers).union(products)
        rest = [t for t in readers.get(h, ()) if t not in before]
        before |= _ancestors(rest, makers).union(rest)
        small = all(FEWER * sized(t.frame[1]) < rows for t in products)
        aligned = all(t.kind == "entry" and (h, True) in t.reads for t in rest)
        if products and rest and small and aligned and not before.intersection(last):
            for p in products:
                p.kept = True
                _wait(rest, p)
            for t in rest:
                _wait(last, t)
    works = {
        t: 2.0 * rows * sized(t.frame[0]) * sized(t.frame[1])
        for t in tasks
        if t.code == "matmul_ta" and t.reads[0][0].shape[0] == BATCH and not t.kept
    }
    left = sum(works.values())
    for p in sorted(works, key=works.__getitem__, reverse=True):
        if left > LONG and not _ancestors([p], makers).intersection(last):
            left -= works[p]
            p.kept = True
            _wait(last, p)


def _wait(tasks: Sequence[Task], other: Task) -> None:
    """Let tasks wait until all threads have done their part of another."""
    for t in tasks:
        t.needs = [*t.needs, (other.node, False)]


def _makers(tasks: Sequence[Task]) -> dict[Expr, Task]:
    """Who gives each value."""
    return {t.gives: t for t in tasks if t.gives is not None}


def _readers(tasks: Sequence[Task]) -> dict[Expr, list[Task]]:
    """Who reads each value."""
    readers: dict[Expr, list[Task]] = {}
    for t in tasks:
        for n, _ in t.reads:
            readers.setdefault(n, []).append(t)
    return readers


def _ancestors(tasks: Sequence[Task], makers: Mapping[Expr, Task]) -> set[Task]:
    """What must be done before any of them."""
    found: set[Task] = set()
    following = list(tasks)
    while following:
        for n, _ in following.pop().needs:
            if n in makers and makers[n] not in found:
                found.add(makers[n])
                following.append(makers[n])
    return found


@dataclass(eq=False, slots=True)
class Group:
    """Tasks that become one instruction; `wide` and `tall` are the values they give.

    Threads divide its columns where `by_columns` says so, otherwise its rows.
    """

    tasks: list[Task]
    barrier: bool
    chain: int
    by_columns: bool = field(init=False)
    wide: set[Expr] = field(default_factory=set)
    tall: set[Expr] = field(default_factory=set)

    @property
    def first(self) -> Task:
        """The task that opened it."""
        return self.tasks[0]

    def add(self, task: Task) -> None:
        """Take a task that it admits."""
        self.tasks.append(task)
        self._note(task)

    def _note(self, task: Task) -> None:
        if task.gives is not None:
            shape = task.node.shape
            (self.wide if shape == self.first.frame else self.tall).add(task.gives)

    def __post_init__(self) -> None:
        self.by_columns = self.first.partition[0] == "columns"
        self._note(self.first)

    def admits(self, task: Task) -> bool:
        """Whether a task can go on in this group, reading something that it gives."""
        own = [n for n, _ in task.needs if n in self.wide or n in self.tall]
        if not own or self.first.kind == "alone" or len(self.tasks) >= MOST_TASKS:
            return False
        if task.partition != self.first.partition:
            return False
        if len(self.wide) + len(self.tall) >= MOST_VALUES:
            return False
        rows, columns = frame = self.first.frame
        if task.kind == "row":
            transposed = self.first.code == "matmul_tb"
            most = TRANSPOSED_COLUMNS if transposed else FUSED_COLUMNS
            narrow = isinstance(columns, int) and columns <= most
            fits = narrow or self.first.kind != "feed"
            return task.frame == frame and own[0] in self.wide and fits
        if task.kind != "entry":
            return False
        if task.frame == frame:
            return all(aligned for n, aligned in task.needs if n in own)
        tall = task.frame == (rows, 1) and not any(n in self.wide for n in own)
        return tall and all(n.shape in ((rows, 1), (1, 1)) for n, _ in task.reads)


def scheduled(tasks: Sequence[Task], rows: int) -> list[Group]:
    """The tasks in groups, in the order in which they run; `rows` of a batch, or 0."""
    groups = _Schedule(tasks).groups
    _divide_by_columns(groups, rows)
    return groups


def _divide_by_columns(groups: Sequence[Group], rows: int) -> None:
    """Let each thread read only its part of a large weight, and all rows of the batch.

    All wait before such a product, since they read what others wrote, and after it.
    """
    after = False
    for group in groups:
        wide = _is_wide(group, rows)
        if wide:
            group.by_columns, group.chain = True, 0
        group.barrier |= wide or after
        after = wide


def _is_wide(group: Group, rows: int) -> bool:
    """Whether its product's weight is large and no narrower than the batch is high."""
    first, columns = group.first, sized(group.first.frame[1])
    if first.code not in ("matmul", "matmul_tb") or first.frame[0] != BATCH:
        return False
    numbers = columns * sized(first.reads[0][0].shape[1])
    apart = all(t.kind != "row" for t in group.tasks)
    return apart and numbers >= WEIGHT and 0 < rows <= MOST_ROWS * columns


class _Schedule:
    def __init__(self, tasks: Sequence[Task]) -> None:
        self.groups: list[Group] = []
        self._number = {t: k for k, t in enumerate(tasks)}
        self._maker, self._readers = _makers(tasks), _readers(tasks)
        self._awaited = self._made_of({n for t in tasks for n in t.after})
        self._missing: dict[Task, set[Task]] = {t: self._before(t) for t in tasks}
        self._later: dict[Task, list[Task]] = {t: [] for t in tasks}
        for t, before in self._missing.items():
            for b in before:
                self._later[b].append(t)
        self._able = [t for t in tasks if not self._missing[t]]
        self._stored: dict[Task, bool] = {}  # whether some reader cannot go on from it
        self._written: dict[Expr, Partition] = {}  # since the last barrier
        self._touched: dict[Expr, set[tuple[Partition, bool]]] = {}  # read since then
        self._chain = 0
        self._barrier = False
        while self._missing:
            self._next()

    def _before(self, task: Task) -> set[Task]:
        """What must be done before: the makers, and the readers of what it replaces."""
        before = {self._maker[n] for n, _ in task.needs if n in self._maker}
        if task.target is not None:
            before.update(self._readers.get(task.target, ()))
        return before - {task}

    def _made_of(self, values: set[Expr]) -> set[Expr]:
        """All that these values are worked out from, and they themselves."""
        found, left = set[Expr](), set(values)
        while left:
            n = left.pop()
            found.add(n)
            if n in self._maker:
                left.update(m for m, _ in self._maker[n].reads if m not in found)
        return found

    def _next(self) -> None:
        group = self.groups[-1] if self.groups and not self._barrier else None
        if group is not None:
            joining = (t for t in self._able if self._joins(t, group))
            leading = (t for t in self._able if self._leads(t, group))
            if task := next(joining, None) or next(leading, None):
                return self._do(task, group)
        like = None if group is None else group.first.partition
        free = sorted(
            filter(self._free, self._able),
            key=lambda t: t.partition != like,
        )
        task = next(filter(self._useful, free), None)
        if task is None and self._barrier_helps():
            return None
        if not free:
            return self._untangle()
        if task is None:
            feeds = [t for t in free if t.kind == "feed"]
            task = (feeds or [t for t in free if BATCH in t.frame] or free)[0]
        return self._do(task, None)

    def _barrier_helps(self) -> bool:
        """Whether only a barrier lets something of use run; if so it is set."""
        if not self._able or not (self._written or self._touched):
            return False
        stuck = not any(map(self._free, self._able))
        before = self._written, self._touched
        self._written, self._touched = {}, {}
        self._barrier = stuck or any(map(self._useful, self._able))
        if not self._barrier:
            self._written, self._touched = before
        return self._barrier

    def _free(self, task: Task) -> bool:
        """Whether it needs no barrier."""
        own, written = task.partition, self._written
        for n, aligned in task.needs:
            if n in written and not (aligned and written[n] == own):
                return False
        if task.target is None:
            return True
        touched = self._touched.get(task.target, ())
        return all(aligned and partition == own for partition, aligned in touched)

    def _useful(self, task: Task, done: frozenset[Task] = frozenset()) -> bool:
        """Whether a task's value can be used at once, or must be stored anyway.

        If not, it waits, so that it can go on in registers when it is used. A sum to one
        number, which costs nothing to store, does not wait where new values wait for it.
        """
        if task.target is not None or task.kept or task.kind == "alone":
            return True
        if (
            task.node.shape == SCALAR
            and task.kind == "feed"
            and task.gives in self._awaited
        ):
            return True
        done |= {task}
        readers = self._readers.get(task.gives, []) if task.gives is not None else []
        if task not in self._stored:
            group = Group([task], False, 0)
            self._stored[task] = not all(map(group.admits, readers))
        return self._stored[task] or any(
            self._within_reach(r, done) and self._useful(r, done) for r in readers
        )

    def _within_reach(self, task: Task, done: frozenset[Task]) -> bool:
        """Whether a task can run once `done` are, entrywise tasks beside it included."""
        return self._free(task) and all(
            t.kind in ("entry", "row")
            and t.partition == task.partition
            and self._within_reach(t, done)
            for t in self._missing[task] - done
        )

    def _joins(self, task: Task, group: Group) -> bool:
        """Whether it can go on in a group, and is of use there."""
        return group.admits(task) and self._free(task) and self._useful(task)

    def _leads(
        self, task: Task, group: Group, done: frozenset[Task] = frozenset()
    ) -> bool:
        """Whether it can run with a group, one of whose tasks then can use it.

        That may take some steps, as from H to 1 - H² and to what is multiplied by that.
        """
        first, done = group.first, done | {task}
        if task.kind != "entry" or task.partition != first.partition:
            return False
        if first.kind == "alone" or task.frame != first.frame or task.gives is None:
            return False
        return self._free(task) and any(
            self._within_reach(r, done)
            and (group.admits(r) or self._leads(r, group, done))
            for r in self._readers.get(task.gives, ())
        )

    def _do(self, task: Task, group: Group | None) -> None:
        if group is not None:
            group.add(task)
        else:
            last = self.groups[-1].first.partition if self.groups else None
            if self._barrier or task.partition != last:
                self._chain += 1
            rows = task.partition == ("rows", BATCH) and task.code != "matmul_tb"
            self.groups.append(Group([task], self._barrier, self._chain if rows else 0))
            self._barrier = False
        for n, aligned in task.reads:
            self._touched.setdefault(n, set()).add((task.partition, aligned))
        if task.gives is not None:
            self._written[task.gives] = task.partition
        del self._missing[task]
        self._able.remove(task)
        for later in self._later[task]:
            if later in self._missing:
                self._missing[later].discard(task)
                if not self._missing[later]:
                    insort(self._able, later, key=self._number.__getitem__)

    def _untangle(self) -> None:
        """New values that need each other's old ones: one is copied at the end."""
        for task in sorted(self._missing, key=self._number.__getitem__):
            makers = {self._maker[n] for n, _ in task.needs if n in self._maker}
            if task.target is None or task.gives is None or makers & set(self._missing):
                continue
            copy = copied(task.node, task.target, task.after)
            task.give_to(None, ())
            self._number[copy] = len(self._number)
            self._readers.setdefault(task.gives, []).append(copy)
            self._stored.pop(task, None)
            self._later[copy] = []
            waits = {t for t in self._before(copy) if t in self._missing}
            self._missing[copy] = waits
            for t in waits:
                self._later[t].append(copy)
            self._missing[task] = set()
            insort(self._able, task, key=self._number.__getitem__)
            return
        raise AssertionError("a plan's tasks go round in a circle")
