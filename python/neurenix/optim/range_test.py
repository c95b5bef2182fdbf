"""Finding a learning rate by a range test."""

from __future__ import annotations

import copy
import math
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neurenix._output import save_figure
from neurenix.autograd import no_grad

from .optimizer import Optimizer

if TYPE_CHECKING:
    from neurenix.nn import Module


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Attributes:
        lrs: the learning rates, rising.
        losses: the loss at each, before its step.
        smoothed: the losses, smoothed and no higher than at the beginning.
        suggestion: the rate at which the smoothed loss fell fastest; None if it fell no further than it varies anyway.

    Example:
        >>> from neurenix.optim import RangeTest
        >>> RangeTest(lrs=(0.01, 0.1), losses=(2.0, 1.0), smoothed=(2.0, 1.0), suggestion=0.01).suggestion
        0.01
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws the losses as a picture; the ending of the path says which kind. The file is replaced as a whole.

        Raises:
            ImportError: matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("plot needs matplotlib: pip install 'neurenix[train]'") from error
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.lrs, self.losses, color="C0", alpha=0.3, label="loss")
        axes.plot(self.lrs, self.smoothed, color="C0", label="smoothed")
        if self.suggestion is not None:
            axes.axvline(
                self.suggestion, color="C1", linestyle="--", label=f"suggestion: {self.suggestion:.2g}"
            )
        low, first = min(self.losses), self.smoothed[0]
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.set_ylim(low - 0.1 * abs(first - low) - 1e-12, first + 0.6 * abs(first - low) + 1e-12)
        axes.grid(alpha=0.3)
        axes.legend()
        save_figure(figure, path, dpi=120)


