"""Orders of epochs are the same, drawn ahead or not."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kokuban.run.threads import set_num_threads
from kokuban.train.loop import shuffled
from kokuban.train.orders import MANY, Orders


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 50, MANY, MANY + 1])
def test_orders_are_those_of_seed_and_epoch(
    rows: int, threads: int, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: set_num_threads(None))
    set_num_threads(threads)
    before = threading.active_count()
    with Orders(rows, 3, 5, shuffle=True) as orders:
        for epoch in (1, 2, 3, 4, 2):
            assert_array_equal(orders.of(epoch), shuffled(rows, 3, epoch))
        drawer = threads > 1 and rows >= MANY
        assert threading.active_count() == before + drawer
    assert threading.active_count() == before


def test_rows_that_are_not_shuffled_stay() -> None:
    with Orders(7, 3, 5, shuffle=False) as orders:
        assert_array_equal(orders.of(0), np.arange(7))
        assert_array_equal(orders.of(4), np.arange(7))
