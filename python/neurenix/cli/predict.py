"""`neurenix predict`."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator

from neurenix import data
from neurenix.train import Predictor


def run(options: argparse.Namespace) -> int:
    """Writes a line of CSV for each row."""
    predictor = Predictor(options.model)
    lines = list(_lines(predictor, data.read(options.data)))  # before a file is emptied for them
    if options.output is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
        sys.stdout.flush()  # a reader that has gone shows here, not at exit
        return 0
    with open(options.output, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    print(f"written: {options.output}, {len(lines) - 1} predictions")
    return 0


def _lines(predictor: Predictor, table: data.Table) -> Iterator[list[str]]:
    predictions, probabilities = predictor(table)
    target = predictor.target
    yield [target.name, *(f"p({name})" for name in target.classes)]
    for prediction, row in zip(predictions, probabilities.tolist(), strict=True):
        text = prediction if target.classes else f"{prediction:.7g}"
        yield [text, *(f"{p:.6f}" for p in row)]