def lr_find(
    optimizer: Optimizer,
    closure: Callable[[], Any],
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.8,
    explode: float = 4.0,
    model: Module | None = None,
    evaluate: Callable[[], Any] | None = None,
) -> RangeTest:
    """Tries all learning rates, from far too small to far too large, in one short run.

    Steps with rates that rise by the same factor each time, until five losses in a row are `explode` times the lowest
    smoothed one and higher than the first ones, or one is no number. Then parameters and gradients are what they were,
    bit for bit; the optimizer, its state and its learning rate are never touched, since a copy of it does the steps.

    Args:
        optimizer: the optimizer; where its groups' learning rates differ, their ratios stay.
        closure: clears the gradients, computes the loss and its gradients, best on another batch each time, and
            returns the loss.
        start: the first learning rate, > 0.
        end: the last, > start.
        steps: how many, ≥ 2.
        smoothing: decay of the averages of losses, from both sides, in [0, 1).
        explode: factor of the lowest loss at which to stop, > 1.
        model: whose buffers, such as the statistics of batch norms, are put back, too.
        evaluate: gives the loss to record instead of the closure's, before each step: best of the same few hundred rows
            each time. Losses of batches that differ much hide how the rates do.

    Returns:
        The learning rates, the losses, and a suggestion: where the loss falls fastest.

    Raises:
        ValueError, TypeError: for values out of their range, and for a loss that is no number from the start.

    Example:
        >>> import neurenix as nx
        >>> nx.manual_seed(0)
        Generator(...)
        >>> model = nx.nn.Linear(4, 1)
        >>> x = nx.randn(64, 4)
        >>> optimizer = nx.optim.SGD(model.parameters(), lr=0.1)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = nx.nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
        ...     loss.backward()
        ...     return loss
        >>> test = nx.optim.lr_find(optimizer, closure)
        >>> 0.003 < test.suggestion < 1
        True

    References:
        L. N. Smith, Cyclical learning rates for training neural networks, arXiv 1506.01186.
    """
    _check(optimizer, closure, start, end, steps, smoothing, explode)
    params = [param for group in optimizer.param_groups for param in group["params"]]
    before = [(param.detach().clone(), param.grad) for param in params]
    grads = [None if grad is None else grad.detach().clone() for _, grad in before]
    buffers = [] if model is None else [(buffer, buffer.clone()) for buffer in model.buffers()]
    explorer = copy.deepcopy(optimizer, {id(param): param for param in params})
    rates = [float(explorer.hyperparameters(group)["lr"]) for group in explorer.param_groups]
    ratios = [rate / max(rates) if max(rates) > 0 else 1.0 for rate in rates]
    lrs: list[float] = []
    losses: list[float] = []
    falling = _Average(smoothing)
    lowest = math.inf
    try:
        for k in range(steps):
            lr = start * (end / start) ** (k / (steps - 1))
            measured = None if evaluate is None else float(evaluate())
            for group, ratio in zip(explorer.param_groups, ratios, strict=True):
                group["lr"] = lr * ratio
            try:
                result = explorer.step(closure)
            except FloatingPointError:  # the policy for gradients that are no numbers
                break
            if result is None:
                raise TypeError("lr_find: the closure must return the loss, got None")
            loss = float(result) if measured is None else measured
            if not math.isfinite(loss):
                break
            lrs.append(lr)
            losses.append(loss)
            lowest = min(lowest, falling.add(loss))
            # Batches differ: one of large losses, or what the first had before any rate did anything, is no explosion.
            usual = max(losses[: max(1, steps // 10)])
            if k >= steps // 10 and min(losses[-5:]) > max(usual, lowest + (explode - 1) * abs(lowest)):
                break
    finally:
        with no_grad():
            for param, (value, grad), numbers in zip(params, before, grads, strict=True):
                param.copy_(value)
                param.grad = grad
                if grad is not None and numbers is not None:
                    grad.copy_(numbers)
            for buffer, kept in buffers:
                buffer.copy_(kept)
    if not losses:
        raise ValueError(
            f"lr_find: the loss is no number at the first rate, {start:g}; look at the data or the model"
        )
    smoothed = _smooth(losses, smoothing)
    return RangeTest(tuple(lrs), tuple(losses), tuple(smoothed), _suggest(lrs, smoothed))


class _Average:
    """An exponential average, corrected for its beginning."""

    def __init__(self, decay: float) -> None:
        self._decay, self._sum, self._weight = decay, 0.0, 0.0

    def add(self, value: float) -> float:
        """The average with one more value."""
        self._sum = self._decay * self._sum + value
        self._weight = self._decay * self._weight + 1
        return self._sum / self._weight


def _smooth(losses: list[float], decay: float) -> list[float]:
    """Averages from both sides, as one alone would show everything too late; the explosion must not reach far back."""
    worst = max(losses[: max(1, len(losses) // 10)])
    forward, backward = _Average(decay), _Average(decay)
    ahead = [forward.add(min(loss, worst)) for loss in losses]
    back = [backward.add(min(loss, worst)) for loss in reversed(losses)][::-1]
    return [(a + b) / 2 for a, b in zip(ahead, back, strict=True)]


def _suggest(lrs: list[float], losses: list[float]) -> float | None:
    """Where the loss falls fastest, of the rates between half of its way down and the lowest.

    The rates before are those of a plateau, where smoothed noise has slopes, too. None where the way down is not twice
    the standard deviation of the plateau: then it may be noise alone.
    """
    lowest = losses.index(min(losses))
    plateau = losses[: max(1, min(len(losses) // 4, lowest // 2))]
    top = statistics.median(plateau)
    if lowest == 0 or top - losses[lowest] <= max(2 * statistics.pstdev(plateau), 0.0):
        return None
    middle = (top + losses[lowest]) / 2
    begin = max((i for i in range(lowest) if losses[i] >= middle), default=0)
    reach = max(1, len(losses) // 25)  # slopes of neighbours alone would be noise
    slopes = [losses[min(i + reach, lowest)] - losses[max(i - reach, 0)] for i in range(begin, lowest + 1)]
    return lrs[begin + slopes.index(min(slopes))]


def _check(
    optimizer: Any, closure: Any, start: float, end: float, steps: int, smoothing: float, explode: float
) -> None:
    if not isinstance(optimizer, Optimizer) or not callable(closure):
        raise TypeError(f"lr_find takes an optimizer and a function, got {optimizer!r} and {closure!r}")
    if "lr" not in optimizer.defaults:
        raise ValueError(f"lr_find: {type(optimizer).__name__} has no lr")
    if not 0 < start < end < math.inf:
        raise ValueError(f"lr_find: needs 0 < start < end, got start={start!r}, end={end!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 2:
        raise ValueError(f"lr_find: steps must be a whole number of at least 2, got {steps!r}")
    if not 0 <= smoothing < 1:
        raise ValueError(f"lr_find: smoothing must be at least 0 and below 1, got {smoothing!r}")
    if not explode > 1:
        raise ValueError(f"lr_find: explode must be above 1, got {explode!r}")
