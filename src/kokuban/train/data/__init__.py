"""Data from files: IDX arrays, CSV tables, and tables encoded as matrices.

A table holds the text of its cells. What a column means is decided once, when a
`TableEncoder` is fitted, and is applied as it stands to every later table.
"""

from kokuban.train.data.encode import TableEncoder
from kokuban.train.data.idx import read_idx, read_idx_pair
from kokuban.train.data.table import Table, read_table

__all__ = ["Table", "TableEncoder", "read_idx", "read_idx_pair", "read_table"]
