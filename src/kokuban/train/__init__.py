"""Training: data, the loop, history, checkpoints, the model."""

from kokuban.train.history import History
from kokuban.train.loop import Trainer
from kokuban.train.model import Model, load
from kokuban.train.stopping import EarlyStopping

__all__ = ["EarlyStopping", "History", "Model", "Trainer", "load"]
