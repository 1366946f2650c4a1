"""The options of each command, and their help."""

from __future__ import annotations

import argparse
from typing import Any

from kokuban.cli import check, explain, export, grade, lesson, predict, train, worksheet
from kokuban.cli.settings import PRESETS, RATES, VALIDATION, Settings
from kokuban.cli.source import Source
from kokuban.explain.derivation import DETAILS, FORMS, LAYOUTS
from kokuban.explain.phrases import LANGUAGES
from kokuban.nn.activations import BY_NAME
from kokuban.train.arguments import ENGINES
from kokuban.train.data.target import TASKS

Group = Any  # argparse's type for what has add_argument is private

DESCRIPTION = """\
Train a network on a table or on images, use it, and prove its gradient.

  kokuban train digits                            scikit-learn's digits
  kokuban train houses.csv --target price         a table with a header
  kokuban predict houses.safetensors new.csv      answers for new rows
  kokuban check houses.safetensors houses.csv     the proof
  kokuban explain houses.safetensors              its backpropagation, derived
  kokuban export houses.safetensors               for other programs, as ONNX"""

TRAIN = """\
Train a network and say how well it does on rows it has not seen.

DATA is one of
  digits            scikit-learn's 1,797 handwritten digits; nothing is downloaded
  TABLE             a table, CSV (also .tsv, .csv.gz) or Parquet; --target says
                    which column to predict
  IMAGES LABELS     two IDX files, as MNIST has them, gzipped or not
and before it there may be
  NET.kb            a board: the network and its loss, written as formulas

A fifth of the rows is held out for the score. A table's columns may be numbers, text,
dates, with values missing; nothing has to be prepared, and what each was taken for is
said. Several networks are trained and averaged, each with other rows held out. Ctrl-C
ends training and keeps what was learned."""

TRAIN_EXAMPLES = """\
examples:
  kokuban train digits --report digits.html
  kokuban train houses.csv --target price -o price.safetensors
  kokuban train adult-train.csv --target -1      the last column; there is no header
  kokuban train wine.parquet --target quality --task classification
  kokuban train train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz
  kokuban train houses.csv --target price --preset fast --max-time 60
  kokuban train digits --hidden none             a linear model, to compare with
  kokuban train net.kb digits                    the network that net.kb describes"""

PREDICT = """\
Predict with a model that `kokuban train` wrote, from raw data like those it was
trained on. The answers are a row for each row of the data: CSV, or Parquet where -o says
so by its name. A table may have the target's column or not; where the right answers are
there, a score is said. A table is read and answered a part at a time, whatever its
size."""

PREDICT_EXAMPLES = """\
examples:
  kokuban predict price.safetensors new-houses.csv -o prices.csv
  kokuban predict price.safetensors new-houses.parquet -o prices.parquet
  kokuban predict digits.safetensors digits --probabilities | head
  kokuban predict mnist.safetensors t10k-images.gz t10k-labels.gz -o digits.csv"""

CHECK = """\
Prove the gradient of a loss against numerical differentiation, in float64, by every
parameter: of a model, at its own values, or of a board (FILE.kb: shapes and formulas as
text), where claims can be held against it. Exit code 0 says that all agree, 1 that
something does not."""

CHECK_EXAMPLES = """\
examples:
  kokuban check digits.safetensors digits
  kokuban check price.safetensors                random rows
  kokuban check net.kb                           random values
  kokuban check net.kb --at values.npz --claim 'W = X^T D' --let 'D = (Y - T) / N'"""

EXPORT = """\
Write a model as an ONNX file, which other programs run. A model of `kokuban train` takes
raw data there too: each column of its table is an input, numbers in float64 (NaN where
one is missing), dates in seconds since 1970, all else text ("" where it is missing);
images are an input of grey levels."""

EXPORT_EXAMPLES = """\
examples:
  kokuban export price.safetensors -o price.onnx
  kokuban export digits.safetensors              writes digits.onnx"""

EXPLAIN = """\
Derive the gradient of a loss step by step, as on a blackboard, from the loss back to
its parameters. WHAT is a board, FILE.kb; a model file; or FILE.py:NAME, an expression
in a Python file of yours, which is run. What has a name there keeps it in the
derivation."""

EXPLAIN_EXAMPLES = """\
examples:
  kokuban explain digits.safetensors -o digits.html
  kokuban explain net.py:L --wrt W1 --form entries --lang ja
  kokuban explain net.py:L --form numbers --at values.npz --entry 1,3
  kokuban explain net.py:L -o net-numpy.py       a program of both passes"""

LESSON = """\
Lessons on backpropagation, from the step neuron to weights used twice. Every formula
in them is derived and every number computed when the lesson is shown. Without a NAME,
the list of lessons."""

