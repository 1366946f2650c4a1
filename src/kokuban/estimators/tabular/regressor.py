"""TabularRegressor."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, final

import numpy as np
from scipy.special import ndtri
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions

from kokuban.errors import DataError, SettingError
from kokuban.estimators.tabular.base import Held, TabularEstimator, TabularSettings
from kokuban.estimators.tabular.frame import is_missing
from kokuban.estimators.tabular.training import Criterion, Rows
from kokuban.expr import Symbol

LOSSES = ("mse", "mae", "huber", "normal", "quantile")
HUBER = 1.0  # where the Huber loss becomes straight, in standard deviations of the target
MOST_RESIDUALS = 10_000  # that are kept for intervals


@final
@dataclass(eq=False, repr=False)
class TabularRegressor(RegressorMixin, TabularEstimator):
    """Numbers for the rows of a table, with intervals.

    Encoded columns z ∈ (-3, 3) (see `columns_`), Γ their learned gains:
    H₀ = z ⊙ Γ; Hᵢ = mish(Hᵢ₋₁ Wᵢ/√dᵢ + bᵢ); U = H Wₗ/√dₗ + bₗ + z S/√d; y = μ + σ U,
    held between the least and the largest target of training, μ and σ training's mean and
    standard deviation. The epoch with the least loss on held-out rows is kept. Source of
    the recipe: Holzmüller, Grinsztajn, Steinwart, "Better by default" (2024),
    arXiv:2407.04491 (RealMLP-TD-S).

    loss        "mse", "mae", "huber"; "normal": a mean and a variance for each row, the
                normal negative log-likelihood; "quantile": the quantiles at `quantiles`,
                the pinball loss
    quantiles   the levels, with loss="quantile"; increasing, 0.5 among them

    The other settings are those of TabularClassifier. Fitted: columns_, encoder_, model_,
    history_, histories_, best_epochs_, n_iter_, n_features_in_, feature_names_in_.
    """

    _: KW_ONLY
    loss: str = "mse"
    quantiles: Sequence[float] = (0.05, 0.5, 0.95)

    _task: ClassVar[str] = "regression"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TabularSettings._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "quantiles": ["array-like"],
    }

    def predict(self, X: Any) -> np.ndarray:
        """(rows,) the predicted numbers: means, or medians for "mae" and "quantile"."""
        return self._centre_of(self._network_output(X))

    def predict_quantiles(self, X: Any, levels: Sequence[float]) -> np.ndarray:
        """(rows, levels) the quantiles at these levels, each between 0 and 1.

        With loss="quantile" the levels are some of `quantiles`; with "normal" they are
        the normal distribution's; else those of the held-out residuals around the
        prediction. Raises SettingError for levels that are not there.
        """
        asked = np.asarray(levels, np.float64)
        if asked.ndim != 1 or not np.all((asked > 0) & (asked < 1)):
            raise SettingError(f"levels are numbers between 0 and 1, not {levels!r:.60}.")
        y = self._network_output(X).astype(np.float64)
        if self.loss == "quantile":
            have = self._levels()
            missing = [a for a in asked if a not in have]
            if missing:
                raise SettingError(
                    f"The levels {have} were learned; {missing[0]} is none of them. Fit "
                    "with it in quantiles."
                )
            found = np.sort(y, axis=1)[:, [have.index(a) for a in asked]]
        elif self.loss == "normal":
            found = y[:, :1] + np.exp(y[:, 1:] / 2) * ndtri(asked)
        else:
            found = y + np.quantile(self._signed, asked)
        return self._in_units(found)

    def predict_interval(self, X: Any, coverage: float = 0.9) -> np.ndarray:
        """(rows, 2) an interval for each row that holds its target with this probability.

        Split conformal prediction: the interval of the network is made wider or narrower
        until it holds ⌈(n + 1)·coverage⌉ of the n held-out targets. Around the prediction
        for losses without a spread; times the learned deviation with "normal"; with
        "quantile" it is added to the outermost quantiles. Lei et al., "Distribution-free
        predictive inference for regression" (2018), arXiv:1604.04173; Romano, Patterson,
        Candès, "Conformalized quantile regression" (2019), arXiv:1905.03222. The rows are
        those that chose the epoch, which makes it a little too narrow on few rows.

        Raises SettingError where too few rows were held out for the coverage.
        """
        if not 0 < coverage < 1:
            raise SettingError(f"coverage is between 0 and 1, not {coverage!r}.")
        n = self._held_rows
        rank = int(np.ceil((n + 1) * coverage))
        if rank > n:
            raise SettingError(
                f"{n} rows were held out, which is too few for a coverage of {coverage}; "
                f"at most {n / (n + 1):.3f}. Raise validation_fraction or n_folds."
            )
        at = (rank - 1) / max(n - 1, 1) * (len(self._conformity) - 1)
        width = float(self._conformity[int(np.ceil(at))])
        low, high = self._ends(self._network_output(X).astype(np.float64), width)
        return self._in_units(np.column_stack([low, high]))

    # ------------------------------------------------------------ the target

    def _learn_target(self, y: Any) -> np.ndarray:
        numbers = _numbers(y)
        low, high = float(numbers.min()), float(numbers.max())
        if low == high:
            raise DataError(f"y is {low:g} in every row: there is nothing to learn.")
        with np.errstate(over="ignore"):
            centre, spread = float(numbers.mean()), float(numbers.std())
        if not (np.isfinite(spread) and spread > 0):
            raise DataError(
                f"y lies between {low:g} and {high:g}, whose deviation is no number of "
                "float64: give it in another unit."
            )
        self._centre, self._spread = centre, spread
        self._low, self._high = low, high
        return numbers

    def _more_target(self, y: Any) -> np.ndarray:
        return _numbers(y)

    def _as_matrix(self, keys: np.ndarray) -> np.ndarray:
        return ((keys - self._centre) / self._spread).astype(np.float32)[:, None]

    def _require_settings(self, validation: tuple[Any, Any, Any]) -> None:
        super()._require_settings(validation)
        self._levels()

    def _levels(self) -> tuple[float, ...]:
        if self.loss != "quantile":
            return ()
        levels = tuple(float(q) for q in np.atleast_1d(self.quantiles))
        rises = all(a < b for a, b in itertools.pairwise(levels))
        if not rises or 0.5 not in levels or not all(0 < q < 1 for q in levels):
            raise SettingError(
                "quantiles are increasing levels between 0 and 1 with 0.5 among them, "
                f"which predict gives; not {self.quantiles!r:.60}."
            )
        return levels

    def _outputs(self) -> tuple[int, str, float, tuple[float, ...]]:
        levels = self._levels()
        count = {"normal": 2, "quantile": len(levels)}.get(self.loss, 1)
        return count, self.loss, 0.0, levels

    def _in_units(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(self._centre + self._spread * y)

    def _centre_of(self, y: np.ndarray) -> np.ndarray:
        """(rows,) the prediction in the target's unit from the network's output."""
        column = 0
        if self.loss == "quantile":
            y, column = np.sort(y, axis=1), self._levels().index(0.5)
        found = self._centre + self._spread * y[:, column].astype(np.float64)
        return np.minimum(np.maximum(found, self._low), self._high)

    # ------------------------------------------------------------ held-out rows

    def _judge(self, held: Rows) -> Criterion:
        t = held.t[:, 0].astype(np.float64)
        w = None if held.weights is None else held.weights[:, 0].astype(np.float64)
        levels = np.array(self._levels())

        def judge(scores: np.ndarray, member: int) -> float:
            u = scores.astype(np.float64)
            r = t - u[:, 0]
            if self.loss == "mse":
                losses = r**2
            elif self.loss == "mae":
                losses = np.abs(r)
            elif self.loss == "huber":
                inner = np.minimum(np.abs(r), HUBER)
                losses = inner * (np.abs(r) - inner / 2)
            elif self.loss == "normal":
                with np.errstate(over="ignore"):
                    losses = u[:, 1] + r**2 * np.exp(-u[:, 1])
            else:
                rest = t[:, None] - u
                losses = np.maximum(levels * rest, (levels - 1) * rest).mean(axis=1)
            return float(np.average(losses, weights=w))

        return judge

    def _calibrate(self, held: Sequence[Held]) -> dict[Symbol, np.ndarray]:
        """Keep what intervals need: how far held-out targets lie from the prediction."""
        self._held_rows = sum(len(h.rows.x) for h in held)
        self._signed, self._conformity = np.zeros(1), np.zeros(1)
        if held:
            outputs = np.concatenate([_common(self.loss, h.scores) for h in held])
            t = np.concatenate([h.rows.t[:, 0].astype(np.float64) for h in held])
            low, high = self._ends(outputs, 0.0)
            scale = np.exp(outputs[:, 1] / 2) if self.loss == "normal" else 1.0
            self._conformity = _thinned(np.maximum(low - t, t - high) / scale)
            self._signed = _thinned(t - outputs[:, 0])
        return {}

    def _ends(self, y: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """The network's interval, standardised, made wider by `width` on both sides."""
        if self.loss == "quantile":
            ordered = np.sort(y, axis=1)
            return ordered[:, 0] - width, ordered[:, -1] + width
        spread = np.exp(y[:, 1] / 2) if self.loss == "normal" else 1.0
        return y[:, 0] - width * spread, y[:, 0] + width * spread

    def _score_encoded(self, x: np.ndarray, y: Any, sample_weight: Any) -> float:
        found = self._centre_of(self.model_.predict(x))
        return float(r2_score(_numbers(y), found, sample_weight=sample_weight))

    # ------------------------------------------------------------ files

    def _own_description(self) -> dict[str, Any]:
        return {
            "centre": self._centre,
            "spread": self._spread,
            "low": self._low,
            "high": self._high,
            "held_rows": self._held_rows,
            "signed": self._signed.tolist(),
            "conformity": self._conformity.tolist(),
        }

    def _take(self, about: Mapping[str, Any]) -> None:
        self._centre, self._spread = float(about["centre"]), float(about["spread"])
        self._low, self._high = float(about["low"]), float(about["high"])
        self._held_rows = int(about["held_rows"])
        self._signed = np.array(about["signed"], np.float64)
        self._conformity = np.array(about["conformity"], np.float64)


