"""Writes docs/convergence.md and docs/convergence.png: how far down every optimizer gets on three problems."""

import math
import sys
from pathlib import Path

from matplotlib import pyplot as plt
from neurenix.optim.names import named, names

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from optim.problems import Problem, logistic, quadratic, rosenbrock  # noqa: E402

STEPS = 300
FACTORS = (100, 30, 10, 3, 1, 0.1, 0.01)
BEST = 5  # have their name in the plot
FLOOR = 1e-14  # losses below are rounding
TEXT = """# How far down each optimizer gets

The loss above the least one after {steps} steps, as a share of that at the start, in float64 and without weight decay.
Each optimizer has its [usual arguments](choosing-an-optimizer.md) and the best of {count} learning rates: {factors}
times the usual one, falling along a cosine unless that does not suit it. `python scripts/convergence.py` writes this
page; `named("…")` of `neurenix.optim` builds the optimizers.

How to read it: smaller is better, 1 is where all began, ∞ means that no learning rate stayed finite. These are small
problems without noise, where curvature is everything; **they show that a rule works and what it does about bad
conditioning, not which one trains a network best**. [Let optimizers race](race.md) on your own data for that. One step
of `lbfgs` evaluates the loss several times, one of `sam` twice; rules that find their learning rate spend steps on it.

![Losses over steps: a panel for each problem, the best curves with their names](convergence.png)

| optimizer | {problems} |
|---|{dashes}|
{rows}
"""


def descent(name: str, problem: Problem) -> list[float]:
    """The losses with the best learning rate, as shares of the first."""
    tried = [problem.descend(named(name), factor, STEPS) for factor in FACTORS]
    best = min(tried, key=lambda losses: losses[-1] if math.isfinite(losses[-1]) else math.inf)
    return [max(loss / best[0], FLOOR) if math.isfinite(loss) else math.inf for loss in best]


def draw(curves: dict[str, dict[str, list[float]]]) -> None:
    """A panel for each problem."""
    figure, panels = plt.subplots(1, len(curves), figsize=(15, 5), layout="constrained")
    for panel, (problem, found) in zip(panels, curves.items(), strict=True):
        ranked = sorted(found, key=lambda name: found[name][-1])
        for name in ranked[BEST:]:
            panel.plot(found[name], color="0.8", linewidth=0.6)
        for name in ranked[:BEST]:
            panel.plot(found[name], linewidth=1.8, label=f"{name}  {found[name][-1]:.0e}")
        panel.set(title=problem, xlabel="step", yscale="log", ylim=(FLOOR / 3, 10), xlim=(0, STEPS))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower left", title=f"best {BEST} of {len(found)}", fontsize=9)
    panels[0].set_ylabel("loss above the least, share of the first")
    figure.savefig(ROOT / "docs" / "convergence.png", dpi=90)


def main() -> None:
    """Runs everything and writes both files."""
    problems = (quadratic(1e6), rosenbrock(), logistic())
    curves = {problem.name: {name: descent(name, problem) for name in names()} for problem in problems}
    draw(curves)
    rows = [
        f"| `{name}` | {' | '.join(f'{found[name][-1]:.0e}' for found in curves.values())} |"
        for name in names()
    ]
    text = TEXT.format(
        steps=STEPS,
        count=len(FACTORS),
        factors=", ".join(f"{factor:g}" for factor in FACTORS),
        problems=" | ".join(curves),
        dashes="---|" * (len(curves) - 1) + "---",
        rows="\n".join(rows).replace("inf", "∞"),
    )
    (ROOT / "docs" / "convergence.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
