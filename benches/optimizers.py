"""Times a step of every optimizer and writes docs/optimizers.md: state, time for 10 million parameters, ratio to torch.

    python benches/optimizers.py            # torch's times need the environment of `make bench-peers`

The parameters are ten matrices of 1000 x 1000, and for the optimizers of matrices also four of 1024 x 1024. The time is
the least of several steps, alternating with torch; where products or factors of matrices are refreshed every few steps
it is the mean of ten steps in a row, or of as many as a peer makes in 20 seconds.
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
MODEL, SMALLER = (10, 1000), (4, 1024)  # so many matrices of that side
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
MATRICES = {  # ours: environment, module, class and arguments of peers
    "muon": {"torch": ("torch", "torch.optim", "Muon", {})},
    "soap": {
        "pytorch-optimizer": (
            "pytorch_optimizer",
            "pytorch_optimizer",
            "SOAP",
            {"precondition_frequency": 10},
        )
    },
}
PERIOD = 10
MATRIX_TEXT = """Milliseconds, the mean of 10 steps, or of those that a peer makes in 20 seconds. torch's Muon
orthogonalises in bfloat16, which processors without instructions for it emulate."""
SCRIPT = """
import importlib, json, sys, time, torch
module, kind, arguments, budget, threads, count, side, period = (f(x) for f, x in zip(
    (str, str, json.loads, float, int, int, int, int), sys.argv[1:]))
torch.set_num_threads(threads)
params = [torch.nn.Parameter(torch.randn(side, side)) for _ in range(count)]
for p in params: p.grad = torch.randn_like(p)
optimizer = getattr(importlib.import_module(module), kind)(params, lr=1e-3, **arguments)
optimizer.step()
best, start = 1e9, time.perf_counter()
while time.perf_counter() - start < budget or best == 1e9:
    begin, steps = time.perf_counter(), 0
    while steps < period and (steps < 2 or time.perf_counter() - begin < 20):
        optimizer.step()
        steps += 1
    best = min(best, (time.perf_counter() - begin) / steps)
print(json.dumps(best))
"""


def least(step, budget, period):
    """The least mean of so many steps within so many seconds; the first, which compiles, does not count."""
    step()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < budget or best == float("inf"):
        begin = time.perf_counter()
        for _ in range(period):
            step()
        best = min(best, (time.perf_counter() - begin) / period)
    return best


def of_matrices(name):
    """Whether an optimizer makes products or factors of matrices."""
    kind = names()[name].kind
    return kind.direction is not optim.Optimizer.direction and not issubclass(kind, optim.Wrapper)


def period_of(name):
    """How many steps in a row are timed."""
    return PERIOD if of_matrices(name) else 1


def ours(name, budget, model=MODEL, **options):
    """Milliseconds of a step, and bytes of state for each parameter."""
    nx.manual_seed(0)
    count, side = model
    params = [nx.randn(side, side).requires_grad_() for _ in range(count)]
    for param in params:
        param.grad = nx.randn(side, side)
    known = names()[name]
    if options:
        optimizer = known.kind(params, lr=1e-3, **known.arguments, **options)
    else:
        optimizer = known([(f"w{i}", param) for i, param in enumerate(params)])
    closure = _closure(optimizer, params) if name in ("sam", "momo", "momo_adam") else None
    best = least(lambda: optimizer.step(closure) if closure else optimizer.step(), budget, period_of(name))
    states = [v for entry in optimizer.state.values() for v in entry.values() if isinstance(v, Tensor)]
    return best * 1e3, sum(v.numel() * v.dtype.itemsize for v in states) / (count * side * side)


def _closure(optimizer, params):
    grads = [param.grad for param in params]

    def closure():
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        return nx.Tensor(1.0)

    return closure


def peer_time(environment, module, kind, arguments, budget, model=MODEL, period=1):
    """Milliseconds of a step of a peer's optimizer; None without the peer."""
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        return None
    values = [module, kind, json.dumps(arguments), *map(str, (budget, nx.get_num_threads(), *model, period))]
    done = subprocess.run(
        [python, "-W", "ignore", "-c", SCRIPT, *values], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{module} {kind}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1]) * 1e3


