"""What quasi-Newton methods learn of a loss from its gradients."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Final

from neurenix._phynexus import Tensor

from .flat import Flat

_LEAST_CURVATURE: Final = 1e-10
# Vectors of the memory and their names in the state.
_NAMES: Final = {"d": "d", "gradient": "prev_grad", "good": "last_good"}


@dataclass
class Memory:
    """What is kept from one iteration to the next, of all parameters end to end."""

    source: dict[Tensor, dict[str, Any]]
    flat: Flat
    d: Tensor | None = None
    t: float = 0.0
    gradient: Tensor | None = None
    good: Tensor | None = None
    """The parameters before a move that has not been evaluated yet."""
    pairs: list[Pair] = field(default_factory=list)
    n_iter: int = 0
    func_evals: int = 0

    @staticmethod
    def of(memory: Memory | None, state: dict[Tensor, dict[str, Any]], flat: Flat) -> Memory:
        """A copy of the memory, or if it is not that of this state, what the state says.

        What was learnt of other parameters is of no use for these.
        """
        if memory is not None and memory.source is state:
            if list(map(id, memory.flat.params)) != list(map(id, flat.params)):
                return Memory(state, flat)
            if memory.flat.device == flat.device:
                memory = copy.copy(memory)
                memory.pairs = list(memory.pairs)
                return memory
            memory.write(state)  # the parameters have moved, and what was learnt follows
        memory = Memory(state, flat)
        entries = [state.get(param, {}) for param in flat.params]
        if all("n_iter" in entry for entry in entries):
            memory.read(entries)
        return memory

    def read(self, entries: list[dict[str, Any]]) -> None:
        """Takes what `write` left."""
        first = entries[0]
        self.n_iter, self.func_evals, self.t = first["n_iter"], first["func_evals"], first["t"]
        for name in ("d", "gradient", "good"):
            if first[_NAMES[name]] is not None:
                setattr(self, name, self.flat.join([entry[_NAMES[name]] for entry in entries]))
        for i in range(len(first["old_dirs"])):
            y, s = (self.flat.join([e[name][i] for e in entries]) for name in ("old_dirs", "old_stps"))
            self.pairs.append(Pair(y, s))

    def write(self, state: dict[Tensor, dict[str, Any]]) -> None:
        """Into each parameter's state its part."""
        counts = {"n_iter": self.n_iter, "func_evals": self.func_evals, "t": self.t}
        entries = [state[param] for param in self.flat.params]
        for entry in entries:
            entry.update(counts, **{_NAMES[name]: None for name in _NAMES}, old_dirs=[], old_stps=[])
        for name, key in _NAMES.items():
            vector = getattr(self, name)
            if vector is not None:
                for entry, part in zip(entries, self.flat.split(vector), strict=True):
                    entry[key] = part
        for pair in self.pairs:
            for key, vector in (("old_dirs", pair.y), ("old_stps", pair.s)):
                for entry, part in zip(entries, self.flat.split(vector), strict=True):
                    entry[key].append(part)

    def forget(self) -> None:
        """All but the counts."""
        self.d = self.gradient = self.good = None
        self.pairs = []

    def moved(self, gradient: Tensor, d: Tensor, t: float) -> None:
        """Notes where an iteration began and how far it went."""
        self.gradient, self.d, self.t = gradient, d, t

    def learn(self, gradient: Tensor, size: int) -> None:
        """Remembers the last step, if the slope rose along it."""
        if self.d is not None and self.gradient is not None:
            pair = Pair(gradient - self.gradient, self.d * self.t)
            if pair.ys > _LEAST_CURVATURE:
                self.pairs = [*self.pairs, pair][-size:]

    def direction(self, gradient: Tensor, scale: Tensor | float) -> Tensor:
        """−H·g by the two loops, from H = γ·diag(scale), γ as the last pair has it."""
        d = -gradient
        weights = []
        for pair in reversed(self.pairs):
            weights.append(float(pair.s.dot(d)) / pair.ys)
            d.add_(pair.y, alpha=-weights[-1])
        d = scale * d
        last = self.pairs[-1] if self.pairs else None
        square = float(last.y.dot(scale * last.y)) if last else 0.0
        if last and square > 0:
            d *= last.ys / square
        for pair in self.pairs:
            d.add_(pair.s, alpha=weights.pop() - float(pair.y.dot(d)) / pair.ys)
        return d


class Pair:
    """A step, the change of the gradient along it, and their product."""

    def __init__(self, y: Tensor, s: Tensor) -> None:
        self.y, self.s, self.ys = y, s, float(y.dot(s))
