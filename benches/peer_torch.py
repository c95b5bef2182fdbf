"""PyTorch. Mode eager: as it comes; fused: with fused=True optimizers."""

import sys
from itertools import pairwise

import harness
import torch

MODE = sys.argv[sys.argv.index("--mode") + 1] if "--mode" in sys.argv else "eager"
EXTRA = {"fused": True} if MODE == "fused" else {}


def optimizer(rule, params):
    if rule == "sgdm":
        return torch.optim.SGD(params, lr=harness.LR, momentum=harness.MOMENTUM, **EXTRA)
    kind, decay = (torch.optim.Adam, 0) if rule == "adam" else (torch.optim.AdamW, harness.DECAY)
    return kind(params, lr=harness.LR, betas=harness.BETAS, eps=harness.EPS, weight_decay=decay, **EXTRA)


def repeat(step):
    def run(n):
        for _ in range(n):
            step()

    return run


def train(widths, rows, rule):
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model, loss_fn = torch.nn.Sequential(*layers[:-1]), torch.nn.MSELoss()
    x, y = torch.randn(rows, widths[0]), torch.randn(rows, widths[-1])
    opt = optimizer(rule, model.parameters())

    def step():
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()

    return repeat(step)


def step(sizes, rule):
    params = [torch.nn.Parameter(torch.randn(size)) for size in sizes]
    for param in params:
        param.grad = torch.randn_like(param)
    return repeat(optimizer(rule, params).step)


harness.main(f"torch {MODE}", torch.__version__.split("+")[0], train, step)
