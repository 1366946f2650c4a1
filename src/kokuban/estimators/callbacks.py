"""What scikit-learn's callbacks hear of a fit: the fit, and in it each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sklearn.utils import _safe_indexing

Learned = Callable[[], dict[str, Any]]  # the attributes that prediction needs


@dataclass(slots=True)
class Tasks:
    """The tasks of a fit, as scikit-learn's callbacks see them.

    estimator   that is fitted
    fit         the task of the whole fit
    X, y, sample_weight   the training data, as they were given
    """

    estimator: Any
    fit: Any
    X: Any
    y: Any
    sample_weight: Any
    _now: Any = field(default=None, init=False)

    @property
    def heard(self) -> bool:
        """Whether there is a callback."""
        return hasattr(self.estimator, "_skl_callbacks")

    def open(self) -> None:
        """The fit begins."""
        self.fit.call_on_fit_task_begin(estimator=self.estimator, **self._data())

    def close(self) -> None:
        """The fit has ended."""
        if self._now is not None:  # an iteration that lbfgs did not take to its end
            self._now.call_on_fit_task_end(estimator=self.estimator)
        self.fit.call_on_fit_task_end(
            estimator=self.estimator, **self._data(), reconstruction_attributes=dict
        )

    def begin(self, name: str) -> None:
        """An epoch, or another step on the way, begins."""
        if not self.heard:
            return
        self._now = self.fit.subcontext(task_name=name)
        self._now.call_on_fit_task_begin(estimator=self.estimator, **self._data())

    def end(self, learned: Learned) -> bool:
        """It has ended with these attributes; whether a callback wants to stop."""
        if not self.heard:
            return False
        now, self._now = self._now, None
        stop: bool = now.call_on_fit_task_end(
            estimator=self.estimator, **self._data(), reconstruction_attributes=learned
        )
        return stop

    def only(self, rows: Any) -> None:
        """From here on the training data are these rows of it."""
        if not self.heard:
            return
        self.X, self.y, self.sample_weight = (
            None if part is None else _safe_indexing(part, rows)
            for part in (self.X, self.y, self.sample_weight)
        )

    def _data(self) -> dict[str, Any]:
        weights = self.sample_weight
        metadata = None if weights is None else {"sample_weight": weights}
        return {"X": self.X, "y": self.y, "metadata": metadata}
