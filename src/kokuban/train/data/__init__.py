"""Data from files: IDX arrays, tables, and tables encoded as matrices.

A table holds numbers and text. What a column means is decided once, when a
`TableEncoder` is fitted, and is applied as it stands to every later table.
"""

from kokuban.train.data.encode import TableEncoder
from kokuban.train.data.idx import read_idx, read_idx_pair
from kokuban.train.data.table import Table, read_batches, read_table

__all__ = [
    "Table",
    "TableEncoder",
    "read_batches",
    "read_idx",
    "read_idx_pair",
    "read_table",
]
