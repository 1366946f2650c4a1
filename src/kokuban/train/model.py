"""The model: a network, the values it has learned, and how to train and use them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from kokuban.errors import (
    DataError,
    FileFormatError,
    NotFittedError,
    SettingError,
    unknown,
)
from kokuban.expr import Expr, Symbol
from kokuban.nn import Layer, Loss, loss as loss_named
from kokuban.optim import Optimizer
from kokuban.rewrite import simplify_all
from kokuban.run.compiled import Compiled, Prediction
from kokuban.run.lower import NotLowered
from kokuban.run.onehot import compact_targets
from kokuban.run.plan import Plan
from kokuban.settings import flag, whole
from kokuban.train import arguments
from kokuban.train.files import load_arrays, save_arrays
from kokuban.train.fit import Callback, Run, Settings
from kokuban.train.history import History, Record
from kokuban.train.inputs import (
    as_classes,
    as_numbers,
    as_rows,
    require_distributions,
    require_two_classes,
)
from kokuban.train.loop import Arrays, Trainer
from kokuban.train.metrics import Metric
from kokuban.train.network import WEIGHTS, Network, from_expressions, from_layers
from kokuban.train.stopping import EarlyStopping

Data = Any  # a matrix, or a mapping of input names to matrices


class Model:
    """A network with its loss, ready to be trained.

    `Model(net, loss="softmax_cross_entropy")` takes layers; `Model(loss=L)` takes a loss
    expression, with `output=` for what to predict where the loss does not show it.
    Training runs in float32 unless `dtype` says float64. `inputs` gives the number of
    data columns where no layer does.
    """

    def __init__(
        self,
        net: Layer | None = None,
        loss: str | Loss | Callable[..., Expr] | Expr = "mse",
        *,
        output: Expr | None = None,
        inputs: int | None = None,
        dtype: Any = np.float32,
    ) -> None:
        if isinstance(loss, Expr):
            if net is not None:
                raise SettingError("Give layers or a loss expression, not both.")
            network = from_expressions(loss, output)
        elif net is None:
            raise SettingError("Model needs layers, or loss= as an expression.")
        elif not isinstance(net, Layer):
            raise SettingError(
                f"Model takes a layer, such as kb.nn.Sequential(...); not {net!r}."
            )
        else:
            network = from_layers(net, loss_named(loss), inputs)
        self._set_up(network, dtype)

    def _set_up(self, network: Network, dtype: Any) -> None:
        self.network, self.dtype = network, arguments.floats(dtype)
        self._values: dict[Symbol, np.ndarray] = {}
        self.history: History | None = None
        self.extra: dict[str, Any] = {}
        self._prepared: Prediction | None = None

    @cached_property
    def _symbols(self) -> list[Symbol]:
        """The parameters, then the states."""
        return self.network.values

    @cached_property
    def _measured(self) -> list[Expr]:
        """The loss, and the output where there is one."""
        network = self.network
        output = [] if network.output is None else [network.output]
        return simplify_all([network.evaluation, *output])

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self._measured)

    @cached_property
    def _output(self) -> Compiled:
        return Compiled(self._measured[1:])

    @classmethod
    def from_network(
        cls, network: Network, values: Mapping[Symbol, np.ndarray], dtype: Any
    ) -> Model:
        """A model of a network whose values are known; it keeps copies of them."""
        model = cls.__new__(cls)
        model._set_up(network, dtype)
        model.values = {s: np.array(values[s], model.dtype) for s in network.values}
        return model

    def __getstate__(self) -> dict[str, Any]:
        kept = ("network", "dtype", "values", "history", "extra")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_up(state["network"], state["dtype"])
        for name in ("values", "history", "extra"):
            setattr(self, name, state[name])

    def __repr__(self) -> str:
        count = sum(v.size for v in self.values.values())
        state = f"{count:,} values" if self.values else "not trained"
        return f"Model({self.network.evaluation!r}, {self.dtype.name}, {state})"

    # ------------------------------------------------------------ values

    @property
    def values(self) -> dict[Symbol, np.ndarray]:
        """The parameters' and states' values; not to be changed in place."""
        return self._values

    @values.setter
    def values(self, values: Mapping[Symbol, np.ndarray]) -> None:
        for array in values.values():
            array.flags.writeable = False  # a prepared prediction holds a copy
        self._values = dict(values)

    def initialise(self, seed: int = 0) -> None:
        """Give every parameter its initial value; the same seed gives the same values."""
        rng = np.random.default_rng(whole("seed", seed, least=0))
        self.values = {
            s: self.network.initial[s](rng, s.shape, self.dtype) for s in self._symbols
        }

    def __getitem__(self, name: str) -> np.ndarray:
        """The value of a parameter or state by name."""
        symbol = self._symbol(name)
        return self._require_values()[symbol]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a parameter or state; DataError unless it is numbers of its shape."""
        symbol = self._symbol(name)
        array = as_numbers(value, name, symbol.shape, self.dtype)
        if not self.values:
            self.initialise()
        self.values = {**self.values, symbol: array}

    def _symbol(self, name: str) -> Symbol:
        names = {s.name: s for s in self._symbols}
        if name not in names:
            raise unknown("parameter", name, names)
        return names[name]

    def _require_values(self) -> dict[Symbol, np.ndarray]:
        if not self.values:
            raise NotFittedError(
                "The model has no values yet: call fit, or initialise(seed) to begin."
            )
        return self.values

    # ------------------------------------------------------------ data

    def _inputs(self, x: Data) -> Arrays:
        wanted = self.network.inputs
        if not isinstance(x, Mapping):
            if len(wanted) != 1:
                names = ", ".join(s.name for s in wanted)
                raise DataError(f"The model takes {names}: give a dict of them.")
            x = {wanted[0].name: x}
        given = {str(getattr(k, "name", k)): v for k, v in x.items()}
        missing = [s.name for s in wanted if s.name not in given]
        if missing:
            raise DataError(f"No data are given for {', '.join(missing)}.")
        return {s: as_rows(given[s.name], s.name, s.shape[1], self.dtype) for s in wanted}

    def _with_targets(self, x: Data, t: Any, weights: Any = None) -> Arrays:
        data = self._inputs(x)
        wanted = self.network.targets
        if len(wanted) > 1:
            raise DataError("A model with several targets is not fitted by Model.")
        if wanted:
            if t is None:
                raise DataError("The loss compares with a target: give t.")
            make = as_classes if self.network.classes else as_rows
            targets = make(t, "t", wanted[0].shape[1], self.dtype)
            if self.network.distributions:
                require_distributions(targets, "t")
            data[wanted[0]] = targets
        if weights is not None:
            data[WEIGHTS] = as_rows(weights, "sample_weight", 1, self.dtype)
            if np.any(data[WEIGHTS] < 0) or not np.any(data[WEIGHTS]):
                raise DataError(
                    "sample_weight must not be negative, and not be 0 everywhere."
                )
        lengths = {s.name: len(v) for s, v in data.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{n} has {k}" for n, k in lengths.items())
            raise DataError(f"Every sample needs its row everywhere, but {shown} rows.")
        return data

    # ------------------------------------------------------------ training

    def fit(
        self,
        x: Data,
        t: Any = None,
        *,
        optimizer: Optimizer | None = None,
        epochs: int = 10,
        batch_size: int | None = None,
        validation: float | tuple[Any, Any] | None = None,
        seed: int = 0,
        engine: str = "auto",
        sample_weight: Any = None,
        shuffle: bool = True,
        stopping: EarlyStopping | None = None,
        metrics: Sequence[str | Metric] = (),
        callbacks: Sequence[Callback] = (),
        progress: bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
    ) -> History:
        """Train on rows x and targets t; goes on from the values there are.

        t: integer labels or one row of probabilities a sample for classes, numbers
        otherwise. `batch_size` is 32 by default, or all rows if there are fewer.
        `validation` is held-out data, or the fraction of the rows to hold out. A callback
        gets (model, record) after each epoch and ends training by returning something
        true. `progress` shows a bar, by default where there is a terminal. With
        `checkpoint` the run is written to a file after each epoch, or every
        `checkpoint_every` steps; `resume=True` goes on from that file if it is there, to
        the same bits as if the run had never stopped. The optimizer begins anew with each
        call. Ctrl-C ends training and keeps what was learned.

        Raises DataError, SettingError, NonFiniteError (with the layer and the step) and
        StorageError.
        """
        arguments.require_engine(engine)
        seed = whole("seed", seed, least=0)
        epochs = whole("epochs", epochs)
        measured = arguments.named_metrics(metrics)
        callbacks = arguments.callbacks(callbacks)
        validation = arguments.held_out(validation)
        rule = arguments.optimizer_or_default(optimizer)
        stopping = arguments.stopping_rule(stopping)
        shuffle = flag("shuffle", shuffle)
        resume = flag("resume", resume)
        file, every = arguments.checkpoint(checkpoint, checkpoint_every)
        data = self._with_targets(x, t, sample_weight)
        data, held_out = self._split(data, validation, seed)
        rows = len(next(iter(data.values())))
        if self.network.classes and self.network.targets:
            require_two_classes(data[self.network.targets[0]], "t")
        data = compact_targets(data)
        settings = Settings(
            rule,
            epochs,
            arguments.batch_size(batch_size, rows),
            seed,
            shuffle,
            stopping,
            file,
            every,
        )
        fresh = not self.values
        if fresh:
            self.initialise(seed)
        run = Run(
            self._trainer(settings, WEIGHTS in data, engine),
            data,
            settings,
            self._validator(held_out, measured),
            self._reporter(callbacks),
            progress,
            looked_at=bool(held_out or callbacks or stopping),
        )
        if resume:
            run.load()
        if fresh:
            self.values = {}  # the run has them: one copy is enough
        try:
            self._keep(run.go())
        except BaseException:  # whatever ends it, what was learned is not lost
            last = run.trainer.values
            if all(np.isfinite(v).all() for v in last.values()):
                self._keep(last)
            elif fresh:
                self.initialise(seed)
            raise
        self.history = run.history
        return run.history

    def plan(self, optimizer: Optimizer | None = None, batch_size: int = 32) -> Plan:
        """The native engine's instructions for a training step; `print` shows them.

        Where a batch is large, a step has a few barriers more and takes less memory.
        Raises NotLowered where the engine cannot take the model.
        """
        rule = arguments.optimizer_or_default(optimizer)
        settings = Settings(rule, 1, 1, 0, False, None, None, None)
        trainer = self._trainer(settings, False, "auto")
        size = whole("batch_size", batch_size)
        return trainer.plan([*self.network.inputs, *self.network.targets], size)

    def _trainer(self, settings: Settings, weighted: bool, engine: str) -> Trainer:
        loss = self.network.weighted if weighted else self.network.loss
        if loss is None:
            raise SettingError(
                "This loss takes no sample_weight; put the weights into the loss "
                "expression."
            )
        return Trainer(
            loss,
            settings.optimizer,
            self.values,
            updates=self.network.updates,
            layers=self.network.layers,
            dtype=self.dtype,
            seed=settings.seed,
            engine=engine,
        )

    def _split(
        self, data: Arrays, validation: float | tuple[Any, Any] | None, seed: int
    ) -> tuple[Arrays, Arrays | None]:
        if validation is None:
            return data, None
        if isinstance(validation, tuple):
            return data, self._with_targets(*validation)
        rows = len(next(iter(data.values())))
        if not 0 < round(rows * validation) < rows:
            raise SettingError(
                "validation as a fraction leaves rows on both sides; "
                f"{validation} of {rows} rows does not."
            )
        order = np.random.default_rng([seed, 1]).permutation(rows)
        held = order[: round(rows * validation)]
        kept = np.sort(order[round(rows * validation) :])
        return {s: v[kept] for s, v in data.items()}, {
            s: v[held] for s, v in data.items()
        }

    def _validator(
        self, held_out: Arrays | None, metrics: Sequence[tuple[str, Metric]]
    ) -> Callable[[Mapping[Symbol, np.ndarray]], Record]:
        def validate(values: Mapping[Symbol, np.ndarray]) -> Record:
            if held_out is None:
                return {}
            measured = self._measure(held_out, values, metrics)
            return {f"val_{name}": value for name, value in measured.items()}

        return validate

    def _reporter(
        self, callbacks: Sequence[Callback]
    ) -> Callable[[Mapping[Symbol, np.ndarray], Record], bool]:
        def report(values: Mapping[Symbol, np.ndarray], record: Record) -> bool:
            self._keep(values)
            results = [callback(self, record) for callback in callbacks]
            return any(results)

        return report

    def _keep(self, values: Mapping[Symbol, np.ndarray]) -> None:
        self.values = {s: values[s] for s in self._symbols}

    # ------------------------------------------------------------ use

    def predict(self, x: Data) -> np.ndarray:
        """The network's output for rows x: probabilities for classes, else numbers.

        Shapes: (rows, columns) to (rows, outputs).
        """
        predict = self._prepared
        if predict is None or not predict.serves(self._values):
            predict = self._prepare()
        ready = (
            predict is not None
            and type(x) is np.ndarray
            and x.ndim == 2
            and x.dtype == self.dtype
            and x.shape[1] == self._columns
            and x.shape[0] > 0
            and x.flags.c_contiguous
        )
        if predict is not None:
            return predict(x if ready else next(iter(self._inputs(x).values())))
        values = {**self._require_values(), **self._inputs(x)}
        return self._output(values, np, self.dtype)[0]

    def _prepare(self) -> Prediction | None:
        """The native engine ready to predict with the present values, where it can."""
        if self.network.output is None:
            raise SettingError(
                "The loss does not show what to predict: give Model(loss=L, output=Y)."
            )
        self._require_values()
        inputs = self.network.inputs
        if len(inputs) != 1 or inputs[0].shape[0] != "N":
            return None
        try:
            self._prepared = Prediction(
                self._measured[1], inputs[0], self._values, self.dtype
            )
        except NotLowered:
            return None
        self._columns = inputs[0].shape[1]
        return self._prepared

    def evaluate(
        self, x: Data, t: Any = None, *, metrics: Sequence[str | Metric] | None = None
    ) -> Record:
        """The loss and metrics on rows x with targets t.

        By default also the accuracy for classes.
        """
        if metrics is None:
            metrics = ["accuracy"] if self.network.classes else []
        named = arguments.named_metrics(metrics)
        return self._measure(self._with_targets(x, t), self._require_values(), named)

    def _measure(
        self,
        data: Arrays,
        values: Mapping[Symbol, np.ndarray],
        metrics: Sequence[tuple[str, Metric]],
    ) -> Record:
        loss, *y = self._compiled({**values, **data}, np, self.dtype)
        found = {"loss": float(loss[0, 0])}
        if metrics:
            if not y:
                raise SettingError("Metrics need a prediction: Model(loss=L, output=Y).")
            targets = self.network.targets or self.network.inputs
            found |= {name: f(data[targets[0]], y[0]) for name, f in metrics}
        return found

    # ------------------------------------------------------------ files

    def save(
        self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None
    ) -> None:
        """Write expressions and values as one safetensors file, atomically.

        `extra` is JSON data to keep with the model, such as the names of its classes.
        Raises SettingError where it is not, and StorageError where the file cannot be
        written; an older file then stays.
        """
        arrays = {s.name: v for s, v in self._require_values().items()}
        about = {
            "kind": "model",
            "network": self.network.to_dict(),
            "dtype": self.dtype.name,
            "extra": arguments.json_data(extra),
        }
        save_arrays(path, arrays, about)


def load(path: str | os.PathLike[str]) -> Model:
    """The model back from the file that `Model.save` wrote. No code in it is run.

    What was saved as `extra` is in the model's attribute `extra`. Raises StorageError
    if the file cannot be read, FileFormatError if it is damaged or of another kind.
    """
    arrays, about = load_arrays(path)
    if about.get("kind") != "model":
        raise FileFormatError(
            f"{os.fspath(path)!r} is a {about.get('kind')} file, not a model."
        )
    network = Network.from_dict(about["network"])
    wanted = {s.name: s for s in network.values}
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {name: s.shape for name, s in wanted.items()}:
        raise FileFormatError(
            f"{os.fspath(path)!r}: its arrays are not those of its expressions."
        )
    values = {s: arrays[name] for name, s in wanted.items()}
    model = Model.from_network(network, values, about["dtype"])
    model.extra = about["extra"]
    return model
