"""Derivations: a loss's gradient as one would write it on a blackboard.

`derive` takes a loss apart into named quantities (forward.py) and goes back through them
(backward.py); a page of steps (derivation.py) is spelt as text, LaTeX, Markdown or HTML
(pages.py) from one layout tree (layout.py). entries.py proves the rules index by index,
numbers.py puts values in, program.py writes NumPy.
"""

from kokuban.explain.derivation import Derivation, derive

__all__ = ["Derivation", "derive"]
