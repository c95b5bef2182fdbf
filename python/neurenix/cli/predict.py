"""`neurenix predict`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from neurenix import data
from neurenix._atomic import write_text
from neurenix._output import csv_text
from neurenix.train import Predictor


def run(options: argparse.Namespace) -> int:
    """Writes a line of CSV for each row."""
    predictor = Predictor(options.model)
    table = data.read(options.data)
    text = csv_text(_lines(predictor, table))
    if options.output is None:
        _print(text)
        return 0
    write_text(options.output, text)
    print(f"written: {options.output}, {table.rows} predictions")
    return 0


def _lines(predictor: Predictor, table: data.Table) -> Iterator[list[str]]:
    predictions, probabilities = predictor(table)
    target = predictor.target
    yield [target.name, *(f"p({name})" for name in target.classes)]
    for prediction, row in zip(predictions, probabilities.tolist(), strict=True):
        text = prediction if target.classes else f"{prediction:.7g}"
        yield [text, *(f"{p:.6f}" for p in row)]


def _print(text: str) -> None:
    """Files and pipes get UTF-8, as --output does; a terminal what it can show."""
    binary = None if sys.stdout.isatty() else getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        binary.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()  # a reader that has gone shows here, not at exit
