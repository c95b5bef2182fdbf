"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from neurenix import Tensor, no_grad
from neurenix.train.callbacks import Callback
from neurenix.train.run import Run


@dataclass(frozen=True)
class Record:
    """What is known after an epoch.

    Attributes:
        epoch: its number, from 1.
        step: steps that are complete.
        lr: learning rate of the last step.
        train_loss, train_score: means over the epoch's batches, each before its step.
        val_loss, val_score: of the rows held out, after the epoch.
        seconds: spent in the epoch's steps.

    A score is the share of right rows (classification) or R² (regression).
    """

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_score: float
    val_loss: float
    val_score: float
    seconds: float


def fit(
    run: Run, callbacks: Sequence[Callback] = (), stop: Callable[[], bool] = lambda: False
) -> list[Record]:
    """Trains until all steps are done or `stop` says so, between two steps.

    Args:
        run: what to train; it can be saved at any callback and goes on bit for bit the same.
        callbacks: told of each step and epoch, and of the end.
        stop: asked after each step.

    Returns:
        A record for each epoch that was completed, and for a last one that ends early because of `Options.steps`.

    Raises:
        ValueError: the loss is no longer finite, or that of the rows held out is no number.

    Example:
        >>> from neurenix import data, train
        >>> run = train.Run(data.prepare(data.read("diabetes")), train.Options(hidden=(8,), epochs=2))
        >>> [record.epoch for record in train.fit(run)]
        [1, 2]
    """
    records: list[Record] = []
    stopped = False
    while not run.done and not stopped:
        start = time.perf_counter()
        stopped = _pass(run, callbacks, stop)
        seconds = time.perf_counter() - start
        if run.batch < run.steps_per_epoch and not run.done:
            break
        records.append(_finish(run, seconds))
        if math.isnan(records[-1].val_loss):  # weights that nobody wants in a checkpoint
            raise ValueError(
                f"the validation loss is nan at step {run.step}; try a learning rate below {run.options.rate:g}"
            )
        for callback in callbacks:
            callback.on_epoch(run, records[-1])
    for callback in callbacks:
        callback.on_end(run)
    return records


def _pass(run: Run, callbacks: Sequence[Callback], stop: Callable[[], bool]) -> bool:
    """Steps to the end of the epoch or of the run, or until stopped."""
    size = run.options.batch_size
    order = run.draw_order()
    run.model.train()
    while run.batch < run.steps_per_epoch and not run.done:
        rows = order[run.batch * size : (run.batch + 1) * size]
        x, y = run.x.index_select(0, rows), run.y.index_select(0, rows)
        output, loss = _step(run, x, y)
        value = loss.item()
        if not math.isfinite(value):
            raise ValueError(
                f"the loss is {value} at step {run.step + 1}; try a learning rate below {run.options.rate:g}"
            )
        run.sums[0] += value * len(rows)
        run.sums[1] += _right(run, output, y)
        run.batch += 1
        for callback in callbacks:
            callback.on_step(run)
        if stop():
            return True
    return False


def _step(run: Run, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Output and loss before the step; some rules compute them several times, some need the loss."""
    first: list[tuple[Tensor, Tensor]] = []

    def closure() -> Tensor:
        output = run.model(x)
        loss: Tensor = run.loss(output, y)
        run.optimizer.zero_grad()
        loss.backward()
        if not first:
            first.append((output.detach(), loss.detach()))
        return loss

    run.optimizer.step(closure)
    return first[0]


def _finish(run: Run, seconds: float) -> Record:
    val_loss, val_score = evaluate(run, run.x_val, run.y_val)
    rows = min(run.batch * run.options.batch_size, len(run.x))
    loss, right = (total / rows for total in run.sums)
    score = right if run.data.target.classes else _r2(loss, run.y)
    lr = run.optimizer.param_groups[0]["lr"]
    rate = float(lr(run.step - 1) if callable(lr) else lr)
    record = Record(run.epoch + 1, run.step, rate, loss, score, val_loss, val_score, seconds)
    if run.batch == run.steps_per_epoch:
        run.end_epoch()
    return record


def evaluate(run: Run, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean loss and score of the model on encoded rows, in evaluation mode.

    Args:
        run: whose model it is.
        x: of shape (rows, width).
        y: encoded targets, (rows,) for classes and (rows, 1) for numbers.

    Example:
        >>> from neurenix import data, train
        >>> run = train.Run(data.prepare(data.read("iris")), train.Options(hidden=(8,), epochs=1))
        >>> loss, accuracy = train.evaluate(run, run.x_val, run.y_val)
        >>> loss > 0
        True
    """
    total, right = 0.0, 0
    for output, expected in _outputs(run, x, y):
        with no_grad():
            total += run.loss(output, expected).item() * len(output)
        right += _right(run, output, expected)
    loss = total / len(x)
    return loss, right / len(x) if run.data.target.classes else _r2(loss, y)


def balanced_accuracy(run: Run, x: Tensor, y: Tensor) -> float:
    """The mean over classes of the share of their rows that the model has right, in evaluation mode.

    A model that always says the same class has 1 / (number of classes), however frequent that class is.

    Args:
        run: whose model it is; of a classification.
        x: of shape (rows, width).
        y: classes, (rows,); those without rows do not count.

    Example:
        >>> from neurenix import data, train
        >>> run = train.Run(data.prepare(data.read("iris")), train.Options(hidden=(8,), epochs=1))
        >>> 0 <= train.balanced_accuracy(run, run.x_val, run.y_val) <= 1
        True
    """
    classes = len(run.data.target.classes)
    rows, right = np.zeros(classes), np.zeros(classes)
    for output, expected in _outputs(run, x, y):
        truth = expected.cpu().numpy()
        hits = output.argmax(1).eq(expected).cpu().numpy()
        rows += np.bincount(truth, minlength=classes)
        right += np.bincount(truth[hits], minlength=classes)
    return float(np.mean(right[rows > 0] / rows[rows > 0]))


def _outputs(run: Run, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs of the model for parts of the rows, and what was expected."""
    run.model.eval()
    for i in range(0, len(x), 4096):
        with no_grad():
            output = run.model(x[i : i + 4096])
        yield output, y[i : i + 4096]


def _right(run: Run, output: Tensor, y: Tensor) -> int:
    return int(output.detach().argmax(1).eq(y).sum().item()) if run.data.target.classes else 0


def _r2(loss: float, y: Tensor) -> float:
    variance = float(y.var(correction=0).item())
    return 1 - loss / variance if variance else math.nan
