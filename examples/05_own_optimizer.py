"""An optimizer of one's own, in both ways: as a formula that is compiled, and as plain Python."""

import numpy as np
from neurenix import Tensor, manual_seed
from neurenix.nn import Linear, MSELoss, ReLU, Sequential
from neurenix.optim import Optimizer
from neurenix.optim.formula import sign
from neurenix.testing import check_optimizer


class Lion(Optimizer):
    """Steps of one size in the direction of a momentum's sign (Chen et al., arXiv 2302.06675)."""

    states = ("m",)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @staticmethod
    def formula(p, g, m, *, lr, betas, weight_decay):
        b1, b2 = betas
        direction = sign(b1 * m + (1 - b1) * g)
        return p - lr * (direction + weight_decay * p), b2 * m + (1 - b2) * g


class PlainLion(Optimizer):
    """The same in NumPy: slower, and free to do anything."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99)):
        super().__init__(params, {"lr": lr, "betas": betas})

    def step(self, closure=None):
        for group in self._parameter_groups:
            b1, b2 = group["betas"]
            for param in group["params"]:
                g = param.grad.numpy()
                m = self.state[param].setdefault("m", np.zeros_like(g))
                param._numpy_data -= group["lr"] * np.sign(b1 * m + (1 - b1) * g)
                m *= b2
                m += (1 - b2) * g


def train(kind):
    manual_seed(0)
    x = Tensor.randn((256, 8))
    y = x[:, :1].tanh()
    model = Sequential(Linear(8, 32), ReLU(), Linear(32, 1))
    loss_fn = MSELoss()
    optimizer = kind(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(100):
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"{kind.__name__}: loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    return losses


formula, plain = train(Lion), train(PlainLion)
assert formula[-1] < 0.1 * formula[0]
assert np.allclose(formula, plain, rtol=1e-2)

# Does it resume exactly, refuse bad values, leave gradients alone ...? See docs/testing-optimizers.md.
check_optimizer(
    Lion,
    moves={"lr": 2e-3, "betas": (0.8, 0.9), "weight_decay": 0.1},
    errors=[({"lr": -1.0}, ValueError, "lr must be")],
    state_bytes=4,
)
