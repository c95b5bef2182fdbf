"""Rewrites docs/api: a page for each module, with a line for each public name, taken from the docstrings."""

import importlib
import inspect
from pathlib import Path

MODULES = (
    "neurenix",
    "neurenix.autograd",
    "neurenix.data",
    "neurenix.linalg",
    "neurenix.nn",
    "neurenix.nn.functional",
    "neurenix.nn.init",
    "neurenix.nn.utils",
    "neurenix.optim",
    "neurenix.optim.lr_scheduler",
    "neurenix.optim.schedule",
    "neurenix.optim.swa_utils",
    "neurenix.race",
    "neurenix.testing",
    "neurenix.train",
)
FOLDER = Path(__file__).parent.parent / "docs" / "api"


def summary(value: object) -> str:
    """The first paragraph of a docstring on one line; what a plain value is."""
    documented = inspect.ismodule(value) or inspect.isroutine(value) or inspect.isclass(value)
    if not documented:
        return f"`{value!r}`" if len(repr(value)) < 80 else type(value).__name__
    text = inspect.getdoc(value) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def page(name: str) -> str:
    """The page of a module."""
    module = importlib.import_module(name)
    lines = [f"# {name}", "", summary(module), "", "| name | what it is |", "|---|---|"]
    lines += [f"| `{public}` | {summary(getattr(module, public))} |" for public in sorted(module.__all__)]
    others = " · ".join(f"[{other}]({other}.md)" for other in MODULES if other != name)
    return "\n".join([*lines, "", f"`help({name})` has the details. Other modules: {others}", ""])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for stale in FOLDER.glob("*.md"):
        stale.unlink()
    for module_name in MODULES:
        (FOLDER / f"{module_name}.md").write_text(page(module_name))
