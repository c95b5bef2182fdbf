"""What all peers share: workloads, hyperparameters, the clock, and the lines they print. Needs nothing but Python.

A peer calls `main` with two functions that build a workload and return `run(n)`, which does n steps and comes back
when they are done. Each result is one line of JSON.
"""

import argparse
import json
import os
import time

# A training step: forward, mean squared error, zero_grad, backward, optimizer. Widths of the layers, and rows.
TRAIN = {
    "tiny 10-5-1 b100": ([10, 5, 1], 100),
    "digits 64-128-64-10 b64": ([64, 128, 64, 10], 64),
    "mlp 784-512-512-10 b128": ([784, 512, 512, 10], 128),
    "mlp 1024x4 b256": ([1024] * 5, 256),
}
# The optimizer's step alone, with gradients in place. Sizes of the tensors.
STEP = {"opt 1x10M": [10_000_000], "opt 200x50k": [50_000] * 200}
RULES = {"train": ("sgdm", "adam"), "step": ("sgdm", "adamw")}

# A rate this small keeps long runs away from denormal numbers, which are slow for reasons of their own.
LR, MOMENTUM, BETAS, EPS, DECAY = 1e-6, 0.9, (0.9, 0.999), 1e-8, 0.01
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def clock(run, seconds=0.3, repeats=5):
    """Seconds for a step: the least of some repeats, each long enough for the clock."""
    run(3)
    begin = time.perf_counter()
    run(3)
    n = max(1, int(seconds * 3 / (time.perf_counter() - begin)))
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        run(n)
        best = min(best, (time.perf_counter() - begin) / n)
    return best


def resident(field):
    """Bytes of memory that this process holds (VmRSS) or has held at most (VmHWM); Linux only."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def main(peer, version, train, step, *, rules=RULES, workloads=lambda name: True):
    """Runs what the command line asks for.

    Args:
        peer: its name in the tables.
        version: of the peer.
        train: (widths, rows, rule) -> run.
        step: (sizes, rule) -> run, or None where the peer has no bare optimizer.
        rules: the optimizers that it has, for "train" and "step".
        workloads: which of them it can run.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument(
        "--memory", action="store_true", help="bytes for each parameter of an Adam step instead"
    )
    parser.add_argument("--mode", help="a variant of the peer")
    options = parser.parse_args()

    def say(**fields):
        print(json.dumps({"peer": peer, "version": version, **fields}), flush=True)

    if options.memory:
        step([1000], "adam")(3)  # what starting costs is not the step's
        before = resident("VmRSS")
        run = step([10_000_000], "adam")
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")  # the peak starts anew
        run(3)
        say(workload="memory", rule="adam", bytes_per_parameter=round((resident("VmHWM") - before) / 1e7, 1))
        return
    jobs = [(name, rule, train, TRAIN[name]) for name in TRAIN for rule in rules["train"]]
    if step:
        jobs += [(name, rule, step, (STEP[name],)) for name in STEP for rule in rules["step"]]
    for name, rule, build, arguments in jobs:
        if options.only in name and workloads(name):
            run = build(*arguments, rule)
            say(workload=name, rule=rule, us=round(clock(run) * 1e6, 2))
            del run
