"""Derivations: a loss's gradient as one would write it on a blackboard.

`derive` takes a loss apart into named quantities (forward.py) and goes back through them
(backward.py); writer.py makes a page of steps of that, whose formulas are layout trees
(layout.py, notation.py), and pages.py spells it as text, LaTeX, Markdown or HTML.
entries.py proves the rules index by index (calculus.py, folding.py), numbers.py puts
values in, program.py writes NumPy.
"""

from kokuban.explain.derivation import Derivation, derive

__all__ = ["Derivation", "derive"]
