"""Each lesson is told once for all tests: some train, and one measures."""

from collections.abc import Callable
from functools import cache

import pytest

from kokuban.lessons import lesson
from kokuban.lessons.writers import Told, tell


@pytest.fixture(scope="session")
def telling() -> Callable[[str, str], Told]:
    return cache(lambda name, lang: tell(lesson(name), lang))
