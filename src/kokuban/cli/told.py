"""The verdict of a check, as `kokuban check` prints it."""

from __future__ import annotations

import json
import math

from kokuban.gradcheck import Check, Result


def told(report: Check, about: str, as_json: bool, lang: str) -> int:
    """Print the verdict, in words or as JSON; 0 where it is right, else 1."""
    if as_json:
        results = [_to_dict(result) for result in report.results]
        found = {"ok": report.ok, "about": about, "loss": report.loss}
        print(json.dumps(found | {"parameters": results, "notes": report.notes}))
    else:
        print(about)
        print(report.text(lang))
    return 0 if report.ok else 1


def _to_dict(result: Result) -> dict[str, object]:
    numbers = {"gap": result.gap, "bound": result.bound, "slope": result.slope}
    finite = {n: v if math.isfinite(v) else None for n, v in numbers.items()}
    return {
        "name": result.symbol.name,
        "shape": result.shape,
        "ok": result.ok,
        "claimed": result.claimed,
        "entries": result.entries,
        "failed": result.failed,
        "diagnosis": result.diagnosis,
        **finite,
    }
