"""PyTorch: eager, and through torch.compile; its fused optimizers, the fastest it has."""

from __future__ import annotations

import time

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
    batches = list(zip(x.split(job.batch), t.split(job.batch), strict=True))

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

    def epochs(number: int) -> float:
        began = time.perf_counter()
        for _ in range(number):
            for x, t in batches:
                step(x, t)
        return time.perf_counter() - began

    @torch.inference_mode()
    def predict() -> torch.Tensor:
        return probabilities(row)

    row = x[:1]
    return Ready(
        lambda steps: [float(step(x, t)) for x, t in batches[:steps]], epochs, predict
    )


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
