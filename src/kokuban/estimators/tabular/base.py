"""What the two tabular estimators share: settings, the fit, predictions, files."""

from __future__ import annotations

import math
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_is_fitted,
)

from kokuban.errors import DataError, FileFormatError, SettingError, unknown
from kokuban.estimators.plain import plain, unplain
from kokuban.estimators.saving import KEY
from kokuban.estimators.tabular.columns import Column, NumericColumn
from kokuban.estimators.tabular.encoder import Encoder
from kokuban.estimators.tabular.frame import Frame, is_matrix, read
from kokuban.estimators.tabular.network import (
    ACTIVATIONS,
    Design,
    nets,
    slopes,
    together,
)
from kokuban.estimators.tabular.numbers import Numbers
from kokuban.estimators.tabular.recipe import (
    ACTIVATIONS as USUAL,
    EMBEDDED_COLUMNS,
    EMBEDDED_ROWS,
    PRESETS,
    RATES,
    Recipe,
)
from kokuban.estimators.tabular.training import (
    INTERRUPTED,
    Clock,
    Criterion,
    Learned,
    Plan,
    Rows,
    Run,
    folds,
    merged,
)
from kokuban.expr import Symbol, symbols
from kokuban.train.history import History, Record
from kokuban.train.loop import Arrays
from kokuban.train.model import Model

Watch = Callable[[int, int, Record], None]  # a run, of how many, and its epoch

AT_LEAST_1 = Interval(Integral, 1, None, closed="left")
ABOVE_0 = Interval(Real, 0, None, closed="neither")

SHARE_FOR_TRAINING = 0.98  # of max_time; the rest is for what comes after
TOO_LONG = 1.2  # times a run's share
REFIT = 999  # the number of the run on all rows, which its seed is made of


@dataclass(slots=True)
class Held:
    """Rows that a run has not trained on, and its members' scores for them.

    scores   (members, rows, outputs)
    rows     what they are
    """

    scores: np.ndarray
    rows: Rows


