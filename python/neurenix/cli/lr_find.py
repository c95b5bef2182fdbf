"""`neurenix lr-find`."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurenix import Tensor, data, no_grad
from neurenix.cli.folder import usual_folder
from neurenix.cli.report import say
from neurenix.cli.train import given_options
from neurenix.optim import lr_find, named
from neurenix.train import Options, Run

MEASURED = 1024  # rows whose loss is looked at; losses of batches differ too much


def run(options: argparse.Namespace) -> int:
    """Tests, and says what it suggests."""
    given = vars(options)
    training = Options(**given_options(given), schedule="constant", warmup=0.0)
    table = training.prepare(data.read(options.data, given.get("target")))
    for note in table.notes:
        say(f"note: {note}")
    state = Run(
        table, training, lambda model, steps: named(training.optimizer)(model, 1.0, training.weight_decay)
    )
    size, begin = min(training.batch_size, len(state.x)), 0
    order = state.draw_order()
    x, y = (part.index_select(0, order[:MEASURED]) for part in (state.x, state.y))

    def evaluate() -> float:
        with no_grad():
            return float(state.loss(state.model(x), y).item())

    def closure() -> Tensor:
        nonlocal begin
        if begin + size > len(order):
            begin = 0
        rows = order[begin : begin + size]
        begin += size
        state.optimizer.zero_grad()
        loss: Tensor = state.loss(state.model(state.x.index_select(0, rows)), state.y.index_select(0, rows))
        loss.backward()
        return loss

    test = lr_find(
        state.optimizer, closure, options.start, options.end, options.steps, smoothing=0.9, evaluate=evaluate
    )
    say(f"{len(test.lrs)} rates from {test.lrs[0]:.2g} to {test.lrs[-1]:.2g} with {training.optimizer}")
    if test.suggestion is None:
        say(
            "the loss fell at none of them further than it varies; try more --steps or another --start and --end"
        )
    else:
        say(f"suggestion: --optimizer {training.optimizer} --lr {test.suggestion:.2g}")
    folder = Path(given.get("output") or usual_folder(options.data))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        test.plot(folder / "lr_find.png")
    except ImportError as error:
        say(f"note: {error}")
    else:
        say(f"written: {folder / 'lr_find.png'}")
    return 0
