"""`python -m kokuban`: the command line."""

import sys

from kokuban.cli import main

if __name__ == "__main__":
    sys.exit(main())
