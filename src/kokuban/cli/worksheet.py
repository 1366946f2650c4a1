"""`kokuban worksheet`: a derivation with blanks, its answer form, and the key."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from kokuban.cli.show import columns, note
from kokuban.cli.writing import require_writable
from kokuban.errors import (
    ExpressionError,
    FormulaError,
    SettingError,
    StorageError,
    unknown,
)
from kokuban.explain import derive
from kokuban.explain.derivation import LAYOUTS
from kokuban.explain.phrases import LANGUAGES
from kokuban.expr import Expr
from kokuban.formula import Board, board
from kokuban.lessons import NAMES, boards
from kokuban.train.files import write_atomically
from kokuban.worksheets import Worksheet, answers, two_layer, worksheet, writing
from kokuban.worksheets.making import LEVELS
from kokuban.worksheets.sheet import to_json
from kokuban.worksheets.variants import variants

LONG = """\
Make a fill-in-the-blank worksheet out of a derivation, with a form for the answers and
the answer key. WHAT is a board, FILE.kb; a lesson (`kokuban lesson` lists them), which
gives a worksheet for each of its boards; or one board of it, as in softmax/one. two-layer
is one long worksheet: the network with one hidden layer from the forward pass to every
entry of every gradient.

OUTPUT is a folder, or a file whose name ends in .html, .tex, .txt or .json (the file that
`kokuban grade` reads: it holds the answers). In a folder, what holds answers is in its
folder `teacher`."""

EXAMPLES = """\
examples:
  kokuban worksheet net.kb                       as text
  kokuban worksheet net.kb --level 3 --lang ja -o sheet.html
  kokuban worksheet net.kb --blank H_1 --blank dL/dW_1 -o sheet.tex --key
  kokuban worksheet net.kb --variants 40 --seed 7 -o class --key
  kokuban worksheet tied-autoencoder --lang ja -o lesson --key
  kokuban worksheet softmax-cross-entropy/net --numbers
  kokuban worksheet two-layer --lang ja -o deck"""

Made = Sequence[Worksheet]

KINDS: dict[str, Callable[[Made, bool], str]] = {
    ".html": writing.html,
    ".tex": writing.latex,
    ".txt": lambda made, key: "\n".join(writing.text(w, key) for w in made),
    ".json": lambda made, key: to_json(w.sheet for w in made),
}


def options(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.set_defaults(run=run)
    add = command.add_argument
    add("what", metavar="WHAT", help="FILE.kb, LESSON, LESSON/BOARD, or two-layer")
    add("--wrt", action="append", metavar="NAME", help="derive by this parameter only")
    add(
        "--level",
        type=int,
        choices=LEVELS,
        default=2,
        help="1: a factor of each gradient is blank; 2: each gradient (the default); "
        "3: the forward lines too",
    )
    add(
        "--blank",
        action="append",
        metavar="NAME",
        help="leave this blank instead, such as H_1 or dL/dW_1; may be given again",
    )
    add("--numbers", action="store_true", help="small matrices to calculate with, too")
    add("--lang", choices=tuple(LANGUAGES), default="en", help="default: en")
    add("--layout", choices=LAYOUTS, default=LAYOUTS[0], help="default: rows")
    add("--seed", type=int, default=0, metavar="K", help="default: 0")
    add(
        "--variants",
        type=int,
        default=1,
        metavar="M",
        help="so many sheets: other sizes, activations and losses",
    )
    add("--key", action="store_true", help="the answer key; in a folder, the key as well")
    add("-o", "--output", metavar="OUTPUT", help="write there instead; see above")


def run(args: argparse.Namespace) -> int:
    """Make worksheets as the options say; the exit code."""
    made = _made(args)
    if args.output is None:
        print("\n".join(writing.text(w, args.key, columns()) for w in made), end="")
        return 0
    path = Path(args.output)
    if path.suffix.lower() in KINDS:
        require_writable(args.output, (args.what,))
        content = KINDS[path.suffix.lower()](made, args.key)
        write_atomically(path, content.encode())
        note(f"{_counted(made)}, written to {path}")
        return 0
    if path.suffix:
        raise SettingError(
            f"{args.output!r} does not say what to write: its name ends in one of "
            f"{', '.join(KINDS)}, or it is a folder."
        )
    for name, text in _files(made, args.key):
        _write(path / name, text)
    note(f"{_counted(made)}, written to {path}; {path / TEACHER} is for the teacher only")
    return 0


TEACHER = "teacher"


def _files(made: Made, key: bool) -> list[tuple[str, str]]:
    """What goes into a folder: sheets and forms, and apart from them what has answers."""
    found = [
        ("sheet.html", writing.html(made)),
        ("sheet.tex", writing.latex(made)),
        *((f"{w.sheet.id}.txt", answers.form(w.sheet)) for w in made),
        *((f"{w.sheet.id}.json", answers.json_form(w.sheet)) for w in made),
        (f"{TEACHER}/sheets.json", to_json(w.sheet for w in made)),
    ]
    if key:
        found += [
            (f"{TEACHER}/key.html", writing.html(made, key=True)),
            (f"{TEACHER}/key.tex", writing.latex(made, key=True)),
            *((f"{TEACHER}/{w.sheet.id}.txt", answers.form(w.sheet, True)) for w in made),
        ]
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"Cannot make {str(path.parent)!r}: {error.strerror}."
        ) from error
    write_atomically(path, text.encode())


def _counted(made: Made) -> str:
    blanks = sum(len(w.sheet.blanks) for w in made)
    return f"{len(made)} worksheet{'s' * (len(made) > 1)} with {blanks} blanks"


def _made(args: argparse.Namespace) -> Made:
    if args.what in two_layer.NAMES:
        return [
            two_layer.sheet(args.what, lang=args.lang, seed=args.seed + k, id=own)
            for k, own in enumerate(_ids(args.what, args))
        ]
    return [
        worksheet(
            one,
            None if args.wrt is None else [_named(one, w) for w in args.wrt],
            level=args.level,
            blanks=args.blank,
            numbers=args.numbers,
            lang=args.lang,
            layout=args.layout,
            seed=args.seed + k,
            id=own,
        )
        for stem, given in _boards(args.what).items()
        for k, (one, own) in enumerate(
            zip(_several(given, args), _ids(stem, args), strict=True)
        )
    ]


def _several(given: Board, args: argparse.Namespace) -> Iterable[Board]:
    return [given] if args.variants == 1 else variants(given, args.variants, args.seed)


def _ids(stem: str, args: argparse.Namespace) -> list[str]:
    own = f"{stem}-{args.seed}"
    if args.variants == 1:
        return [own]
    return [f"{own}-{k + 1}" for k in range(args.variants)]


def _boards(what: str) -> Mapping[str, Board]:
    """The boards to make worksheets of, by the stems of their ids."""
    path = Path(what)
    if path.suffix == ".kb":
        return {path.stem: board(path)}
    name, slash, own = what.partition("/")
    if name not in NAMES:
        raise unknown("worksheet", what, [*NAMES, "FILE.kb"])
    found = {re.sub(r"\W+", "-", b): one for b, one in boards(name).items()}
    if slash:
        if own not in found:
            raise unknown(f"board of {name}", own, found)
        return {f"{name}-{own}": found[own]}
    return {f"{name}-{b}": one for b, one in found.items() if _has_gradients(one)}


def _has_gradients(given: Board) -> bool:
    try:
        derive(given.loss)
    except (FormulaError, ExpressionError):  # no loss on it, or nothing to derive by
        return False
    return True


def _named(given: Board, name: str) -> Expr:
    if name not in given:
        raise unknown("name", name, given)
    return given[name]
