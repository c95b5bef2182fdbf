"""AdamW by hand."""

from __future__ import annotations

import inspect

from neurenix.optim import Adam, AdamW


def test_decay_is_apart_from_the_gradient(make) -> None:
    param = make([2.0], 0.0)
    AdamW([param], lr=0.5, weight_decay=0.5).step()
    assert param.item() == 1.5  # 2 * (1 - 0.25): a zero gradient adds nothing


def test_without_decay_it_is_adam(make) -> None:
    one, two = make([2.0], 3.0), make([2.0], 3.0)
    AdamW([one], weight_decay=0).step()
    Adam([two]).step()
    assert one.item() == two.item()


def test_decay_follows_the_schedule_of_lr(make) -> None:
    param = make([2.0], 0.0)
    optimizer = AdamW([param], lr=lambda t: 0.5 if t == 0 else 0.0, weight_decay=0.5)
    optimizer.step()
    optimizer.step()
    assert param.item() == 1.5


def test_defaults() -> None:
    signature = inspect.signature(AdamW)
    assert signature.parameters["weight_decay"].default == 0.01
    others = [name for name in inspect.signature(Adam).parameters if name != "decoupled_weight_decay"]
    assert list(signature.parameters) == others