def _numbers(y: Any) -> np.ndarray:
    """The targets (rows,) float64; DataError where one is missing or no finite number."""
    given = column_or_1d(np.asarray(y), warn=True)
    if given.dtype.kind in "OU":
        given = np.array(
            [np.nan if is_missing(v) else _number(v, k) for k, v in enumerate(given)]
        )
    if given.dtype.kind == "c":
        raise DataError("Complex data not supported: y holds complex numbers.")
    numbers: np.ndarray = given.astype(np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"Input y contains NaN, infinity or a missing value: {numbers[row]} in row "
            f"{row} (counted from 0). Leave out rows without a target."
        )
    return numbers


def _number(value: Any, row: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"y holds {str(value)!r:.40} in row {row} (counted from 0), no number. "
            "For classes use TabularClassifier."
        ) from None


def _common(loss: str, scores: np.ndarray) -> np.ndarray:
    """(rows, outputs) what the members say together, from (members, rows, outputs)."""
    u = scores.astype(np.float64)
    if loss != "normal":
        return np.asarray(u.mean(axis=0))
    centre = u[:, :, 0].mean(axis=0)
    square = (np.exp(u[:, :, 1]) + (u[:, :, 0] - centre) ** 2).mean(axis=0)
    return np.column_stack([centre, np.log(square)])


def _thinned(values: np.ndarray) -> np.ndarray:
    """Sorted; of very many, evenly spaced ones."""
    ordered = np.sort(values)
    if len(ordered) <= MOST_RESIDUALS:
        return ordered
    at = np.ceil(np.linspace(0, len(ordered) - 1, MOST_RESIDUALS)).astype(int)
    return np.asarray(ordered[at])
