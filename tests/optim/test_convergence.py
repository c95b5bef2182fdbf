"""Every optimizer gets far down on three problems, with one of a few learning rates."""

from __future__ import annotations

import pytest
from neurenix.optim import named
from neurenix.optim.names import names
from optim.problems import Problem, logistic, quadratic, rosenbrock

# Of the usual learning rate; noiseless problems stand more than networks do.
FACTORS = (30, 10, 3, 1, 0.3, 100, 0.1, 0.03)
# The loss at the end, as a share of that at the start.
PROBLEMS = {
    "quadratic": (quadratic(1e2, side=4), 1e-3),
    "rosenbrock": (rosenbrock(steepness=10.0), 1e-2),
    "logistic": (logistic(), 1e-2),
}
STEPS = 300
# What gets there in 1000 steps, and why it needs them.
SLOW = {
    "adabelief": "first steps unlimited, while gradients do not vary; needs a small rate on steep walls",
    "adamuon": "all its steps have one size, until the schedule makes them smaller",
    "dadapt_sgd": "has to find the distance first",
    "dion": "all its steps have one size, until the schedule makes them smaller",
    "dog": "has to find the distance first",
    "lion": "all its steps have one size, until the schedule makes them smaller",
    "mechanic": "has to find the rate first",
    "radam": "first steps without division; needs a small rate on steep walls",
    "radamw": "first steps without division; needs a small rate on steep walls",
    "splus": "evaluates an average that lags behind",
}


def best(problem: Problem, name: str, steps: int, enough: float) -> float:
    """The least share of the first loss that is left, over the learning rates up to one that is enough."""
    least = float("inf")
    for factor in FACTORS:
        losses = problem.descend(named(name), factor, steps)
        least = min(least, losses[-1] / losses[0])  # of which a NaN is never the first
        if least < enough:
            break
    return least


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", names())
def test_each_gets_far_down(name: str, problem: str) -> None:
    function, enough = PROBLEMS[problem]
    assert best(function, name, 1000 if name in SLOW else STEPS, enough) < enough


def test_the_bounds_say_something() -> None:
    """A few steps of descent on the ill-conditioned quadratic leave more than 1e-3 of its start."""
    problem = quadratic(1e6)
    losses = problem.descend(named("sgd"), 1.0, 20)
    assert losses[0] > losses[-1] > 1e-3 * losses[0]


def test_the_least_of_logistic_regression_is_a_minimum() -> None:
    problem = PROBLEMS["logistic"][0]
    assert abs(problem.descend(named("sgd"), 30.0, 500)[-1]) < 1e-6
