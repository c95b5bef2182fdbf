"""Commands and options. Nothing heavy is imported here, so that `neurenix --help` answers at once."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from neurenix import __version__

# The names of neurenix.train.SCHEDULES.
SCHEDULES = (
    *("cosine", "linear", "step", "exponential", "constant"),
    *("stable", "inverse_sqrt", "polynomial", "rex", "restarts"),
)

TRAIN_HELP = """\
Trains a multi-layer perceptron and writes to the output folder: checkpoint.safetensors, history.jsonl, curves.png.

DATA is a CSV file (say --target), an .npz file with x and y, or one of scikit-learn's sets: breast_cancer, diabetes,
digits, iris, wine. Numbers are standardised, texts become one column for each value, missing numbers take the mean.
A share of the rows, chosen by a fixed seed, is held out to see how good the model is.
"""


class Parser(argparse.ArgumentParser):
    """Reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and ends with exit code 2."""
        print(f"neurenix: error: {message} (see: {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def make_parser() -> Parser:
    """The parser of the whole command line; `command` of its result is the function to call."""
    parser = Parser(prog="neurenix", description="Trains models on any processor.")
    parser.add_argument("--version", action="version", version=f"neurenix {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _train(commands)
    _predict(commands)
    info = commands.add_parser("info", help="print version, devices, CPU features and threads")
    info.set_defaults(command=_lazy("info"))
    return parser


def _train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a model on a table of data",
        description=TRAIN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    train.set_defaults(command=_lazy("train"))
    add = train.add_argument
    add("data", metavar="DATA", help="a CSV file, an .npz file or the name of a set")
    add("--target", metavar="COLUMN", help="column of a CSV file to predict")
    add(
        "--task",
        choices=("classification", "regression"),
        help="what the target is; found from it when not said",
    )
    add("--hidden", metavar="N,N", type=_widths, help="widths of the hidden layers; 0 for none (128,64)")
    add("--optimizer", choices=("adamw", "adam", "sgd"), help="sgd has momentum 0.9 (adamw)")
    add("--lr", metavar="X", type=_above_zero, help="highest learning rate (0.003; 0.05 for sgd)")
    add("--weight-decay", metavar="X", type=_not_negative, help="for weights, not for biases (0.1)")
    add("--label-smoothing", metavar="SHARE", type=_share, help="of the target, over all classes (0.1)")
    add("--schedule", choices=SCHEDULES, metavar="NAME", help=f"of the rate: {', '.join(SCHEDULES)} (cosine)")
    add("--warmup", metavar="SHARE", type=_share, help="share of the steps in which the rate rises (0.1)")
    add("--epochs", metavar="N", type=_count, help="passes over the training rows (40)")
    add("--batch-size", metavar="N", type=_count, help="rows for each step (64)")
    add("--val-fraction", metavar="SHARE", type=_inner_share, help="share of the rows that is held out (0.2)")
    add("--device", metavar="NAME", help="see `neurenix info` (cpu)")
    add("--seed", metavar="N", type=_seed, help="of weights and order (0)")
    add("--output", metavar="FOLDER", help="where results go (runs/ and the name of the data)")
    add("--resume", action="store_true", help="go on from the output folder's checkpoint, with its options")


def _predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="run a trained model on new rows",
        description="Prints a line of CSV for each row: the prediction and, for classes, the probabilities.",
    )
    predict.set_defaults(command=_lazy("predict"))
    predict.add_argument("model", metavar="MODEL", help="a folder of `neurenix train`, or its checkpoint")
    predict.add_argument("data", metavar="DATA", help="a CSV file, an .npz file or the name of a set")
    predict.add_argument("--output", metavar="FILE", help="write there instead of printing")


def _lazy(name: str) -> Callable[[argparse.Namespace], int]:
    """The `run` function of a command's module, imported when it is called."""

    def command(options: argparse.Namespace) -> int:
        from importlib import import_module

        return int(import_module(f"neurenix.cli.{name}").run(options))

    return command


def _number(kind: type, rule: str, holds: Callable[[Any], bool]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"expected {rule}, got {text!r}")
        return value

    return parse


_above_zero = _number(float, "a number above 0", lambda v: 0 < v < math.inf)
_not_negative = _number(float, "a number of at least 0", lambda v: 0 <= v < math.inf)
_share = _number(float, "a number of at least 0 and below 1", lambda v: 0 <= v < 1)
_inner_share = _number(float, "a number between 0 and 1", lambda v: 0 < v < 1)
_count = _number(int, "a whole number of at least 1", lambda v: v >= 1)
_seed = _number(int, "a whole number of at least 0", lambda v: 0 <= v < 2**63)


def _widths(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if parts == ["0"]:
        return ()
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise argparse.ArgumentTypeError(f"expected widths such as 128,64, got {text!r}")
    return tuple(map(int, parts))
