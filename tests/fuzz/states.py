"""State dicts of optimizers that somebody changed: loaded, or refused with nothing changed."""

from __future__ import annotations

import copy
from random import Random

import neurenix as nx
from neurenix import optim

from .values import same, tensor

NAMES = sorted(
    name
    for name in (
        "Adam",
        "AdamW",
        "SGD",
        "Lion",
        "Adafactor",
        "Muon",
        "Shampoo",
        "SOAP",
        "Prodigy",
        "RAdam",
        "LAMB",
    )
)


def make(r: Random):
    options: dict[str, object] = {}
    if r.random() < 0.3:
        options["state_dtype"] = r.choice(("int8", "bfloat16"))
    if r.random() < 0.3:
        options["accumulate"] = 2
    name = r.choice(NAMES)

    def build():
        nx.manual_seed(1)
        params = [("w", nx.randn(5, 4, requires_grad=True)), ("b", nx.randn(4, requires_grad=True))]
        return getattr(optim, name)(params, **options), [p for _, p in params]

    return build


def step(optimizer, params) -> None:
    for p in params:
        p.grad = nx.ones(*p.shape)
    optimizer.step()


def damage(r: Random, value: object) -> object:
    """The value with one thing changed somewhere."""
    if isinstance(value, dict) and value and r.random() < 0.85:
        key = r.choice(list(value))
        kind = r.randrange(6)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return {**value, r.choice(("x", 0, 7, "step")): r.choice((None, 1, -1, tensor(r)))}
        return {**value, key: damage(r, value[key])}
    if isinstance(value, (list, tuple)) and value and r.random() < 0.85:
        items = list(value)
        place = r.randrange(len(items))
        items[place] = damage(r, items[place])
        return type(value)(items) if r.random() < 0.8 else items[: len(items) // 2]
    return r.choice((None, -1, 0, 1.5, float("nan"), "text", [], {}, (), True, 2**70, tensor(r)))


def snapshot(optimizer, params) -> list[object]:
    state = optimizer.state_dict()
    leaves: list[object] = [p.detach().clone() for p in params]

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=repr):
                leaves.append(key)
                walk(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item)
        else:
            leaves.append(value.clone() if isinstance(value, nx.Tensor) else value)

    walk(state)
    return leaves


def alike(a: list[object], b: list[object]) -> bool:
    def one(x: object, y: object) -> bool:
        if isinstance(x, nx.Tensor) or isinstance(y, nx.Tensor):
            return isinstance(x, nx.Tensor) and isinstance(y, nx.Tensor) and same(x, y)
        return repr(x) == repr(y)

    return len(a) == len(b) and all(map(one, a, b))


def case(r: Random) -> None:
    build = make(r)
    (first, params), (second, others) = build(), build()
    for _ in range(r.randint(0, 3)):
        step(first, params)
    for _ in range(r.randint(0, 2)):
        step(second, others)
    saved = damage(r, copy.deepcopy(first.state_dict()))
    before = snapshot(second, others)
    try:
        second.load_state_dict(saved)
    except (ValueError, TypeError):
        assert alike(before, snapshot(second, others)), "a state that was refused has changed the optimizer"
    step(second, others)
    step(second, others)
    assert all(p.shape == q.shape for p, q in zip(params, others, strict=True))
    third, _ = build()
    third.load_state_dict(second.state_dict())
