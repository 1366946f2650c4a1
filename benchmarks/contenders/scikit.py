"""scikit-learn's MLPClassifier, with its own loop and solvers.

It has no way to give it start weights. So it learns one batch, which makes its arrays;
then the weights are put into them and the solver's memory is dropped. Its Adam adds ε
before the correction, which changes the losses by less than their agreement asks for.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Given, Job


def classifier(job: Job, given: Given) -> Ready:
    """`partial_fit`, a batch a call, for the first losses; `fit` for whole epochs."""
    net, x, t = _net(job), given.x, given.t
    net.partial_fit(x[: job.batch], t[: job.batch], classes=np.arange(job.sizes[-1]))
    for k, (w, b) in enumerate(given.weights):
        net.coefs_[k][:], net.intercepts_[k][:] = w, b[0]
    del net._optimizer
    row = x[:1]

    def first(steps: int) -> list[float]:
        net.set_params(warm_start=False, shuffle=False)
        losses = []
        for k in range(0, steps * job.batch, job.batch):
            net.partial_fit(x[k : k + job.batch], t[k : k + job.batch])
            losses.append(float(net.loss_))
        return losses

    def train(epochs: int) -> None:
        net.set_params(max_iter=epochs, warm_start=True, shuffle=job.shuffled)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(x, t)

    return Ready(first, train, lambda: net.predict_proba(row), prepares=True)


def _net(job: Job) -> MLPClassifier:
    return MLPClassifier(
        job.sizes[1:-1],
        solver=job.optimizer,
        learning_rate_init=job.rate,
        batch_size=job.batch,
        alpha=0,
        momentum=0,
        nesterovs_momentum=False,
        beta_1=BETA1,
        beta_2=BETA2,
        epsilon=EPSILON,
        shuffle=False,
        tol=0,
        n_iter_no_change=2**31,
        random_state=0,
    )
