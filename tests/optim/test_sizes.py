"""Hyperparameters that size states may not change in the middle of a run; what may, does."""

from __future__ import annotations

import neurenix as nx
import pytest
from neurenix import optim

FIXED = [
    (optim.GaLore, {"rank": 2}, {"rank": 4}, "exp_avg"),
    (optim.GaLore, {"rank": 2}, {"proj_type": "full"}, "exp_avg"),
    (optim.APOLLO, {"rank": 2}, {"rank": 4}, "exp_avg"),
    (optim.Shampoo, {}, {"max_preconditioner_dim": 4}, "factor_0_0"),
    (optim.Shampoo, {"max_preconditioner_dim": 4}, {"max_preconditioner_dim": 6}, "factor_0_0"),
    (optim.Shampoo, {}, {"grafting": "adam"}, "exp_avg_sq"),
    (optim.SOAP, {}, {"merge_dims": True}, "GG_0"),
    (optim.SOAP, {"max_precond_dim": 4}, {"max_precond_dim": 100}, "GG_0"),
    (optim.PSGDKron, {}, {"max_size_triangular": 10}, "Q_0"),
    (optim.PSGDKron, {}, {"memory_save_mode": "one_diag"}, "Q_0"),
    (optim.Dion, {}, {"rank_fraction": 0.5}, "basis"),
    (optim.Dion, {"use_muon": False}, {"use_muon": True}, "momentum_buffer"),
    (optim.NorMuon, {}, {"heads": 2}, "row_sq"),
    (optim.AdamMini, {}, {"blocks": 4}, "exp_avg_sq"),
]
FREE = [
    (optim.GaLore, {"rank": 2}, {"update_proj_gap": 1}),
    (optim.Shampoo, {}, {"precondition_frequency": 2}),
    (optim.SGD, {}, {"momentum": 0.5}),
    (optim.Muon, {}, {"use_muon": False}),
    (optim.Dion, {}, {"use_muon": False}),
    (optim.Scion, {}, {"norm": "row"}),
]


def trained(cls, arguments, steps=2):
    nx.manual_seed(0)
    params = [nx.randn(shape).requires_grad_() for shape in ((4, 4), (12, 8))]
    optimizer = cls(params, **arguments)
    for _ in range(steps):
        advance(optimizer, params)
    return optimizer, params


def advance(optimizer, params):
    for param in params:
        param.grad = param.detach() + nx.randn(param.shape)
    optimizer.step()


def everything(optimizer, params):
    state = [
        {k: v.tolist() if hasattr(v, "tolist") else v for k, v in optimizer.state[p].items()} for p in params
    ]
    return [param.tolist() for param in params], state


@pytest.mark.parametrize(
    ("cls", "arguments", "changes", "name"), FIXED, ids=lambda x: getattr(x, "__name__", str(x))
)
def test_what_sizes_a_state_may_not_change(cls, arguments, changes, name):
    optimizer, params = trained(cls, arguments)
    other, same = trained(cls, arguments)
    group, before = optimizer.param_groups[0], everything(optimizer, params)
    kept = {key: group[key] for key in changes}
    group.update(changes)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"{cls.__name__}, group 0: after 2 steps {name} of a parameter"
        ):
            advance(optimizer, params)
        assert everything(optimizer, params) == before
    group.update(kept)
    for each, tensors in ((optimizer, params), (other, same)):
        nx.manual_seed(1)
        advance(each, tensors)
    assert everything(optimizer, params) == everything(other, same)


@pytest.mark.parametrize(("cls", "arguments", "changes"), FREE, ids=lambda x: getattr(x, "__name__", str(x)))
def test_what_may_change(cls, arguments, changes):
    optimizer, params = trained(cls, arguments)
    plain, same = trained(cls, arguments)
    optimizer.param_groups[0].update(changes)
    for each, tensors in ((optimizer, params), (plain, same)):
        nx.manual_seed(1)
        for _ in range(2):
            advance(each, tensors)
    assert everything(optimizer, params)[0] != everything(plain, same)[0]


@pytest.mark.parametrize("cls", [optim.Muon, optim.NorMuon, optim.AdaMuon])
def test_heads_are_matrices_of_their_own(cls):
    nx.manual_seed(0)
    whole = nx.randn(12, 8).requires_grad_()
    parts = [whole.detach()[:6].clone().requires_grad_(), whole.detach()[6:].clone().requires_grad_()]
    together, apart = cls([whole], heads=2, adjust_lr_fn="none"), cls(parts, adjust_lr_fn="none")
    for _ in range(3):
        whole.grad = nx.randn(12, 8)
        parts[0].grad, parts[1].grad = whole.grad[:6], whole.grad[6:]
        together.step()
        apart.step()
    assert whole.detach()[:6].tobytes() == parts[0].tobytes()
    assert whole.detach()[6:].tobytes() == parts[1].tobytes()
