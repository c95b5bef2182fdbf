"""Random programs under autograd, with views and changes in place, against central differences in float64."""

from __future__ import annotations

from random import Random

import neurenix as nx
from neurenix import Tensor

SMOOTH = ("exp", "sin", "tanh", "sigmoid", "softplus", "square", "gelu", "cos", "erf", "silu")
STEP = 1e-6
#: All these programs have a gradient.
EXPECTED = ()


def program(r: Random):
    """A function of one tensor, the same for each call."""
    steps = [(r.randrange(11), r.random(), r.randrange(1000)) for _ in range(r.randint(2, 7))]

    def run(x: Tensor) -> Tensor:
        y = x * 1.0
        for kind, number, choice in steps:
            name = SMOOTH[choice % len(SMOOTH)]
            if kind == 0:
                y = getattr(y, name)() * 1.0  # what the function saves stays as it is
            elif kind == 1:
                y = y * number + x.mean()
            elif kind == 2:
                y = y.permute(1, 0).contiguous().permute(1, 0)
            elif kind == 3:
                y[choice % y.shape[0]] *= 1 + number
            elif kind == 4:
                y[:, ::2] += getattr(y[:, :1].clone(), name)()
            elif kind == 5:
                y[1:].mul_(number + 0.5)
            elif kind == 6:
                y = nx.cat([y[:1], getattr(y[1:], name)()], 0)
            elif kind == 7 and y.is_contiguous():
                y.view(-1)[choice % y.numel()] = x.sum() * number
            elif kind == 8:
                y = y.reshape(y.shape[1], y.shape[0]).reshape(*y.shape) * number
            elif kind == 9:
                y[[0, choice % y.shape[0]]] = y[[choice % y.shape[0], 0]] * 0.5
            else:
                y.T.clamp_(-50, 50).add_(number)
        return (y * (1 + nx.arange(y.numel()).double().reshape(*y.shape) / 7)).sum()

    return run


def case(r: Random) -> None:
    x = nx.randn(r.randint(2, 4), r.randint(2, 5)).double()
    run = program(r)
    leaf = x.clone().requires_grad_()
    second = r.random() < 0.3
    loss = run(leaf)
    (gradient,) = nx.autograd.grad(loss, [leaf], create_graph=second)
    flat = gradient.detach().reshape(-1)
    for k in r.sample(range(x.numel()), 3):
        values = []
        for sign in (1, -1):
            moved = x.clone()
            moved.reshape(-1)[k] += sign * STEP
            values.append(run(moved).item())
        expected = (values[0] - values[1]) / (2 * STEP)
        scale = 1 + abs(expected) + abs(loss.item()) * 1e-3
        assert abs(flat[k].item() - expected) < 1e-5 * scale, (
            f"d loss / d x[{k}] = {flat[k].item()}, {expected}"
        )
    if second:
        direction = nx.randn(*x.shape).double()
        product = None
        if gradient.requires_grad:
            (product,) = nx.autograd.grad((gradient * direction).sum(), [leaf], allow_unused=True)
        ends = []
        for sign in (1, -1):
            moved = (x + sign * STEP * direction).requires_grad_()
            ends.append(nx.autograd.grad(run(moved), [moved])[0])
        expected = (ends[0] - ends[1]) / (2 * STEP)
        product = nx.zeros(*x.shape).double() if product is None else product
        error = (product - expected).abs().max().item()
        assert error < 1e-4 * (1 + expected.abs().max().item()), f"second derivative is {error} off"
