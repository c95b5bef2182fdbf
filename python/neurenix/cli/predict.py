"""`neurenix predict`."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import TextIO

from neurenix import data
from neurenix.train import Predictor


def run(options: argparse.Namespace) -> int:
    """Writes a line of CSV for each row."""
    predictor = Predictor(options.model)
    table = data.read(options.data)
    if options.output is None:
        _write(sys.stdout, predictor, table)
        sys.stdout.flush()  # a reader that has gone shows here, not at exit
        return 0
    with open(options.output, "w", newline="", encoding="utf-8") as file:
        _write(file, predictor, table)
    print(f"written: {options.output}, {table.rows} predictions")
    return 0


def _write(file: TextIO, predictor: Predictor, table: data.Table) -> None:
    predictions, probabilities = predictor(table)
    writer = csv.writer(file, lineterminator="\n")
    target = predictor.target
    writer.writerow([target.name, *(f"p({name})" for name in target.classes)])
    for prediction, row in zip(predictions, probabilities.tolist(), strict=True):
        text = prediction if target.classes else f"{prediction:.7g}"
        writer.writerow([text, *(f"{p:.6f}" for p in row)])
