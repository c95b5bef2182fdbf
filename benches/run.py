"""`make bench`: all peers in alternation, then the tables of the README here, as Markdown.

Memory bandwidth of a virtual machine changes from one second to the next: rounds alternate between the peers, training
steps are the least of the rounds, bare optimizer steps their median. Believe no difference under 15 %.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import harness

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("PEERS", Path.home() / ".cache" / "neurenix-peers"))
SCRIPTS = [  # name in the tables, virtual environment (None: ours), command
    ("limit", None, ["limits.py"]),
    ("neurenix", None, ["peer_neurenix.py"]),
    ("C", None, ["peer_c.py"]),
    ("torch eager", "torch", ["peer_torch.py", "--mode", "eager"]),
    ("torch fused", "torch", ["peer_torch.py", "--mode", "fused"]),
    ("jax", "jax", ["peer_jax.py"]),
    ("sklearn", "sklearn", ["peer_sklearn.py"]),
]
IMPORTS = {"neurenix": "neurenix", "torch": "torch", "jax": "jax, optax", "sklearn": "sklearn.neural_network"}
COLUMNS = ["neurenix", "torch eager", "torch fused", "jax", "sklearn", "C"]
GOALS = {  # microseconds on 2 cores with AVX-512
    ("tiny 10-5-1 b100", "sgdm"): 10,
    ("tiny 10-5-1 b100", "adam"): 12,
    ("digits 64-128-64-10 b64", "sgdm"): 35,
    ("digits 64-128-64-10 b64", "adam"): 40,
    ("mlp 784-512-512-10 b128", "sgdm"): 1350,
    ("mlp 784-512-512-10 b128", "adam"): 1400,
    ("mlp 1024x4 b256", "sgdm"): 16500,
    ("mlp 1024x4 b256", "adam"): 17500,
}


def python(venv):
    return Path(sys.executable) if venv is None else PEERS / venv / "bin" / "python"


def call(venv, command):
    """The lines of JSON that a script prints; nothing where it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    done = subprocess.run(
        [python(venv), "-W", "ignore", *command],
        cwd=HERE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"failed: {' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def footprint(name, venv):
    """Seconds of the import on top of numpy's, and megabytes installed."""

    def seconds(statement):
        begin = time.perf_counter()
        subprocess.run([python(venv), "-c", statement], check=True, cwd=HERE.parent)
        return time.perf_counter() - begin

    statement = f"import numpy, {IMPORTS[name]}"
    seconds(statement)
    pairs = [(seconds("import numpy"), seconds(statement)) for _ in range(7)]
    added = min(full for _, full in pairs) - min(bare for bare, _ in pairs)
    if venv is None:
        files = [
            path
            for path in (HERE.parent / "python" / "neurenix").rglob("*")
            if "__pycache__" not in path.parts
        ]
    else:
        files = (PEERS / venv / "lib").rglob("*")
    size = sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())
    return {
        "peer": name,
        "workload": "footprint",
        "import_s": round(added, 3),
        "megabytes": round(size / 1e6, 1),
    }


def measure(options):
    """All results, in the order in which they are measured."""
    there = [(name, venv, command) for name, venv, command in SCRIPTS if python(venv).exists()]
    for name, venv, _ in SCRIPTS:
        if not python(venv).exists():
            print(
                f"skipped: {name} has no virtual environment {PEERS / venv}; see `make bench-peers`",
                file=sys.stderr,
            )
    for number in range(options.rounds):
        for name, venv, command in there:
            print(f"round {number + 1}/{options.rounds}: {name}", file=sys.stderr)
            yield from call(
                venv, [*command, *(["--only", options.only] if options.only and name != "limit" else [])]
            )
    if not options.only:
        for _, venv, command in there:
            if command[0] not in ("limits.py", "peer_c.py", "peer_sklearn.py"):
                yield from call(venv, [*command, "--memory"])
        for name in IMPORTS:
            venv = None if name == "neurenix" else name
            if python(venv).exists():
                yield footprint(name, venv)


def work(workload, rule):
    """(amount, unit) of a step: bytes moved, or operations of the matrix products."""
    if workload in harness.STEP:
        return 10_000_000 * (20 if rule == "sgdm" else 28), "GB/s"
    widths, rows = harness.TRAIN[workload]
    products = [a * b for a, b in pairwise(widths)]
    return 2 * rows * (3 * sum(products) - products[0]), "GFLOP/s"  # the input needs no gradient


def report(lines):
    """The tables."""
    times, versions = {}, {}
    for line in lines:
        if "version" in line:
            versions[line["peer"]] = line["version"]
        if "us" in line:
            times.setdefault((line["workload"], line["rule"]), {}).setdefault(line["peer"], []).append(
                line["us"]
            )
    middle = {
        key: {peer: (median if key[0] in harness.STEP else min)(values) for peer, values in row.items()}
        for key, row in times.items()
    }
    limits = {}
    for line in lines:
        for key, unit in ("gb_per_s", "GB/s"), ("gflop_per_s", "GFLOP/s"):
            if key in line:
                name = f"{line['workload']} ({unit})"
                limits[name] = max(limits.get(name, 0), line[key])
    yield "Limits: " + ", ".join(f"{name} {rate}" for name, rate in limits.items())
    peers = [peer for peer in COLUMNS if peer in versions]
    yield ""
    yield "| µs a step | " + " | ".join(f"{p} {versions[p]}" for p in peers) + " | best peer | rate | goal |"
    yield "|---|" + "---:|" * (len(peers) + 3)
    for key, row in middle.items():
        if "neurenix" not in row:
            continue
        others = middle.get((key[0], "adamw"), {}) if key[1] == "own" else row
        rivals = [t for p, t in others.items() if p not in ("neurenix", "C")]
        amount, unit = work(*key)
        cells = [f"{row[p]:,.1f}" if p in row else "" for p in peers]
        ratio = f"{min(rivals) / row['neurenix']:.2f}x" if rivals else ""
        goal = f"{GOALS[key]:,}" if key in GOALS else ""
        rate = f"{amount / row['neurenix'] / 1e3:.0f} {unit}"
        yield f"| {key[0]}, {key[1]} | " + " | ".join(cells) + f" | {ratio} | {rate} | {goal} |"
    sizes = {line["peer"]: line for line in lines if line["workload"] == "footprint"}
    found = [line for line in lines if line["workload"] == "memory"]
    memory = ", ".join(f"{line['peer']} {line['bytes_per_parameter']}" for line in found)
    if sizes:
        yield ""
        yield "| | import on top of numpy, s | installed, MB |\n|---|---:|---:|"
        yield from (
            f"| {name} | {line['import_s']} | {line['megabytes']:,} |" for name, line in sizes.items()
        )
        yield ""
        yield f"Bytes for each parameter in an Adam step: {memory}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--report", type=Path, help="print the tables of a results file instead of measuring")
    options = parser.parse_args()
    if options.report:
        lines = [json.loads(line) for line in options.report.read_text().splitlines()]
    else:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        path = results / time.strftime("%Y%m%d-%H%M%S.jsonl")
        lines = []
        with path.open("w") as file:
            for line in measure(options):
                lines.append(line)
                print(json.dumps(line), file=file, flush=True)
        print(f"written: {path}", file=sys.stderr)
    text = "\n".join(report(lines))
    if not options.report:
        path.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
