"""Step hooks."""

from __future__ import annotations

import copy

import pytest
from neurenix.optim import SGD


@pytest.mark.parametrize("kind", ["formula", "step"])
def test_order_and_arguments(make, plain, kind) -> None:
    param = make([1.0], 1.0)
    optimizer = (SGD if kind == "formula" else plain)([param], lr=0.5)
    seen = []
    optimizer.register_step_pre_hook(
        lambda self, args, kwargs: seen.append(("before", self is optimizer, param.item()))
    )
    optimizer.register_step_pre_hook(lambda *_: seen.append("second"))
    optimizer.register_step_post_hook(lambda self, args, kwargs: seen.append(("after", param.item())))
    optimizer.step()
    assert seen == [("before", True, 1.0), "second", ("after", 0.5)]


def test_remove(make) -> None:
    optimizer = SGD([make([1.0], 1.0)])
    seen = []
    before = optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    after = optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    before.remove()
    optimizer.step()
    after.remove()
    after.remove()
    optimizer.step()
    assert seen == ["after"]


def test_a_pre_hook_may_clip_gradients_or_change_arguments(make) -> None:
    param = make([1.0], 100.0)
    optimizer = SGD([param], lr=0.5)
    optimizer.register_step_pre_hook(lambda *_: param.grad.clamp_(-1, 1) and None)
    optimizer.register_step_pre_hook(lambda self, args, kwargs: ((lambda: "other",), {}))
    assert optimizer.step() == "other"
    assert param.item() == 0.5


def test_a_failing_hook_leaves_the_optimizer_usable(make) -> None:
    param = make([1.0], 1.0)
    optimizer = SGD([param], lr=0.5)

    def fail(*_):
        raise RuntimeError("no")

    hook = optimizer.register_step_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no"):
        optimizer.step()
    assert param.item() == 1.0
    hook.remove()
    optimizer.step()
    assert param.item() == 0.5


def test_hooks_are_not_copied(make) -> None:
    optimizer = SGD([make([1.0], 1.0)])
    optimizer.register_step_pre_hook(lambda *_: pytest.fail("called on the copy"))
    copy.deepcopy(optimizer).step()