def torch_time(name, budget):
    """Milliseconds of a step of torch's optimizer; None where it has none."""
    if name not in PEERS:
        return None
    return peer_time("torch", "torch.optim", *PEERS[name], budget, period=period_of(name))


def eight_bits(budget):
    """What the others' 8-bit AdamW take, as a sentence."""
    times = {name: peer_time(name, module, "AdamW8bit", {}, budget) for name, module in EIGHT_BITS.items()}
    found = [f"{name}'s {time:.0f} ms" for name, time in times.items() if time]
    return f"In 8 bits AdamW takes {' and '.join(found)} a step in the same run." if found else ""


def alternated(name, budget, **options):
    """Milliseconds of a step, measured before and after torch's; bytes of state; torch's milliseconds."""
    (first, state), peer = ours(name, budget / 2, **options), torch_time(name, budget)
    second = ours(name, budget / 2, **options)[0] if first < 1000 else first
    print(name, options or "", f"{min(first, second):.1f} ms, {state:.2f} bytes; torch {peer}", flush=True)
    return min(first, second), state, peer


def all_rows(budget):
    """A row of the table for each optimizer and each format of AdamW's states."""
    kinds = [(name, {}) for name in names() if name not in LEFT_OUT and "+" not in name]
    kinds += [("adamw", {"state_dtype": kind}) for kind in ("bfloat16", "int8", "int4")]
    rows = {}
    for name, options in kinds:
        title = ", ".join([names()[name].kind.__name__, *(f"{k}={v!r}" for k, v in options.items())])
        best, state, peer = alternated(name, budget, **options)
        ratio = f"{peer / best:.1f}x" if peer else ""
        rows[title] = f"| {title} | `{name}` | {state:.2f} | {best:.1f} | {ratio} |"
    return [rows[title] for title in sorted(rows, key=str.lower)]


def matrix_rows(budget):
    """A row for each optimizer of matrices that a peer has."""
    rows = []
    for name, peers in MATRICES.items():
        best = ours(name, budget, SMALLER)[0]
        for peer, arguments in peers.items():
            time = peer_time(*arguments, budget, SMALLER, PERIOD)
            best = min(best, ours(name, budget, SMALLER)[0])
            if time:
                rows.append(f"| `{name}` | {best:.0f} | {peer} | {time:.0f} | {time / best:.1f}x |")
    return rows


def main():
    budget = float(sys.argv[1]) if sys.argv[1:] else 1.0
    left = "; ".join(f"`{name}` {why}" for name, why in LEFT_OUT.items())
    matrices = ", ".join(f"`{name}`" for name in names() if "+" not in name and of_matrices(name))
    lines = f"""# All optimizers

Written by `benches/optimizers.py` with {nx.get_num_threads()} threads: bytes of state for each parameter,
milliseconds of a step for 10 million float32 parameters ({MODEL[0]} matrices of {MODEL[1]} x {MODEL[1]}), and how many
times as long torch takes (fused where it has that). What each is for, its rule and its paper stand in its
docstring: `help(neurenix.optim.Lion)`, or [the pages](api/neurenix.optim.md). Where products or factors of matrices are
made, the time is the mean of {PERIOD} steps in a row: {matrices}.

| optimizer | by name | state, bytes | step, ms | torch takes |
|---|---|---:|---:|---:|
""".splitlines()
    lines += all_rows(budget)
    lines += ["", "Low-bit states are compared with torch's AdamW in float32. " + eight_bits(budget)]
    lines += [f"Not timed: {left}. SAM, MoMo and MoMoAdam are given gradients that cost nothing.", ""]
    lines += [
        f"## {SMALLER[0]} matrices of {SMALLER[1]} x {SMALLER[1]}",
        "",
        MATRIX_TEXT,
        "",
    ]
    lines += [
        "| | neurenix | peer | it takes | ratio |",
        "|---|---:|---|---:|---:|",
        *matrix_rows(budget),
        "",
    ]
    (HERE.parent / "docs" / "optimizers.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
