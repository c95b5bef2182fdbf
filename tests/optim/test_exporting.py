"""Optimizers as data: what the data says, read without the classes, steps to the same bits."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import neurenix as nx
import numpy as np
import pytest
from neurenix import optim
from neurenix._phynexus import Counts, Rule, Stepper, step_together
from neurenix.optim.names import names

SCRIPT = Path(__file__).parents[2] / "scripts" / "export_optimizers.py"
SPEC = importlib.util.spec_from_file_location("export_optimizers", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)
ENTRIES = json.loads(script.FILE.read_text())["optimizers"]
KINDS = {"full": (1, 1, 1), "row": (1, 1, 0), "column": (1, 0, 1), "batch": (1, 0, 0)}


class FromData:
    """The steps of an entry, as a program without its class makes them."""

    def __init__(self, entry: dict[str, Any], params: list[nx.Tensor]) -> None:
        self.hyper = {h["name"]: h for h in entry["hyper"]}
        self.values = {name: h.get("value", 0.0) for name, h in self.hyper.items()}
        forms = entry["forms"]
        groups: dict[str, list[nx.Tensor]] = {}
        for param in params:
            groups.setdefault("matrix" if param.ndim > 1 and "matrix" in forms else "vector", []).append(
                param
            )
        self.steppers = [self._bind(forms[form], members) for form, members in groups.items()]

    def _bind(self, form: dict[str, Any], params: list[nx.Tensor]) -> Stepper:
        rule = Rule.parse(form["rule"])
        kinds = form["rule"].splitlines()[2].split()[1:]
        views = [(1, p.shape[0], p.shape[1]) if p.ndim == 2 else (1, 1, p.numel()) for p in params]
        tensors: list[list[nx.Tensor]] = [[] for _ in params]
        numbers: list[list[float]] = [[] for _ in params]
        for i, (param, view) in enumerate(zip(params, views, strict=True)):
            for kind, state in zip(kinds, form["states"], strict=True):
                init = state["init"]
                start = self.values[init["hyper"]] if isinstance(init, dict) else init
                if kind == "number":
                    numbers[i].append(start)
                elif start == "param":
                    tensors[i].append(param.detach().clone())
                else:
                    kept = [n if keep else 1 for n, keep in zip(view, KINDS[kind], strict=True)]
                    shape = param.shape if kind == "full" else kept
                    tensors[i].append(nx.Tensor.full(tuple(shape), start))
        return Stepper(rule, params, views, tensors, [Counts(0, own) for own in numbers])

    def step(self, lr: float) -> None:
        self.values["lr"] = lr
        flat: list[float] = []
        for name, hyper in self.hyper.items():
            if "largest" in hyper:
                self.values[name] = max(self.values[name], self.values[hyper["largest"]])
            value = self.values[name]
            flat += [x for x in (value if isinstance(value, list) else [value]) if x is not None]
        step_together([(stepper, flat, None) for stepper in self.steppers])


def test_the_file_is_current() -> None:
    assert script.FILE.read_text() == script.text(), "run scripts/export_optimizers.py"


def test_every_optimizer_is_there_or_has_a_reason() -> None:
    data = json.loads(script.FILE.read_text())
    assert len(data["optimizers"]) + len(data["others"]) == len(names()) + 2
    assert len(data["optimizers"]) >= 47


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_data_steps_as_the_class_does(entry: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype("float32") for shape in [(4, 3), (5,), (2, 7)]]
    here, there = ([nx.Tensor(p, requires_grad=True) for p in start] for _ in range(2))
    named = next(n for n in names().values() if script.title(n) == entry["name"])
    optimizer = named([{"params": here}])
    data = FromData(entry, there)
    for lr in (0.03, 0.05, 0.02):
        for a, b in zip(here, there, strict=True):
            a.grad = b.grad = nx.Tensor(rng.normal(size=a.shape).astype("float32"))
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        data.step(lr)
    for a, b, before in zip(here, there, start, strict=True):
        assert a.tolist() == b.tolist()
        assert not np.array_equal(a.detach().numpy(), before)


def test_bounds_are_those_of_the_class() -> None:
    entry = optim.export(optim.AdamW([nx.zeros(3, requires_grad=True)]))
    assert entry["hyper"][2] == {
        "name": "betas",
        "value": (0.9, 0.999),
        "low": 0,
        "high": 1,
        "highIncluded": False,
    }
    assert entry["fixed"] == {"amsgrad": False, "maximize": False}


def test_what_formulas_leave_out_is_marked() -> None:
    param = nx.zeros(3, requires_grad=True)
    for momentum, read in [(0.0, False), (0.9, True)]:
        entry = optim.export(optim.RMSprop([param], momentum=momentum))
        assert {h["name"]: h.get("read", True) for h in entry["hyper"]}["momentum"] is read


def test_what_is_more_than_formulas_is_refused() -> None:
    param = nx.zeros(4, 3, requires_grad=True)
    for optimizer, reason in [
        (optim.LBFGS([param]), r"LBFGS cannot be exported: it has a step\(\) of its own"),
        (optim.Muon([param]), "tensor code comes before its formula"),
        (optim.Lookahead(optim.SGD([param], lr=0.1)), "it evaluates other weights than it trains"),
        (optim.SAM(optim.SGD([param], lr=0.1)), r"step\(\) of its own"),
        (optim.AdamW([param], state_dtype="int8"), "options of Python's optimizers alone"),
        (optim.AdamW([param], lr=lambda step: 0.1), "lr has a schedule"),
    ]:
        with pytest.raises(ValueError, match=reason):
            optim.export(optimizer)
