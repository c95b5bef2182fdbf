"""A schedule by hand: the learning rate of every group can be written at any time."""

from neurenix import Tensor, manual_seed
from neurenix.nn import Linear, MSELoss
from neurenix.optim import SGD

manual_seed(0)
x = Tensor.randn((64, 3))
y = x @ Tensor([[1.0], [-2.0], [0.5]]) + 3.0

model = Linear(3, 1)
loss_fn = MSELoss()
optimizer = SGD(model.parameters(), lr=0.1)

first = loss_fn(model(x), y).item()
for epoch in range(90):
    optimizer._parameter_groups[0]["lr"] = 0.1 * 0.1 ** (epoch // 30)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 15 == 14:
        print(f"epoch {epoch + 1}: lr {optimizer._parameter_groups[0]['lr']:.3f}, loss {loss.item():.2e}")

assert loss.item() < 1e-4 * first
assert abs(model.bias.item() - 3.0) < 1e-2
