"""PyTorch: eager, and through torch.compile; its fused optimizers, the fastest it has.

Shuffled, all rows are taken at once: one call an epoch and not one a batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.functional import cross_entropy

from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Given, Job


def eager(job: Job, given: Given) -> Ready:
    """The loop of PyTorch's own tutorials."""
    return _ready(job, given, compiled=False)


def compiled(job: Job, given: Given) -> Ready:
    """Net and loss compiled; needs a C++ compiler at run time."""
    torch._dynamo.reset()
    return _ready(job, given, compiled=True)


def _ready(job: Job, given: Given, compiled: bool) -> Ready:
    net = _net(given)
    optimizer = _optimizer(job, net)
    x, t = torch.from_numpy(given.x), torch.from_numpy(given.t)
    batches = list(_batches(job, x, t))

    def loss_of(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return cross_entropy(net(x), t)

    def probabilities(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(net(x), dim=1)

    if compiled:
        loss_of, probabilities = torch.compile(loss_of), torch.compile(probabilities)

    def step(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, t)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def shuffled() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.randperm(len(x))
        return _batches(job, x.index_select(0, order), t.index_select(0, order))

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for rows, labels in shuffled() if job.shuffled else batches:
                step(rows, labels)

    @torch.inference_mode()
    def predict() -> torch.Tensor:
        return probabilities(row)

    row = x[:1]
    return Ready(
        lambda steps: [float(step(x, t)) for x, t in batches[:steps]], train, predict
    )


def _batches(
    job: Job, x: torch.Tensor, t: torch.Tensor
) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    return zip(x.split(job.batch), t.split(job.batch), strict=True)


def _net(given: Given) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for w, b in given.weights:
        linear = torch.nn.Linear(*w.shape)
        linear.weight.data = torch.from_numpy(w.T.copy())
        linear.bias.data = torch.from_numpy(b[0].copy())
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _optimizer(job: Job, net: torch.nn.Module) -> torch.optim.Optimizer:
    if job.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), lr=job.rate, fused=True)
    return torch.optim.Adam(
        net.parameters(), lr=job.rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True
    )
