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

DATA is a CSV file (say --target; .csv.gz works, - is the standard input), an .npz file with x and y, or one of
scikit-learn's sets: breast_cancer, diabetes, digits, iris, wine. Numbers are standardised, texts become one column for
each value, missing numbers take the mean. A share of the rows, chosen by a fixed seed, is held out to see how good the
model is.

The target: texts, and whole numbers of at most 20 different values, are classes. Where 90 % of its cells are numbers,
each other cell is an error that says where it is: mend it, leave such rows out with --missing, or take all cells as
classes with --task classification.
"""

RACE_HELP = """\
Tries optimizers on a table of data: several learning rates of each, of which the worse half is dropped again and again,
then several seeds of the best. Writes to the output folder: race.json, ranking.csv, curves.png, report.html.

With --steps or --epochs all runs are of that length, and --budget ends the race in any case; without, all get an equal
share of the budget, and learning rates stay constant after a warm-up. What counts is the loss on the rows held out at
the end of a run, which is what the printed command line reaches, too.
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
    _race(commands)
    _lr_find(commands)
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
    _add_data(add)
    _add_optimizer(add)
    add("--lr", metavar="X", type=_above_zero, help="highest learning rate (the optimizer's usual one)")
    _add_model(add)
    _add_schedule(add)
    _add_length(add)
    add("--seed", metavar="N", type=_seed, help="of weights and order (0)")
    add(
        "--output",
        metavar="FOLDER",
        help="where results go (runs/ and the name of the data, with a number where that has a model already)",
    )
    add("--resume", action="store_true", help="go on from the output folder's checkpoint, with its options")


def _add_length(add: Callable[..., Any]) -> None:
    add("--epochs", metavar="N", type=_count, help="passes over the training rows (40)")
    add("--steps", metavar="N", type=_count, help="length in steps instead of epochs")


def _add_data(add: Callable[..., Any]) -> None:
    add(
        "data",
        metavar="DATA",
        help="a CSV file, an .npz file, the name of a set, or - for the standard input",
    )
    add("--target", metavar="COLUMN", help="column of a CSV file to predict")
    add(
        "--task",
        choices=("classification", "regression"),
        help="what the target is; found from it when not said",
    )
    add(
        "--missing",
        metavar="TEXT",
        action="append",
        help="text that means a missing target; can be said again (empty cells, and NA, null, None and the like where "
        "the target is numbers)",
    )
    add("--val-fraction", metavar="SHARE", type=_inner_share, help="share of the rows that is held out (0.2)")


def _add_optimizer(add: Callable[..., Any]) -> None:
    add(
        "--optimizer",
        metavar="NAME",
        type=_optimizer,
        help="a name such as sgd, lion, prodigy, schedule_free, or wrapper+optimizer as in sam+adamw (adamw)",
    )


def _add_model(add: Callable[..., Any]) -> None:
    add("--hidden", metavar="N,N", type=_widths, help="widths of the hidden layers; 0 for none (128,64)")
    add("--weight-decay", metavar="X", type=_not_negative, help="for weights, not for biases (the usual one)")
    add("--label-smoothing", metavar="SHARE", type=_share, help="of the target, over all classes (0.1)")
    add("--batch-size", metavar="N", type=_count, help="rows for each step (64)")
    add("--device", metavar="NAME", help="see `neurenix info` (cpu)")


def _add_schedule(add: Callable[..., Any]) -> None:
    names = ", ".join(SCHEDULES)
    add("--schedule", choices=SCHEDULES, metavar="NAME", help=f"of the rate: {names} (the usual one)")
    add("--warmup", metavar="SHARE", type=_share, help="share of the steps in which the rate rises (0.1)")


def _race(commands: Any) -> None:
    race = commands.add_parser(
        "race",
        help="find out which optimizer and learning rate suit a table of data",
        description=RACE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    race.set_defaults(command=_lazy("race"))
    add = race.add_argument
    _add_data(add)
    add(
        "--optimizers",
        metavar="NAME,NAME",
        type=_optimizers,
        default=["sgd", "adamw", "lion", "muon", "schedule_free"],
        help="names as of --optimizer of `neurenix train`, or all (sgd,adamw,lion,muon,schedule_free)",
    )
    add("--optimizer", metavar="NAME", type=_optimizers, dest="optimizers", help="only this one")
    add("--epochs", metavar="N", type=_count, help="length of a run in passes over the training rows")
    add("--steps", metavar="N", type=_count, help="length of a run in steps")
    add("--budget", metavar="TIME", type=_duration, help="of the whole race, such as 60s, 5m or 1h (60s)")
    add("--seeds", metavar="N", type=_count, default=3, help="runs with each best learning rate (3)")
    add("--seed", metavar="N", type=_seed, help="of weights and order in the first of them (0)")
    add("--lrs", metavar="X,X", type=_rates, help="learning rates to try (some around the usual one of each)")
    add("--lr", metavar="X", type=_rates, dest="lrs", help="only this one")
    add("--jobs", metavar="N", type=_count, help="processes (as many as there are cores)")
    _add_model(add)
    _add_schedule(add)
    add(
        "--output",
        metavar="FOLDER",
        help="where the report goes (runs/race- and the name of the data, with a number where that has one already)",
    )
    add("--resume", action="store_true", help=argparse.SUPPRESS)  # refused with a reason


def _lr_find(commands: Any) -> None:
    find = commands.add_parser(
        "lr-find",
        help="suggest a learning rate by a range test",
        description="Tries all learning rates in one short run, says where the loss fell fastest, draws lr_find.png.",
        argument_default=argparse.SUPPRESS,
    )
    find.set_defaults(command=_lazy("lr_find"))
    add = find.add_argument
    _add_data(add)
    _add_optimizer(add)
    add("--start", metavar="X", type=_above_zero, default=1e-7, help="lowest learning rate (1e-7)")
    add("--end", metavar="X", type=_above_zero, default=10.0, help="highest learning rate (10)")
    add("--steps", metavar="N", type=_count, default=100, help="how many, at least 2 (100)")
    _add_model(add)
    add("--seed", metavar="N", type=_seed, help="of weights and order (0)")
    add("--output", metavar="FOLDER", help="where the picture goes (runs/ and the name of the data)")


def _predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="run a trained model on new rows",
        description="Prints a line of CSV in UTF-8 for each row: the prediction and, for classes, the probabilities. "
        "Texts that begin with =, +, - or @ get an apostrophe before them, so that no spreadsheet runs them.",
    )
    predict.set_defaults(command=_lazy("predict"))
    predict.add_argument("model", metavar="MODEL", help="a folder of `neurenix train`, or its checkpoint")
    predict.add_argument("data", metavar="DATA", help="a CSV file, an .npz file, the name of a set, or -")
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


def _optimizer(text: str) -> str:
    from neurenix.optim import named

    try:
        return named(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _optimizers(text: str) -> list[str]:
    return [part if part == "all" else _optimizer(part) for part in map(str.strip, text.split(","))]


def _rates(text: str) -> list[float]:
    return [_above_zero(part) for part in text.split(",")]


def _duration(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    unit = units.get(text[-1:])
    try:
        value = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a time such as 60s, 5m or 1h, got {text!r}")
    return value
