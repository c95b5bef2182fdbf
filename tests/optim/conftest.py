"""Parameters with gradients, and optimizers that users might write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from neurenix import Tensor
from neurenix.optim import Optimizer
from neurenix.optim.formula import sign


class Lion(Optimizer):
    """A formula of a user's own."""

    states = ("m",)

    def __init__(
        self, params: Any, lr: Any = 1e-2, betas: Any = (0.9, 0.99), weight_decay: Any = 0.0, **options: Any
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay}, **options)

    @staticmethod
    def formula(p, g, m, *, lr, betas, weight_decay):
        beta1, beta2 = betas
        p = p * (1 - lr * weight_decay) - lr * sign(beta1 * m + (1 - beta1) * g)
        return p, beta2 * m + (1 - beta2) * g


class Plain(Optimizer):
    """A step of a user's own: heavy ball over NumPy, as the documentation shows it."""

    def __init__(self, params: Any, lr: Any = 0.1, momentum: Any = 0.5, **options: Any):
        super().__init__(params, {"lr": lr, "momentum": momentum}, **options)

    def step(self, closure=None):
        loss = None if closure is None else closure()
        for group in self._parameter_groups:
            values = self.hyperparameters(group)
            for param in group["params"]:
                if param.grad is not None:
                    old = self.state[param].get("velocity", 0.0)
                    self.state[param]["velocity"] = values["momentum"] * old + param.grad
                    param._numpy_data -= values["lr"] * self.state[param]["velocity"].numpy()
        return loss


@pytest.fixture
def lion() -> type[Optimizer]:
    return Lion


@pytest.fixture
def plain() -> type[Optimizer]:
    return Plain


@pytest.fixture
def make() -> Callable[..., Tensor]:
    """`make(values, grad)`: a leaf with a gradient; float32 unless said."""

    def make(values: Any, grad: Any = None, dtype: str = "float32") -> Tensor:
        param = Tensor(np.asarray(values, dtype="float64"), dtype=dtype, requires_grad=True)
        if grad is not None:
            param.grad = Tensor(
                np.broadcast_to(np.asarray(grad, dtype="float64"), param.shape).copy(), dtype=dtype
            )
        return param

    return make


@pytest.fixture
def randoms(make: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """`randoms(shapes)`: reproducible leaves with gradients."""

    def randoms(shapes: list[tuple[int, ...]], dtype: str = "float32", seed: int = 0) -> list[Tensor]:
        rng = np.random.default_rng(seed)
        return [make(rng.normal(size=shape), rng.normal(size=shape), dtype) for shape in shapes]

    return randoms
