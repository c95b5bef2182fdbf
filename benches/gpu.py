"""What the GPUs of this machine reach: products, the optimizer's step, reductions and a training step.

Shares are of what the vendor states, for a few GPUs known here and for all others by --peak and --bandwidth. What to
expect, and why, is in docs/devices.md.
"""

import argparse
import os
import time
from itertools import pairwise

import neurenix as nx
from neurenix import nn, optim

# TFLOP/s of float32 without matrix units, and GB/s of memory, as the vendors state them, by a part of the name.
STATED = {
    "H100 PCIe": (51.2, 2039),
    "H100": (66.9, 3352),
    "H200": (66.9, 4800),
    "A100": (19.5, 1555),
    "L40": (90.5, 864),
    "L4": (30.3, 300),
    "T4": (8.1, 320),
    "V100": (15.7, 900),
    "RTX 4090": (82.6, 1008),
    "RTX 3090": (35.6, 936),
    "MI300X": (163.4, 5300),
    "MI250X": (47.9, 3277),
    "Apple M1": (2.6, 68),
}
SIZES = [256, 512, 1024, 2048, 4096, 8192]
ENOUGH = 2.0
"""A size whose step takes so many seconds is the last."""


def seconds(device, step, least=0.3):
    """Of one step: the least of five runs, each long enough for the clock, all of them handed over and done."""

    def run(n):
        nx.synchronize(device)
        begin = time.perf_counter()
        for _ in range(n):
            step()
        nx.synchronize(device)
        return time.perf_counter() - begin

    run(1)  # compiles
    once = run(1)
    if once > ENOUGH:
        return once
    n = max(1, int(least / max(once, 1e-6)))
    n = max(1, int(least * n / run(n)))
    return min(run(n) for _ in range(5)) / n


def say(what, took, rate, unit, stated):
    share = f"{100 * rate / stated:5.1f} % of {stated:g}" if stated else ""
    print(f"  {what:<34} {took * 1e6:>12,.1f} us {rate:>10,.3g} {unit:<8} {share}", flush=True)


def products(device, dtype, peak):
    for n in SIZES:
        a, b = (nx.randn(n, n, device=device).to(dtype) for _ in range(2))
        took = seconds(device, lambda a=a, b=b: a @ b)
        say(f"product {n} x {n} x {n} {dtype}", took, 2 * n**3 / took / 1e12, "TFLOP/s", peak)
        if took > ENOUGH / 8:
            break


def optimizer(device, elements, bandwidth):
    params = [nx.randn(elements, device=device).requires_grad_() for _ in range(1)]
    params[0].grad = nx.randn(elements, device=device)
    took = seconds(device, optim.AdamW(params, lr=1e-6).step)
    # Parameter, gradient and two states are read, all but the gradient written.
    say(f"AdamW, {elements:,} parameters", took, 28 * elements / took / 1e9, "GB/s", bandwidth)


def reductions(device, rows, columns, bandwidth):
    x = nx.randn(rows, columns, device=device)
    for name, reduce in [
        ("sum of all", lambda: x.sum()),
        ("sum of each row", lambda: x.sum(1)),
        ("sum of each column", lambda: x.sum(0)),
    ]:
        took = seconds(device, reduce)
        say(f"{name}, {rows} x {columns}", took, 4 * rows * columns / took / 1e9, "GB/s", bandwidth)


def training(device, widths, rows):
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).to(device)
    rule = optim.AdamW(model.parameters(), lr=1e-6)
    x = nx.randn(rows, widths[0], device=device)
    y = nx.zeros(rows, dtype="int64", device=device)

    def step():
        rule.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        rule.step()

    took = seconds(device, step)
    with nx.profile(device) as counted:
        step()
        nx.synchronize(device)
    weights = sum(i * o for i, o in pairwise(widths))
    flop = 2 * rows * (3 * weights - widths[0] * widths[1])
    name = "-".join(map(str, widths))
    say(f"training step {name}, batch {rows}", took, flop / took / 1e12, "TFLOP/s", None)
    print(f"    {counted.kernels} kernels, {counted.submissions} submissions")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", help="one of them only, as webgpu or cuda:1")
    parser.add_argument("--peak", type=float, help="stated TFLOP/s of float32")
    parser.add_argument("--bandwidth", type=float, help="stated GB/s of the memory")
    options = parser.parse_args()
    devices = [d for d in nx.get_available_devices() if d.type != "cpu"]
    devices = [d for d in devices if options.device in (None, str(d), d.type)]
    if not devices:
        raise SystemExit("no GPU is there (a processor that plays one needs NEURENIX_SOFTWARE_GPU=1)")
    played = os.environ.get("NEURENIX_SOFTWARE_GPU") == "1"
    if played:
        print("NEURENIX_SOFTWARE_GPU=1: a processor may play the GPU, and these numbers mean nothing")
    for device in devices:
        known = (numbers for part, numbers in STATED.items() if part in device.name)
        peak, bandwidth = next(known, (None, None))
        peak, bandwidth = options.peak or peak, options.bandwidth or bandwidth
        print(f"{device}: {device.name}")
        products(device, "float32", peak)
        products(device, "bfloat16", None)
        optimizer(device, 1_000_000 if played else 50_000_000, bandwidth)
        reductions(device, 1024 if played else 8192, 8192, bandwidth)
        training(device, [64, 128, 64, 10], 64)
        training(device, [784, 512, 512, 10], 128)
        if not played:
            training(device, [4096] * 5 + [10], 4096)


main()
