"""Times a step of every optimizer and writes docs/optimizers.md: state, time for 10 million parameters, ratio to torch.

    python benches/optimizers.py            # torch's times need the environment of `make bench-peers`

The parameters are ten matrices of 1000 x 1000; the time is the least of several steps, alternating with torch.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import neurenix as nx
from neurenix import Tensor, optim
from neurenix.optim.names import names

HERE = Path(__file__).parent
ENVIRONMENTS = Path(os.environ.get("PEERS", Path.home() / ".cache" / "neurenix-peers"))
COUNT, SIDE = 10, 1000
LEFT_OUT = {"sophia": "needs a Hessian", "sparse_adam": "takes sparse gradients", "lbfgs": "searches a line"}
PEERS = {  # ours: torch's class and arguments
    "sgd": ("SGD", {"momentum": 0.9, "fused": True}),
    "adam": ("Adam", {"fused": True}),
    "adamw": ("AdamW", {"fused": True}),
    "adagrad": ("Adagrad", {"fused": True}),
    **{name: (kind, {}) for name, kind in {
        "adadelta": "Adadelta", "adamax": "Adamax", "nadam": "NAdam", "radam": "RAdam", "rmsprop": "RMSprop",
        "rprop": "Rprop", "asgd": "ASGD", "adafactor": "Adafactor", "muon": "Muon",
    }.items()},
}  # fmt: skip
EIGHT_BITS = {"bitsandbytes": "bitsandbytes.optim", "torchao": "torchao.optim"}  # package: where AdamW8bit is
SCRIPT = """
import importlib, json, sys, time, torch
torch.set_num_threads(int(sys.argv[5]))
module, kind, arguments, budget = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), float(sys.argv[4])
params = [torch.nn.Parameter(torch.randn({side}, {side})) for _ in range({count})]
for p in params: p.grad = torch.randn_like(p)
optimizer = getattr(importlib.import_module(module), kind)(params, lr=1e-3, **arguments)
optimizer.step()
best, start = 1e9, time.perf_counter()
while time.perf_counter() - start < budget or best == 1e9:
    begin = time.perf_counter(); optimizer.step(); best = min(best, time.perf_counter() - begin)
print(json.dumps(best))
"""


def least(step, budget):
    """The least time of a step within so many seconds; the first, which compiles, does not count."""
    step()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < budget or best == float("inf"):
        begin = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - begin)
    return best


def ours(name, budget, **options):
    """Milliseconds of a step, and bytes of state for each parameter."""
    nx.manual_seed(0)
    params = [nx.randn(SIDE, SIDE).requires_grad_() for _ in range(COUNT)]
    for param in params:
        param.grad = nx.randn(SIDE, SIDE)
    known = names()[name]
    if options:
        optimizer = known.kind(params, lr=1e-3, **known.arguments, **options)
    else:
        optimizer = known([(f"w{i}", param) for i, param in enumerate(params)])
    closure = _closure(optimizer, params) if name in ("sam", "momo", "momo_adam") else None
    best = least(lambda: optimizer.step(closure) if closure else optimizer.step(), budget)
    states = [v for entry in optimizer.state.values() for v in entry.values() if isinstance(v, Tensor)]
    return best * 1e3, sum(v.numel() * v.dtype.itemsize for v in states) / (COUNT * SIDE * SIDE)


def _closure(optimizer, params):
    grads = [param.grad for param in params]

    def closure():
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        return nx.Tensor(1.0)

    return closure


def peer_time(environment, module, kind, arguments, budget):
    """Milliseconds of a step of a peer's optimizer; None without the peer."""
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        return None
    script = SCRIPT.replace("{side}", str(SIDE)).replace("{count}", str(COUNT))
    values = [module, kind, json.dumps(arguments), str(budget), str(nx.get_num_threads())]
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, *values], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{module} {kind}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1]) * 1e3


def torch_time(name, budget):
    """Milliseconds of a step of torch's optimizer; None where it has none."""
    return peer_time("torch", "torch.optim", *PEERS[name], budget) if name in PEERS else None


def eight_bits(budget):
    """What the others' 8-bit AdamW take, as a sentence."""
    times = {name: peer_time(name, module, "AdamW8bit", {}, budget) for name, module in EIGHT_BITS.items()}
    found = [f"{name}'s {time:.0f} ms" for name, time in times.items() if time]
    return f"In 8 bits AdamW takes {' and '.join(found)} a step in the same run." if found else ""


def main():
    numbers = [argument for argument in sys.argv[1:] if argument != "--all"]
    budget = float(numbers[0]) if numbers else 1.0
    rows = []
    for name in names():
        if name in LEFT_OUT or "+" in name:
            continue
        if names()[name].kind.direction is not optim.Optimizer.direction and "--all" not in sys.argv:
            LEFT_OUT[name] = "products and factors of matrices, seconds a step; timed with --all"
            continue
        try:
            (first, state), peer = ours(name, budget / 2), torch_time(name, budget)
            second = ours(name, budget / 2)[0] if first < 1000 else first
        except (TypeError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        rows.append((name, names()[name].kind.__name__, state, min(first, second), peer))
        print(
            name,
            f"{rows[-1][3]:.1f} ms",
            f"{state:.2f} bytes",
            f"torch {peer:.1f} ms" if peer else "",
            flush=True,
        )
    for kind in ("bfloat16", "int8", "int4"):
        (first, state), (second, _) = (ours("adamw", budget / 2, state_dtype=kind) for _ in range(2))
        peer = torch_time("adamw", budget)
        rows.append(("adamw", f"AdamW, state_dtype={kind!r}", state, min(first, second), peer))
    lines = [
        "# All optimizers",
        "",
        f"Written by `benches/optimizers.py` with {nx.get_num_threads()} threads: bytes of state for each parameter,",
        f"milliseconds of a step for 10 million float32 parameters ({COUNT} matrices of {SIDE} x {SIDE}), and how many",
        "times as long torch takes (fused where it has that). What each is for, its rule and its paper stand in its",
        "docstring: `help(neurenix.optim.Lion)`, or [the pages](api/neurenix.optim.md).",
        "",
        "| optimizer | by name | state, bytes | step, ms | torch takes |",
        "|---|---|---:|---:|---:|",
    ]
    for name, title, state, best, peer in sorted(rows, key=lambda row: row[1].lower()):
        ratio = f"{peer / best:.1f}x" if peer else ""
        lines.append(f"| {title} | `{name}` | {state:.2f} | {best:.1f} | {ratio} |")
    left = ", ".join(f"`{name}` ({why})" for name, why in LEFT_OUT.items())
    lines += ["", "Low-bit states are compared with torch's AdamW in float32. " + eight_bits(budget)]
    lines += ["", f"Not timed here: {left}.", ""]
    (HERE.parent / "docs" / "optimizers.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
