"""`kokuban lesson`: the list of lessons, one lesson, or all of them as files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from kokuban.cli.show import columns, note
from kokuban.cli.writing import require_writable
from kokuban.errors import SettingError, StorageError
from kokuban.explain.phrases import LANGUAGES
from kokuban.lessons import NAMES, Lesson, contents, lesson, writers
from kokuban.train.files import write_atomically

KINDS = (".html", ".md", ".txt")


def run(args: argparse.Namespace) -> int:
    """List, show or write lessons as the options say; the exit code."""
    if args.all:
        return _all(args)
    if args.name is None:
        if args.output is not None:
            raise SettingError("-o writes one lesson: name it, or say --all.")
        print(contents.text(args.lang), end="")
        return 0
    found = lesson(args.name)
    if args.output is None:
        print(writers.text(writers.tell(found, args.lang), columns()), end="")
        return 0
    files = _files(found, args.lang, args.output)
    for path, content in files.items():
        write_atomically(path, content)
    more = f", with {len(files) - 1} figures beside it" if len(files) > 1 else ""
    note(f"lesson {found.name}, written to {args.output}{more}")
    return 0


def _files(found: Lesson, lang: str, output: str) -> Mapping[Path, bytes]:
    """What a lesson is written as, by path: the page last, after its figures."""
    path = Path(output)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise SettingError(
            f"{output!r} does not say what to write: its name ends in one of "
            f"{', '.join(KINDS)}."
        )
    require_writable(output, ())
    if kind != ".md":
        return {path: writers.WRITERS[kind](writers.tell(found, lang)).encode()}
    text, figures = writers.markdown(writers.tell(found, lang), path.stem)
    return {path.with_name(n): f for n, f in figures.items()} | {path: text.encode()}


def _all(args: argparse.Namespace) -> int:
    """Every lesson in every language as Markdown in a folder, with a list of them."""
    if args.name is not None or args.output is None:
        raise SettingError("--all writes every lesson into a folder: --all -o FOLDER.")
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write {args.output!r}: {error.strerror}.") from error
    for lang in LANGUAGES:
        end = contents.ending(lang)
        for own in NAMES:
            for path, content in _files(
                lesson(own), lang, str(folder / f"{own}{end}")
            ).items():
                write_atomically(path, content)
        write_atomically(folder / f"README{end}", contents.markdown(lang).encode())
    note(f"{len(NAMES)} lessons in {len(LANGUAGES)} languages, written to {args.output}")
    return 0
