"""Data from files: IDX arrays, and tables of numbers and text.

What a table's columns mean is decided by `kokuban.estimators.tabular`; here is what its
target is, which the reader of a file must know first.
"""

from kokuban.train.data.idx import read_idx, read_idx_pair
from kokuban.train.data.table import Table, read_batches, read_table
from kokuban.train.data.target import Target, fit_target

__all__ = [
    "Table",
    "Target",
    "fit_target",
    "read_batches",
    "read_idx",
    "read_idx_pair",
    "read_table",
]
