"""A module of two parts, and Adam with a learning rate for each."""

from neurenix import Tensor, manual_seed
from neurenix.nn import Linear, Module, MSELoss, ReLU, Sequential
from neurenix.optim import Adam


class Network(Module):
    """A body that finds features and a head that predicts."""

    def __init__(self):
        super().__init__()
        self.body = Sequential(Linear(8, 32), ReLU())
        self.head = Linear(32, 1)

    def forward(self, x):
        return self.head(self.body(x))


manual_seed(0)
x = Tensor.randn((256, 8))
y = (x * x).sum(1, keepdim=True)

model = Network()
loss_fn = MSELoss()
optimizer = Adam(
    [
        {"params": model.body.parameters(), "lr": 0.01},
        {"params": model.head.parameters(), "lr": 0.03, "weight_decay": 1e-4},
    ]
)

losses = []
for epoch in range(200):
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if epoch % 20 == 19:
        print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}")

assert losses[-1] < 0.05 * losses[0]
