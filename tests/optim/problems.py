"""Three problems that are known from papers, and how low an optimizer gets on them: tests and docs/convergence.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import neurenix as nx
import numpy as np
from neurenix import Tensor
from neurenix.optim import Named, named
from neurenix.optim.schedule import cosine


@dataclass(frozen=True)
class Problem:
    """A function to minimize, in float64.

    Attributes:
        name: for people.
        start: where it begins; a matrix, where there is one, so that rules for matrices are used.
        loss: of a parameter.
        least: the loss at the minimum.
    """

    name: str
    start: np.ndarray
    loss: Callable[[Tensor], Tensor]
    least: float = 0.0

    def above(self, param: Tensor) -> float:
        """How far the loss is above the least."""
        return float(self.loss(param).item()) - self.least

    def descend(self, rule: Named, factor: float, steps: int) -> list[float]:
        """The losses above the least, from the start to the end, without weight decay.

        Args:
            rule: the optimizer.
            factor: of its usual learning rate, which falls to 0 as a cosine where that is usual.
            steps: ≥ 1.
        """
        param = Tensor(self.start, dtype="float64", requires_grad=True)
        rate = rule.lr * factor
        optimizer = rule(
            [param], lr=rate if rule.schedule == "constant" else cosine(rate, steps=steps), weight_decay=0.0
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(param)
            loss.backward()
            return loss

        losses = [self.above(param)]
        for _ in range(steps):
            losses.append(float(optimizer.step(closure).item()) - self.least)
            if not math.isfinite(losses[-1]):
                return losses
        optimizer.eval()
        return [*losses, self.above(param)]


def quadratic(condition: float, side: int = 8) -> Problem:
    """½ wᵀHw with eigenvalues from 1 down to 1/condition, along directions that are no axes."""
    count = side * side
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(count, count)))[0]
    root = Tensor(directions * np.geomspace(1, condition, count) ** -0.5, dtype="float64")
    start = rng.normal(size=(side, side))
    return Problem(
        f"quadratic, condition {condition:.0e}",
        start,
        lambda p: 0.5 * (p.reshape(1, count) @ root).square().sum(),
    )


def rosenbrock(steepness: float = 100.0) -> Problem:
    """The banana-shaped valley (1 - x)² + steepness (y - x²)², from (-1.2, 1)."""

    def loss(p: Tensor) -> Tensor:
        x, y = p[0, 0], p[0, 1]
        return (1 - x).square() + steepness * (y - x.square()).square()

    return Problem("Rosenbrock", np.array([[-1.2, 1.0]]), loss)


def logistic(rows: int = 256, columns: int = 8, classes: int = 4) -> Problem:
    """Multinomial logistic regression on classes that overlap, with inputs of scales 1 to 1/10."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 0.1, columns)
    inputs = rng.normal(size=(rows, columns)) * scales
    scores = inputs / scales @ rng.normal(size=(columns, classes)) + 2 * rng.gumbel(size=(rows, classes))
    x, labels = Tensor(inputs, dtype="float64"), Tensor(scores.argmax(1))
    problem = Problem(
        "logistic", np.zeros((columns, classes)), lambda p: nx.nn.functional.cross_entropy(x @ p, labels)
    )
    lbfgs = named("lbfgs")
    exact = {**lbfgs.arguments, "max_iter": 100, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    return replace(problem, least=min(problem.descend(replace(lbfgs, arguments=exact), 1.0, 5)))