@dataclass(eq=False, repr=False)
class TabularSettings(BaseEstimator, ABC):
    """The settings of both; None means what the preset says.

    A dataclass, so that this list is the constructor's, which scikit-learn reads.
    """

    preset: str = "default"
    _: KW_ONLY
    hidden_layer_sizes: Sequence[int] | None = None
    activation: str | None = None
    embedding: str | None = None
    learning_rate_init: float | None = None
    batch_size: int | None = None
    max_iter: int | None = None
    n_iter_no_change: int | None = None
    max_time: float | None = None
    validation_fraction: float = 0.2
    n_ens: int | None = None
    n_folds: int | None = None
    refit: bool = False
    categorical_features: Sequence[str | int] | None = None
    random_state: Any = None
    verbose: bool | int = False

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "preset": [StrOptions(set(PRESETS))],
        "hidden_layer_sizes": ["array-like", None],
        "activation": [StrOptions(set(ACTIVATIONS)), None],
        "embedding": [StrOptions({"periodic", "none"}), None],
        "learning_rate_init": [ABOVE_0, None],
        "batch_size": [AT_LEAST_1, None],
        "max_iter": [AT_LEAST_1, None],
        "n_iter_no_change": [AT_LEAST_1, None],
        "max_time": [ABOVE_0, None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "n_ens": [AT_LEAST_1, None],
        "n_folds": [AT_LEAST_1, None],
        "refit": ["boolean"],
        "categorical_features": ["array-like", None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }


class TabularEstimator(TabularSettings):
    """A network for tables: columns encoded, trained by the recipe, the best epoch kept.

    A subclass knows the target: what it is, and how held-out rows are judged.
    """

    _task: ClassVar[str]
    encoder_: Encoder
    model_: Model
    histories_: tuple[History, ...]
    best_epochs_: tuple[int, ...]
    n_features_in_: int
    n_iter_: int
    _design: Design
    _numbers: Numbers | None = None  # for arrays, once it is fitted

    @abstractmethod
    def _learn_target(self, y: Any) -> np.ndarray:
        """The target as keys (rows,): numbers of classes, or numbers themselves."""

    @abstractmethod
    def _more_target(self, y: Any) -> np.ndarray:
        """The same of validation data."""

    @abstractmethod
    def _as_matrix(self, keys: np.ndarray) -> np.ndarray:
        """The keys as the networks' target T, (rows, k) float32."""

    @abstractmethod
    def _outputs(self) -> tuple[int, str, float, tuple[float, ...]]:
        """How many scores, the loss, the label smoothing, and the quantiles' levels."""

    @abstractmethod
    def _judge(self, held: Rows) -> Criterion:
        """How a run judges scores of these rows."""

    @abstractmethod
    def _calibrate(self, held: Sequence[Held]) -> dict[Symbol, np.ndarray]:
        """Learn from rows that were held out; the values that prediction needs of it."""

    def _weights(self, keys: np.ndarray, given: np.ndarray | None) -> np.ndarray | None:
        """How much each row counts, (rows,); None if alike."""
        return given

    # ------------------------------------------------------------ fitting

    def _now(self) -> float:
        """Seconds, for max_time."""
        return time.perf_counter()

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Learn y (rows,), classes or numbers, of the rows of X, a dataframe or an array.

        X_val and y_val are validation data in place of a part of X. Raises DataError for
        data that nothing can be learned from, SettingError for settings that exclude each
        other, NonFiniteError where training diverges.
        """
        limit = _Limit(self.max_time, self._now)
        validation = (X_val, y_val, sample_weight_val)
        self._require_settings(validation)
        frame = self._read_first(X, y)
        keys = self._learn_target(y)
        check_consistent_length(keys, range(frame.rows))
        self.encoder_, x = Encoder.fit(frame, self._categorical(frame))
        _say_doubts(self.columns_)
        return self._learn(x, keys, sample_weight, validation, limit)

    def fit_encoded(
        self, encoder: Encoder, x: np.ndarray, y: Any, watch: Watch | None = None
    ) -> Self:
        """Fit on rows x (rows, outputs) float32 that an encoder has made, with targets y.

        x may be a memory-mapped file: its rows are read where they lie. `watch` hears of
        each epoch: the run, of how many, and the epoch's record.
        """
        limit, nothing = _Limit(self.max_time, self._now), (None, None, None)
        self._require_settings(nothing)
        keys = self._learn_target(y)
        check_consistent_length(keys, x)
        self.encoder_, self.n_features_in_ = encoder, len(encoder.columns)
        if encoder.named:
            names = [column.name for column in encoder.columns]
            self.feature_names_in_ = np.array(names, dtype=object)
        return self._learn(x, keys, None, nothing, limit, watch)

    def _learn(
        self,
        x: np.ndarray,
        keys: np.ndarray,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        limit: _Limit,
        watch: Watch | None = None,
    ) -> Self:
        """Fit on encoded rows x with keys of the target."""
        rows, keys = self._rows(x, keys, sample_weight)
        recipe = self.recipe()
        seed = int(check_random_state(self.random_state).randint(1 << 31))
        embedded = self._embedded(recipe, len(keys))
        self._design = self._designed(recipe, recipe.n_ens, embedded)
        parts = self._parts(rows, keys, recipe, seed, validation)
        learned: list[Learned] = []
        held = []
        for number, (train, others) in enumerate(parts):
            deadline = limit.share(len(parts) - number + self.refit)
            plan = self._plan(recipe, [seed, number], deadline)
            if watch is not None:
                runs = len(parts) + self.refit
                plan = replace(plan, watch=partial(watch, number, runs))
            learned.append(self._run(train, others, plan))
            if others is not None:
                held.append(Held(np.stack(learned[-1].scores), others))
            if learned[-1].history.stopped == INTERRUPTED or limit.over:
                break
        self.histories_ = tuple(run.history for run in learned)
        self.best_epochs_ = tuple(e for run in learned for e in run.epochs)
        calibrated = self._calibrate(held)
        if self.refit and self.histories_[-1].stopped != INTERRUPTED and not limit.over:
            plan = self._plan(recipe, [seed, REFIT], limit.share(1))
            learned = [self._refitted(rows, plan)]
        self.n_iter_ = max(len(history) for history in self.histories_)
        members = recipe.n_ens * len(learned)
        design = replace(self._design, members=members, folded=True)
        values = merged(design, [run.values for run in learned])
        self._set_model(design, values, calibrated)
        return self

    def _refitted(self, rows: Rows, plan: Plan) -> Learned:
        """A run on all rows, as long as the runs before took to their best epochs."""
        stop = max(1, round(float(np.mean(self.best_epochs_))))
        learned = self._run(rows, None, replace(plan, stop=stop, patience=None))
        self.histories_ = (*self.histories_, learned.history)
        return learned

    def _require_settings(self, validation: tuple[Any, Any, Any]) -> None:
        self._validate_params()
        X_val, y_val, weight = validation
        if X_val is None and not (y_val is None and weight is None):
            raise DataError("y_val and sample_weight_val need X_val, their samples.")
        if X_val is not None and self.n_folds is not None and self.n_folds > 1:
            raise SettingError("X_val is one validation set; n_folds > 1 makes its own.")
        if X_val is not None and self.refit:
            raise SettingError("refit trains on all rows of X; X_val would not be in it.")

    def recipe(self) -> Recipe:
        """The preset's settings, with those that are set by themselves.

        Raises SettingError for hidden layers that are none.
        """
        own: dict[str, Any] = {
            "max_iter": self.max_iter,
            "batch_size": self.batch_size,
            "patience": self.n_iter_no_change,
            "n_ens": self.n_ens,
            "n_folds": self.n_folds,
        }
        if self.hidden_layer_sizes is not None:
            sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
            if not sizes or not all(isinstance(k, int) and k > 0 for k in sizes):
                raise SettingError(
                    "hidden_layer_sizes are whole numbers above 0, one for each hidden "
                    f"layer and at least one; got {self.hidden_layer_sizes!r}."
                )
            own["hidden"] = tuple(sizes)
        return replace(
            PRESETS[self.preset], **{k: v for k, v in own.items() if v is not None}
        )

    def _read_first(self, X: Any, y: Any) -> Frame:
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        frame = read(X)
        _check_feature_names(self, X, reset=True)
        self.n_features_in_ = frame.width
        if frame.rows < 2:
            raise DataError(
                f"X has {frame.rows} sample; a network learns from two or more, one of "
                "them held out."
            )
        return frame

    def _categorical(self, frame: Frame) -> set[int]:
        """The positions that categorical_features name."""
        asked = (
            [] if self.categorical_features is None else list(self.categorical_features)
        )
        if len(asked) == frame.width and all(
            isinstance(a, bool | np.bool_) for a in asked
        ):
            return {k for k, yes in enumerate(asked) if yes}
        found = set()
        for item in asked:
            if isinstance(item, str):
                if frame.names is None or item not in frame.names:
                    raise unknown(
                        "column in categorical_features", item, frame.names or ()
                    )
                found.add(frame.names.index(item))
            elif hasattr(item, "__index__") and -frame.width <= item < frame.width:
                found.add(int(item) % frame.width)
            else:
                raise SettingError(
                    "categorical_features holds names of columns, or positions from 0 to "
                    f"{frame.width - 1}; {item!r} is neither."
                )
        return found

    def _rows(
        self, x: np.ndarray, keys: np.ndarray, sample_weight: Any
    ) -> tuple[Rows, np.ndarray]:
        """The rows that count, with their weights."""
        given = None
        if sample_weight is not None:
            given = _check_sample_weight(
                sample_weight, x, dtype=np.float64, ensure_non_negative=True
            )
            counts = given > 0
            if counts.sum() < 2:
                raise DataError("Fewer than two rows have a sample_weight above 0.")
            if not counts.all():
                x, keys, given = x[counts], keys[counts], given[counts]
        weights = self._weights(keys, given)
        column = None if weights is None else weights.astype(np.float32)[:, None]
        return Rows(x, self._as_matrix(keys), column), keys

    def _embedded(self, recipe: Recipe, rows: int) -> tuple[int, ...]:
        """The positions of the encoded columns that get a periodic embedding."""
        numeric = [isinstance(c, NumericColumn) for c in self.columns_]
        names = {c.name for c in self.columns_ if isinstance(c, NumericColumn)}
        numbers = tuple(
            k
            for k, origin in enumerate(self.encoder_.origins)
            if numeric[origin] and self.encoder_.outputs[k] in names
        )
        if self.embedding is not None:
            return numbers if self.embedding == "periodic" else ()
        worth = rows >= EMBEDDED_ROWS and len(numbers) <= EMBEDDED_COLUMNS
        return numbers if recipe.embeds and worth else ()

    def _designed(
        self, recipe: Recipe, members: int, embedded: tuple[int, ...]
    ) -> Design:
        outputs, loss, smoothing, levels = self._outputs()
        return Design(
            len(self.encoder_.outputs),
            outputs,
            recipe.hidden,
            self.activation or USUAL[self._task],
            loss,
            smoothing,
            levels,
            embedded,
            members,
        )

    def _parts(
        self,
        rows: Rows,
        keys: np.ndarray,
        recipe: Recipe,
        seed: int,
        validation: tuple[Any, Any, Any],
    ) -> list[tuple[Rows, Rows | None]]:
        """The rows to train on and to judge by, of each run."""
        if validation[0] is not None:
            return [(rows, self._validation_rows(*validation))]
        rng = np.random.default_rng(seed)
        if self.n_folds is not None and self.n_folds > len(keys):
            raise SettingError(
                f"n_folds={self.n_folds} needs as many rows; there are {len(keys)}."
            )
        many = min(recipe.n_folds, len(keys))
        single = min(max(2, round(1 / self.validation_fraction)), len(keys))
        count = many if many > 1 else single
        fold = self._never_alone(keys, folds(keys, count, rng))
        parts: list[tuple[Rows, Rows | None]] = []
        for k in range(many):
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            parts.append(
                (rows.take(inside), rows.take(outside) if outside.size else None)
            )
        return parts

    def _never_alone(self, keys: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """The folds, but -1, always trained on, where no other row has the key."""
        return fold

    def _validation_rows(self, X: Any, y: Any, sample_weight: Any) -> Rows:
        if y is None:
            raise DataError("X_val needs y_val, its target.")
        x, keys = self._encoded(X), self._more_target(y)
        check_consistent_length(keys, x)
        rows, _ = self._rows(x, keys, sample_weight)
        return rows

    def _plan(self, recipe: Recipe, seeds: list[int], deadline: float | None) -> Plan:
        return Plan(
            epochs=recipe.max_iter,
            batch_size=recipe.batch_size,
            rate=self.learning_rate_init or RATES[self._task],
            seed=int(np.random.SeedSequence(seeds).generate_state(1)[0] >> 1),
            patience=recipe.patience,
            deadline=deadline,
            clock=self._now,
            verbose=bool(self.verbose),
        )

    def _run(self, train: Rows, held: Rows | None, plan: Plan) -> Learned:
        judge = (lambda u, k: 0.0) if held is None else self._judge(held)
        return Run(self._design, train, held, judge, plan).go()

    def _set_model(self, design: Design, values: Arrays, calibrated: Arrays) -> None:
        self._design, self._numbers = design, Numbers.of(self.encoder_)
        network = nets(design).network()
        self.model_ = Model.from_network(network, {**values, **calibrated}, np.float32)

    # ------------------------------------------------------------ predicting

    @property
    def columns_(self) -> tuple[Column, ...]:
        """What each column of the data was taken for, in their order."""
        return self.encoder_.columns

    @property
    def history_(self) -> History:
        """The history of the first run."""
        return self.histories_[0]

    def _encoded(self, X: Any) -> np.ndarray:
        """New data as a matrix for the network."""
        if "encoder_" not in vars(self):  # check_is_fitted takes longer than the network
            check_is_fitted(self, "encoder_")
        numbers = self._numbers
        if numbers is not None and is_matrix(X) and X.shape[1] == numbers.width:
            x = numbers(X)
            if x is not None:
                return x
        return self._encoded_slowly(X)

    def _encoded_slowly(self, X: Any) -> np.ndarray:
        frame = read(X, known=True)
        named = hasattr(self, "feature_names_in_")
        if (frame.names is not None) != named:
            _check_feature_names(self, X, reset=False)
        if frame.names is None or not self.encoder_.named:
            _check_n_features(self, X, reset=False)
        return self.encoder_.transform(frame)

    def _network_output(self, X: Any) -> np.ndarray:
        """What the model gives, (rows, outputs) float32."""
        x = self._encoded(X)
        return self.model_.predict(x)

    # ------------------------------------------------------------ importances

    def input_gradient_importance(self, X: Any) -> np.ndarray:
        """(columns,) how steeply the prediction rises or falls with each column.

        The mean over rows of |∂y/∂z|, z an encoded column in units of its interquartile
        range; summed over the encoded columns that a column became, and over the outputs
        y, as the network gives them. A column that was left out has 0.
        """
        x = self._encoded(X)
        program, made = slopes(self._design), nets(self._design)
        columns = together(self._design, made.scores).shape[1]
        assert isinstance(columns, int)
        total = np.zeros(x.shape[1])
        chosen = next(s for s in symbols(program.outputs, "input") if s.name == "P")
        for k in range(columns):
            one = np.zeros((len(x), columns), np.float32)
            one[:, k] = 1
            given = {**self.model_.values, made.x: x, chosen: one}
            total += np.abs(program(given, np, np.float32)[0]).mean(axis=0)
        found = np.zeros(len(self.columns_))
        np.add.at(found, self.encoder_.origins, total)
        return found

    def permutation_importance(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        n_repeats: int = 5,
        random_state: Any = None,
    ) -> np.ndarray:
        """(columns, n_repeats) how much the score falls when a column is shuffled.

        The score is `score`'s, larger is better. Breiman, "Random forests" (2001),
        section 10. Use rows that training did not see.
        """
        rng = check_random_state(random_state)
        x = self._encoded(X)
        before = self._score_encoded(x, y, sample_weight)
        origins = self.encoder_.origins
        found = np.zeros((len(self.columns_), n_repeats))
        for column in np.unique(origins):
            block = np.flatnonzero(origins == column)
            for repeat in range(n_repeats):
                mixed = x.copy()
                mixed[:, block] = x[np.ix_(rng.permutation(len(x)), block)]
                after = self._score_encoded(mixed, y, sample_weight)
                found[column, repeat] = before - after
        return found

    @abstractmethod
    def _score_encoded(self, x: np.ndarray, y: Any, sample_weight: Any) -> float:
        """The score of encoded rows."""

    # ------------------------------------------------------------ files

    def to_model(self) -> Model:
        """The fitted networks as a `kokuban.Model` of encoded data, with its values.

        For classes it predicts the probabilities; else the standardised target.
        """
        check_is_fitted(self, "model_")
        own = self.model_
        return Model.from_network(own.network, own.values, own.dtype)

    def save(
        self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None
    ) -> None:
        """Write the fitted estimator as one safetensors file, atomically.

        `kokuban.estimators.load` gives it back and runs no code. `extra` are JSON values
        by name that stand in the file beside it. Raises StorageError where the file
        cannot be written, SettingError for a setting that no file holds.
        """
        check_is_fitted(self, "model_")
        names = getattr(self, "feature_names_in_", None)
        settings = self.get_params(deep=False)
        design = self._design
        about = {
            "class": type(self).__name__,
            "settings": {n: plain(n, v) for n, v in settings.items()},
            "encoder": self.encoder_.to_dict(),
            "hidden": list(design.hidden),
            "members": design.members,
            "embedded": list(design.embedded),
            "histories": [history.to_dict() for history in self.histories_],
            "best_epochs": list(self.best_epochs_),
            "n_iter": self.n_iter_,
            "feature_names": None if names is None else names.tolist(),
            "own": self._own_description(),
        }
        self.model_.save(path, extra={**(extra or {}), KEY: about})

    @classmethod
    def restored(cls, about: Mapping[str, Any], model: Model) -> Any:
        """The estimator of a model file and its description."""
        made = cls(**{n: unplain(v) for n, v in about["settings"].items()})
        made._validate_params()
        made.encoder_ = Encoder.from_dict(about["encoder"])
        made._take(about["own"])
        made.n_features_in_ = len(made.encoder_.columns)
        made.histories_ = tuple(History.from_dict(h) for h in about["histories"])
        made.best_epochs_ = tuple(int(e) for e in about["best_epochs"])
        made.n_iter_ = int(about["n_iter"])
        recipe = replace(made.recipe(), hidden=tuple(about["hidden"]))
        embedded = tuple(about["embedded"])
        design = made._designed(recipe, int(about["members"]), embedded)
        design = replace(design, folded=True)
        wanted = {s.name: s.shape for s in nets(design).network().values}
        if wanted != {s.name: v.shape for s, v in model.values.items()}:
            raise FileFormatError("its values are not those of its settings' network")
        made._set_model(design, model.values, {})
        if about["feature_names"] is not None:
            made.feature_names_in_ = np.array(about["feature_names"], dtype=object)
        return made

    @abstractmethod
    def _own_description(self) -> dict[str, Any]:
        """What was learned of the target, as JSON values."""

    @abstractmethod
    def _take(self, about: Mapping[str, Any]) -> None:
        """Take it back."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.non_deterministic = False
        return tags


@dataclass(slots=True)
class _Limit:
    """The time that there is, from now on, and its share for each run still to come."""

    seconds: float | None
    clock: Clock
    began: float = field(init=False)
    run_began: float = field(init=False, default=0.0)
    run_ends: float = field(init=False, default=math.inf)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def share(self, runs: int) -> float | None:
        """When the next run must end, with so many to come, it among them."""
        if self.seconds is None:
            return None
        self.run_began = self.clock()
        end = self.began + SHARE_FOR_TRAINING * self.seconds
        self.run_ends = self.run_began + (end - self.run_began) / runs
        return self.run_ends

    @property
    def over(self) -> bool:
        """Whether there is no time for another run.

        One that needed much more than its share shows how long a run takes at least.
        """
        if self.seconds is None:
            return False
        now = self.clock()
        took, given = now - self.run_began, self.run_ends - self.run_began
        least = took if took > TOO_LONG * given else 0.0
        return now + least >= self.began + self.seconds


def _say_doubts(columns: Sequence[Column]) -> None:
    """Warn of text columns that look like numbers."""
    doubtful = [c for c in columns if "values are numbers" in c.note]
    for column in doubtful[:5]:
        warnings.warn(
            f"Column {column.name!r} is taken as {column.kind}: {column.note}. Convert "
            "it to numbers if it should be numeric.",
            stacklevel=4,
        )
