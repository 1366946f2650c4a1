"""Running expressions. `reference` is the meaning; it runs on any array namespace.

`plan` lowers expressions to instructions, `vm` runs a plan on the native engine.
"""

from kokuban.run.reference import Program, evaluate
from kokuban.run.threads import set_num_threads

__all__ = ["Program", "evaluate", "set_num_threads"]
