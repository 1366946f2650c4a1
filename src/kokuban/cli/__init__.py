"""The command line: `kokuban train`, `explain`, `lesson`, `worksheet` and the others."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence

from kokuban.cli.parser import parser
from kokuban.errors import FormulaError, KokubanError

__all__ = ["main"]

FAILED, INTERRUPTED, PIPE_CLOSED = 1, 130, 141  # 128 + SIGINT, 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of `kokuban`, by default that of the process; its exit code.

    0 done; 1 an error of Kokuban, said in a line on stderr, or a check that fails; 2 a
    command that does not exist; 130 Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a ² must not stop an old terminal
            stream.reconfigure(errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _note
            return _run(words)
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except FormulaError as error:  # its lines show the place
        print(f"kokuban: error: {error}", file=sys.stderr)
        return FAILED
    except KokubanError as error:
        return _failed(f"error: {error}", FAILED)
    except OSError as error:  # standard output is full, say
        _discard_output()
        return _failed(f"error: {error}", FAILED)


def _run(words: list[str]) -> int:
    args = parser().parse_args(words or ["--help"])
    args.words = words
    code: int = args.run(args)
    sys.stdout.flush()  # here, where a failure still has a message
    return code


def _failed(text: str, code: int) -> int:
    print("kokuban:", " ".join(text.split()), file=sys.stderr)
    return code


def _note(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a line of the command, without the place in the code."""
    print("kokuban: note:", " ".join(str(message).split()), file=sys.stderr)


def _discard_output() -> None:
    """What Python would still write at its end goes nowhere, and fails no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
