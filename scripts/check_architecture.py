"""Checks the invariants of ARCHITECTURE.md that a program can see; prints each violation and fails if there is one."""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CRATES = ROOT / "crates"
ALLOWED = {  # crate: the crates of ours that it may know
    "phynexus-formula": set(),
    "phynexus-core": {"phynexus-formula"},
    "phynexus-cpu": {"phynexus-formula", "phynexus-core"},
    "phynexus-gpu": {"phynexus-formula", "phynexus-core"},
    "phynexus-webgpu": {"phynexus-formula", "phynexus-core", "phynexus-gpu"},
    "phynexus-cuda": {"phynexus-formula", "phynexus-core", "phynexus-gpu"},
    "phynexus": {
        *("phynexus-formula", "phynexus-core", "phynexus-cpu"),
        *("phynexus-gpu", "phynexus-webgpu", "phynexus-cuda"),
    },
    "phynexus-python": {"phynexus"},
    "phynexus-web": {"phynexus"},
}
DEVICES = ("phynexus-cpu", "phynexus-gpu", "phynexus-webgpu", "phynexus-cuda")
# Operations and rules that devices must not know. Primitives (exp, sigmoid) are the language of formulas.
NAMES = (
    "adam|adamw|sgd|lion|softmax|log_softmax|layer_norm|layernorm|cross_entropy|relu|gelu|silu|mish|elu|leaky_relu|"
    "softplus|softsign|huber|smooth_l1|dropout|bce|kl_div|logsumexp"
)
MAX_LINES = 700
LONG = {  # file: why it may be longer
}


def dependencies(crate: str) -> set[str]:
    """What a crate's library depends on."""
    text = (CRATES / crate / "Cargo.toml").read_text()
    sections = re.findall(
        r"^\[(?:target\..*\.)?dependencies\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return {name for section in sections for name in re.findall(r"^([\w-]+)", section, re.MULTILINE)}


def crates() -> Iterator[str]:
    """Dependencies point downward; only the bindings know PyO3 and wasm-bindgen."""
    for path in sorted(CRATES.iterdir()):
        if path.name not in ALLOWED:
            yield f"{path.name}: say in {Path(__file__).name} what it may depend on"
            continue
        found = dependencies(path.name)
        ours = {name for name in found if name.startswith("phynexus")}
        if not ours <= ALLOWED[path.name]:
            yield f"{path.name} depends on {ours - ALLOWED[path.name]}, which is not below it"
        if path.name == "phynexus-formula" and found:
            yield f"{path.name} depends on {found}; it must depend on nothing"
        if path.name != "phynexus-python" and "pyo3" in found:
            yield f"{path.name} depends on pyo3"
        if path.name != "phynexus-web" and "wasm-bindgen" in found:
            yield f"{path.name} depends on wasm-bindgen"
        for source in sorted(path.rglob("*.rs")) if path.name != "phynexus-python" else ():
            if "pyo3" in source.read_text():
                yield f"{source.relative_to(ROOT)} mentions pyo3"


def devices() -> Iterator[str]:
    """No operation or optimizer is known to a device."""
    pattern = re.compile(rf"(?<![a-z0-9])({NAMES})(?![a-z0-9])", re.IGNORECASE)
    for crate in DEVICES:
        for source in sorted((CRATES / crate / "src").rglob("*.rs")):
            for number, line in enumerate(source.read_text().splitlines(), 1):
                code = line.split("//")[0]
                if match := pattern.search(code):
                    yield f"{source.relative_to(ROOT)}:{number} names {match[1]!r}; a device knows kernels only"


def sizes() -> Iterator[str]:
    """Files are of a size that a person reads in one sitting."""
    for pattern in ("crates/*/src/**/*.rs", "python/neurenix/**/*.py", "scripts/*.py", "benches/*.py"):
        for path in sorted(ROOT.glob(pattern)):
            name, lines = str(path.relative_to(ROOT)), len(path.read_text().splitlines())
            if lines > MAX_LINES and name not in LONG:
                yield f"{name} has {lines} lines, more than {MAX_LINES}; split it, or say in {Path(__file__).name} why"
    for name in LONG:
        if not (ROOT / name).is_file() or len((ROOT / name).read_text().splitlines()) <= MAX_LINES:
            yield f"{name} need no longer be an exception in {Path(__file__).name}"


def examples() -> Iterator[str]:
    """Public classes and functions of nn and optim have an example."""
    from neurenix import nn, optim

    for module in (nn, nn.functional, nn.init, nn.utils, optim, optim.lr_scheduler, optim.schedule):
        for name in module.__all__:
            value = getattr(module, name)
            if (inspect.isclass(value) or inspect.isfunction(value)) and ">>>" not in (
                inspect.getdoc(value) or ""
            ):
                yield f"{module.__name__}.{name} has no example in its docstring"


def main() -> int:
    """Prints what is wrong."""
    problems = [line for check in (crates, devices, sizes, examples) for line in check()]
    print(*problems, sep="\n", end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
