"""What a model is made of: its expressions for training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kokuban import ops
from kokuban.errors import ExpressionError, FileFormatError, SettingError
from kokuban.expr import (
    Call,
    Expr,
    Symbol,
    from_records,
    input,
    order,
    symbols,
    target,
    to_records,
)
from kokuban.nn import Build, Layer, Loss
from kokuban.nn.build import Initial
from kokuban.nn.init import named
from kokuban.shape import show

WEIGHTS = input("weights", ("N", 1))  # how much each sample counts


@dataclass(frozen=True, slots=True)
class Network:
    """The expressions of a model; `weighted` and `output` are None where there are none.

    loss        the training loss, with dropout and batch statistics
    weighted    the same, each sample times its entry of WEIGHTS
    evaluation  the loss as prediction computes it
    output      the prediction
    updates     new values of the states (running means)
    layers      each layer's name and output in training, for messages
    initial     how parameters and states begin
    classes     whether targets are classes
    """

    loss: Expr
    weighted: Expr | None
    evaluation: Expr
    output: Expr | None
    updates: dict[Symbol, Expr] = field(default_factory=dict)
    layers: tuple[tuple[str, Expr], ...] = ()
    initial: dict[Symbol, Initial] = field(default_factory=dict)
    classes: bool = False

    def __post_init__(self) -> None:
        """Values are given and kept by name: ExpressionError where two have the same."""
        named: dict[str, Symbol] = {}
        for s in symbols(self._all()):
            other = named.setdefault(s.name, s)
            if other is not s:
                raise ExpressionError(
                    f"{other.name} is {other.role} {show(other.shape)} and {s.role} "
                    f"{show(s.shape)}; each symbol of a model needs a name of its own."
                )

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols that data go in by, without the samples' weights."""
        return [s for s in symbols(self._all(), "input") if s is not WEIGHTS]

    @property
    def targets(self) -> list[Symbol]:
        """The symbols of the targets."""
        return symbols([self.loss], "target")

    @property
    def distributions(self) -> bool:
        """Whether each row of the targets must sum to 1."""
        every = (n.op for n in order([self.loss]))
        return any(op is not None and op.name == "distribution" for op in every)

    @property
    def values(self) -> list[Symbol]:
        """The symbols whose values the model holds: parameters, then states."""
        every = symbols(self._all())
        wanted = [s for s in every if s.role == "parameter"]
        return wanted + [s for s in every if s.role == "state"]

    def _all(self) -> list[Expr]:
        some = [self.loss, self.evaluation, *self.updates.values()]
        return some if self.output is None else [*some, self.output]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the expressions and what each is for."""
        parts: dict[str, Expr] = {"loss": self.loss, "evaluation": self.evaluation}
        for name, part in (("weighted", self.weighted), ("output", self.output)):
            if part is not None:
                parts[name] = part
        for state, new in self.updates.items():
            parts[f"update:{state.name}"] = new
        for name, part in self.layers:
            parts[f"layer:{name}"] = part
        return {
            "parts": list(parts),
            "classes": self.classes,
            "expressions": to_records(list(parts.values())),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Network:
        """The network back from `to_dict`; FileFormatError where it is malformed."""
        try:
            expressions = from_records(data["expressions"])
            parts = dict(zip(data["parts"], expressions, strict=True))
            states = {s.name: s for s in symbols(expressions, "state")}
            return cls(
                parts["loss"],
                parts.get("weighted"),
                parts["evaluation"],
                parts.get("output"),
                {
                    states[name.removeprefix("update:")]: part
                    for name, part in parts.items()
                    if name.startswith("update:")
                },
                tuple(
                    (name.removeprefix("layer:"), part)
                    for name, part in parts.items()
                    if name.startswith("layer:")
                ),
                classes=bool(data["classes"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise FileFormatError(f"The model's record is malformed: {error}") from error


def from_layers(net: Layer, loss: Loss, inputs: int | None) -> Network:
    """The network of a layer (a Sequential, say) under a loss."""
    columns = inputs or net.inputs_wanted
    if columns is None:
        raise SettingError(
            "No layer says how many columns the data have: give "
            "Model(..., inputs=columns)."
        )
    x = input("X", ("N", columns))
    training, prediction = Build(training=True), Build(training=False)
    scores, plain = net(x, training), net(x, prediction)
    t = target("T", scores.shape)
    weighted = loss.compare(scores, t, weights=WEIGHTS) if loss.weighted else None
    return Network(
        loss.compare(scores, t),
        weighted,
        loss.compare(plain, t),
        loss.link(plain),
        training.updates,
        tuple(training.outputs),
        {**prediction.initial, **training.initial},
        loss.classes,
    )


LINKS: dict[str, tuple[Callable[[Expr], Expr], bool]] = {
    "softmax_cross_entropy": (ops.softmax, True),
    "sigmoid_cross_entropy": (ops.sigmoid, True),
    "cross_entropy": (ops.identity, True),
    "binary_cross_entropy": (ops.identity, True),
    "poisson": (ops.exp, False),
}


def from_expressions(loss: Expr, output: Expr | None) -> Network:
    """The network of a loss expression; the output is read off the loss where it can be.

    `cross_entropy(Y, T)` predicts Y, `softmax_cross_entropy(U, T)` softmax(U).
    """
    if loss.shape != (1, 1):
        raise ExpressionError(f"A loss is one number, 1×1; {loss!r} is {loss.shape}.")
    if not symbols([loss], "parameter"):
        raise ExpressionError(f"{loss!r} has no parameter to learn.")
    classes = False
    if isinstance(loss, Call):
        link, classes = LINKS.get(loss.name, (ops.identity, False))
        if output is None and len(loss.arguments) == 2:
            output = link(loss.arguments[0])
    initial: dict[Symbol, Initial] = {
        s: named("zeros" if s.shape[0] == 1 and s.shape[1] != 1 else "glorot")
        for s in symbols([loss], "parameter")
    }
    return Network(loss, None, loss, output, initial=initial, classes=classes)
