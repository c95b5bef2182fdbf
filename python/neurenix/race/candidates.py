"""What races: optimizers with the learning rates to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from neurenix.optim.names import Named, named, names
from neurenix.optim.optimizer import Optimizer

Build: TypeAlias = Callable[[Any, Any], Optimizer]
Optimizers: TypeAlias = Iterable[str] | Mapping[str, Build]
Rates: TypeAlias = Iterable[float] | Mapping[str, Iterable[float]]


@dataclass(frozen=True)
class Candidate:
    """An optimizer and its grid.

    Attributes:
        name: how the report calls it.
        build: gives the optimizer for (parameters or model, learning rate or schedule).
        lrs: learning rates to try, rising.
        named: what it is, if the optimizer was given by name.
        open: whether further rates may be tried where the best is the outermost.
    """

    name: str
    build: Build
    lrs: tuple[float, ...]
    named: Named | None = None
    open: bool = False


class MakeOptimizer:
    """What a training function builds its optimizer with.

    Attributes:
        name: of the optimizer.
        lr: its learning rate in this trial.

    Example:
        >>> import neurenix as nx
        >>> make_optimizer = MakeOptimizer(candidates(["adamw"], [0.1])[0], 0.1)
        >>> make_optimizer(nx.nn.Linear(2, 1)).param_groups[0]["lr"]
        0.1
    """

    def __init__(self, candidate: Candidate, lr: float) -> None:
        self.name, self.lr = candidate.name, lr
        self._build = candidate.build

    def __call__(self, params: Any, schedule: Callable[[float], Any] | None = None) -> Optimizer:
        """The optimizer.

        Args:
            params: a model, its parameters or its named parameters.
            schedule: turns the learning rate into a schedule, for instance
                `lambda lr: warmup_cosine(lr, warmup=10, total=100)`.
        """
        return self._build(params, self.lr if schedule is None else schedule(self.lr))


def candidates(
    optimizers: Optimizers, lrs: Rates | None = None, weight_decay: float | None = None
) -> list[Candidate]:
    """The candidates of a race.

    Args:
        optimizers: names as of `neurenix.optim.named`; or a dict of functions (params, lr) -> optimizer.
        lrs: for all; or a dict by name; None for each optimizer's usual grid, which grows where the
            best is the outermost.
        weight_decay: of those given by name; their usual ones when None.

    Raises:
        ValueError: for unknown names, functions without learning rates, rates that are no positive numbers.

    >>> [(c.name, c.lrs) for c in candidates(["prodigy", "lion"], {"lion": [1e-3, 1e-4]})]
    [('prodigy', (0.1, 0.3, 1.0, 3.0)), ('lion', (0.0001, 0.001))]
    """
    if isinstance(optimizers, str):
        raise TypeError(f"optimizers: give a list of names, got the text {optimizers!r}")
    given = optimizers if isinstance(optimizers, Mapping) else {}
    found: dict[str, Named | None] = {}
    for item in optimizers:
        if item == "all" and not given:
            found.update(names())
            continue
        entry = None if given else named(item)
        label = entry.name if entry else str(item)
        if label in found:
            raise ValueError(f"optimizers: {label} is there twice")
        found[label] = entry
    if not found:
        raise ValueError("optimizers: give at least one")
    by_name = lrs if isinstance(lrs, Mapping) else {}
    if unknown := [name for name in by_name if name not in found]:
        raise ValueError(f"lrs: {unknown[0]!r} is none of the optimizers {', '.join(found)}")
    everyone = None if lrs is None or isinstance(lrs, Mapping) else tuple(lrs)
    return [
        _candidate(name, entry, given.get(name), by_name.get(name, everyone), weight_decay)
        for name, entry in found.items()
    ]


def _candidate(
    name: str,
    entry: Named | None,
    build: Build | None,
    lrs: Iterable[float] | None,
    weight_decay: float | None,
) -> Candidate:
    if entry is not None:
        rates = [entry.lr * factor for factor in entry.factors] if lrs is None else list(lrs)

        def build(params: Any, lr: Any, entry: Named = entry) -> Optimizer:
            return entry(params, lr, weight_decay)

    elif lrs is None or not callable(build):
        raise ValueError(
            f"optimizers: {name} needs a function (params, lr) -> optimizer and learning rates: "
            f"lrs={{{name!r}: [0.001, 0.01]}}"
        )
    else:
        rates = list(lrs)
    bad = [rate for rate in rates if not (isinstance(rate, (int, float)) and 0 < rate < math.inf)]
    if bad or not rates:
        raise ValueError(
            f"lrs of {name} must be numbers above 0, got {bad[0]!r}" if bad else f"lrs of {name} is empty"
        )
    assert build is not None
    return Candidate(name, build, tuple(sorted({float(f"{rate:.6g}") for rate in rates})), entry, lrs is None)
