"""Optimizers, whose updates are expressions, and schedules of the learning rate."""

from kokuban.optim.optimizer import Optimizer, Updates
from kokuban.optim.records import from_dict, named, to_dict
from kokuban.optim.rules import SGD, Adagrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from kokuban.optim.schedule import (
    Constant,
    Cosine,
    InverseScaling,
    LogCosine,
    OneCycle,
    Progress,
    Schedule,
    Step,
    WarmUp,
)

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "InverseScaling",
    "LogCosine",
    "Momentum",
    "Nesterov",
    "OneCycle",
    "Optimizer",
    "Progress",
    "RMSprop",
    "Schedule",
    "Step",
    "Updates",
    "WarmUp",
    "from_dict",
    "named",
    "to_dict",
]