LESSON_EXAMPLES = """\
examples:
  kokuban lesson
  kokuban lesson losses --lang ja
  kokuban lesson losses -o losses.html           with its figures
  kokuban lesson --all -o lessons                every lesson, as Markdown"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="kokuban",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="kokuban COMMAND --help says more about a command.",
    )
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _train(_command(commands, "train", "learn from data", TRAIN, TRAIN_EXAMPLES))
    _explain(
        _command(commands, "explain", "derive a gradient", EXPLAIN, EXPLAIN_EXAMPLES)
    )
    _predict(
        _command(commands, "predict", "answers for raw data", PREDICT, PREDICT_EXAMPLES)
    )
    _check(_command(commands, "check", "prove the gradient", CHECK, CHECK_EXAMPLES))
    _lesson(_command(commands, "lesson", "learn how it works", LESSON, LESSON_EXAMPLES))
    _export(_command(commands, "export", "a model as ONNX file", EXPORT, EXPORT_EXAMPLES))
    for own, module, short in (
        ("worksheet", worksheet, "make fill-in-the-blank sheets"),
        ("grade", grade, "grade what comes back"),
    ):
        module.options(_command(commands, own, short, module.LONG, module.EXAMPLES))
    return top


def _command(
    commands: Group, name: str, short: str, long: str, examples: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=long,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def _train(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=train.run)
    command.add_argument(
        "files", nargs="+", metavar="DATA", action=_Files, help="see above"
    )
    _train_files(command.add_argument_group("data and files"))
    _train_settings(command.add_argument_group("network and training"))
    _train_tables(command.add_argument_group("training on tables"))
    _train_models(command.add_argument_group("training on images, and of boards"))


def _train_files(group: Group) -> None:
    add = group.add_argument
    add("--target", metavar="COLUMN", help="name or number; -1 is the last column")
    add(
        "--task",
        choices=TASKS,
        help="default: told by the target; text, two whole numbers, and whole numbers "
        "0, 1, ... without a gap are classes, other numbers a quantity",
    )
    add(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first row of the table names the columns (default: told by "
        "looking)",
    )
    _separator(group)
    add(
        "--in-parts",
        action=argparse.BooleanOptionalAction,
        help="read the table in parts and keep its rows in a temporary file, the columns "
        "learned from a sample where there are very many rows (default: above 256 MB)",
    )
    add(
        "--test-fraction",
        type=float,
        metavar="F",
        help=f"share of the rows held out for the score (default {Source.test_fraction})",
    )
    add("-o", "--output", metavar="FILE", help="the model (default NAME.safetensors)")
    add("--report", metavar="FILE", help="also a page: scores, curves, mistakes (HTML)")
    add("-q", "--quiet", action="store_true", help="print the score and nothing else")
    _json(group)


def _train_settings(group: Group) -> None:
    add, default = group.add_argument, Settings()
    add(
        "--hidden",
        type=_sizes,
        metavar="SIZES",
        help="units of the hidden layers, such as 64,32, or none (default "
        f"{','.join(map(str, default.hidden))}); for a table what --preset says",
    )
    add(
        "--activation",
        metavar="NAME",
        help="after each of them; for a table selu or mish (default for classes selu, "
        f"for a quantity mish), for images (default {default.activation}) "
        f"{', '.join(BY_NAME)}",
    )
    rates = ", ".join(f"{name} {rate}" for name, rate in RATES.items())
    add(
        "--rate",
        type=float,
        metavar="R",
        help=f"learning rate at the beginning (default {rates}, falling to 0 on a "
        "cosine; for a table 0.04 for classes and 0.07 for a quantity, in waves)",
    )
    add(
        "--epochs",
        type=int,
        metavar="N",
        help="passes over the data at most (default for a table what --preset says, else "
        f"{default.epochs})",
    )
    add(
        "--batch-size",
        type=int,
        metavar="N",
        help="rows in a step (default for a table what --preset says, else 32, more "
        "where there are many rows, at most 256)",
    )
    add(
        "--patience",
        type=int,
        metavar="N",
        help="end after N epochs without a better one on the rows set apart for that, "
        "and keep the best; 0 for all epochs (default for a table what --preset says). "
        f"For images and boards those are {round(VALIDATION * 100)} %% of the rows to "
        "learn from, better is a smaller squared error (of the probabilities, where "
        f"there are classes), and 0 learns from all rows (default {default.patience})",
    )
    add(
        "--seed",
        type=int,
        metavar="N",
        help=f"of the split, the start and the order (default {default.seed})",
    )


def _train_tables(group: Group) -> None:
    add = group.add_argument
    add(
        "--preset",
        choices=PRESETS,
        help="default; fast: smaller nets, fewer epochs, stops early; realmlp: sizes and "
        "epochs as published",
    )
    add(
        "--max-time",
        type=float,
        metavar="SECONDS",
        help="of training; then the best so far is taken",
    )


def _train_models(group: Group) -> None:
    add, default = group.add_argument, Settings()
    add(
        "--dropout",
        type=float,
        metavar="P",
        help="share of the hidden units left out in each step "
        f"(default {default.dropout})",
    )
    add(
        "--optimizer",
        metavar="NAME",
        help=f"{', '.join(RATES)} (default {default.optimizer})",
    )
    add(
        "--weight-decay",
        type=float,
        metavar="L",
        help="L times the weights are added to the gradient; adamw subtracts them "
        f"beside it (default {default.weight_decay:g})",
    )
    add(
        "--engine",
        choices=ENGINES,
        help=f"what runs the training (default {default.engine}: the native engine where "
        "it can)",
    )


def _predict(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=predict.run)
    command.add_argument("model", metavar="MODEL", help="what `kokuban train` wrote")
    command.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a table, or images and maybe labels, or digits",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the file, CSV, or Parquet if its name ends in .parquet (default: CSV on "
        "standard output)",
    )
    command.add_argument(
        "--probabilities",
        action="store_true",
        help="also a column for each class, with its probability",
    )
    _separator(command)
    _json(command)


def _export(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=export.run)
    command.add_argument("model", metavar="MODEL", help="a model or estimator file")
    command.add_argument(
        "-o", "--output", metavar="FILE", help="the file (default NAME.onnx)"
    )


def _check(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=check.run)
    command.add_argument("model", metavar="MODEL", help="a model file, or a board")
    command.add_argument(
        "data",
        nargs="*",
        metavar="DATA",
        help="its first rows are used, as for predict, with the target; "
        "random rows without",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of random rows (default 0)"
    )
    _separator(command)
    command.add_argument(
        "--lang",
        choices=tuple(LANGUAGES),
        default="en",
        help="of the report; default: en",
    )
    _json(command)
    add = command.add_argument_group("boards").add_argument
    add("--at", metavar="FILE", help="values by name, from numpy.savez (default: random)")
    add(
        "--claim",
        action="append",
        default=[],
        metavar="'W = …'",
        help="the gradient by W as someone has it; may be given again",
    )
    add(
        "--let",
        action="append",
        default=[],
        metavar="'D = …'",
        help="a name for claims to use; may be given again",
    )
    add(
        "--loss",
        metavar="NAME",
        help="what to differentiate (default: the board's last formula that is 1×1)",
    )


def _explain(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=explain.run)
    add = command.add_argument
    add("what", metavar="WHAT", help="FILE.kb, a model file, or FILE.py:NAME")
    add(
        "--wrt",
        action="append",
        metavar="NAME",
        help="derive by this parameter only; more than once for several",
    )
    add("--form", choices=FORMS, default=FORMS[0], help="default: matrix")
    add("--lang", choices=tuple(LANGUAGES), default="en", help="default: en")
    add(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="samples in rows (the default), or in columns: all transposed",
    )
    add("--detail", choices=DETAILS, default="steps", help="default: steps")
    add("--at", metavar="FILE", help="values by name for --form numbers, an .npz file")
    add(
        "--entry",
        type=_place,
        metavar="ROW,COLUMN",
        help="whose arithmetic is written out, counted from 1 (default: the largest)",
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help=f"write it there instead; its name ends in {', '.join(explain.KINDS)}",
    )


def _lesson(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=lesson.run)
    add = command.add_argument
    add("name", nargs="?", metavar="NAME", help="which lesson (default: list them)")
    add("--lang", choices=tuple(LANGUAGES), default="en", help="default: en")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help=f"write it there instead; its name ends in {', '.join(lesson.KINDS)}; "
        "the figures of .md stand beside it",
    )
    add("--all", action="store_true", help="every lesson, into the folder -o names")


def _place(text: str) -> tuple[int, int]:
    """`1,3` as a row and a column."""
    try:
        row, column = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a row and a column such as 1,3"
        ) from None
    return row, column


def _separator(group: Group) -> None:
    group.add_argument(
        "--separator",
        metavar="CHARACTER",
        type=_character,
        help="between the columns of a table, or tab (default: told by looking)",
    )
    group.add_argument(
        "--encoding",
        metavar="NAME",
        help="of a table as text, such as cp1252 or shift_jis (default: UTF-8, or what "
        "the file's first bytes say)",
    )


def _json(group: Group) -> None:
    group.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document, and what else there is to say on standard error",
    )


def _character(text: str) -> str:
    """A character, which may be called tab."""
    return "\t" if text == "tab" else text


def _sizes(text: str) -> tuple[int, ...]:
    """`64,32` as numbers; `none` as no layer."""
    if text == "none":
        return ()
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of whole numbers such as 64,32, nor none"
        ) from None


class _Files(argparse.Action):
    """`digits`, one table, or images and labels; before them a board, perhaps."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        namespace.board = None
        if values[0].endswith(".kb"):
            namespace.board, *values = values
        if not values:
            raise argparse.ArgumentError(self, "the data to learn from are missing")
        if len(values) > 2:
            raise argparse.ArgumentError(
                self, f"one table, or images and labels; not {len(values)} files"
            )
        namespace.files = tuple(values)


class _Version(argparse.Action):
    """Prints the version; it is looked up only then."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from importlib.metadata import version

        print(f"kokuban {version('kokuban')}")
        parser.exit()
