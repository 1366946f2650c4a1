"""What `kokuban check` says above its report, by language."""

from __future__ import annotations

from typing import Final

WORDS: Final = {
    "en": {
        "board": "{0}: the gradient of {1} at {2}",
        "random": "random values, {0} rows (seed {1})",
        "model": "{0}: the gradient of its loss at its values, on {1}",
        "first": "the first {0} rows of {1}",
        "rows": "{0} random rows (seed {1})",
    },
    "ja": {
        "board": "{0}: {1} の勾配。値は {2}",
        "random": "乱数、{0} 行 (seed {1})",
        "model": "{0}: 損失の勾配。パラメータは今の値、データは {1}",
        "first": "{1} の最初の {0} 行",
        "rows": "乱数、{0} 行 (seed {1})",
    },
}
