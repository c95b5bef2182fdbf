"""Neurenix. The rule "own" is AdamW as a user would write it."""

from itertools import pairwise

import harness
import neurenix as nx
from neurenix import nn, optim
from neurenix.optim.formula import sqrt


class Own(optim.Optimizer):
    states = ("m", "v")

    def __init__(self, params, lr, betas, eps, decay):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "decay": decay})

    @staticmethod
    def formula(p, g, m, v, *, t, lr, betas, eps, decay):
        b1, b2 = betas
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        return p * (1 - lr * decay) - lr / (1 - b1**t) * m / (sqrt(v / (1 - b2**t)) + eps), m, v


def optimizer(rule, params):
    if rule == "sgdm":
        return optim.SGD(params, lr=harness.LR, momentum=harness.MOMENTUM)
    if rule == "adam":
        return optim.Adam(params, lr=harness.LR, betas=harness.BETAS, eps=harness.EPS)
    if rule == "own":
        return Own(params, harness.LR, harness.BETAS, harness.EPS, harness.DECAY)
    return optim.AdamW(
        params, lr=harness.LR, betas=harness.BETAS, eps=harness.EPS, weight_decay=harness.DECAY
    )


def repeat(step):
    def run(n):
        for _ in range(n):
            step()

    return run


def train(widths, rows, rule):
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model, loss_fn = nn.Sequential(*layers[:-1]), nn.MSELoss()
    x, y = nx.randn(rows, widths[0]), nx.randn(rows, widths[-1])
    opt = optimizer(rule, model.parameters())

    def step():
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()

    return repeat(step)


def step(sizes, rule):
    params = [nn.Parameter(nx.randn(size)) for size in sizes]
    for param in params:
        param.grad = nx.randn_like(param)
    return repeat(optimizer(rule, params).step)


RULES = {"train": harness.RULES["train"], "step": (*harness.RULES["step"], "own")}
if __name__ == "__main__":
    harness.main("neurenix", nx.__version__, train, step, rules=RULES)
