"""A first model: two layers, random data, SGD."""

from neurenix import Tensor, manual_seed
from neurenix.nn import Linear, MSELoss, ReLU, Sequential
from neurenix.optim import SGD

manual_seed(0)
x = Tensor.randn((100, 10))
y = Tensor.randn((100, 1))

model = Sequential(Linear(10, 5), ReLU(), Linear(5, 1))
loss_fn = MSELoss()
optimizer = SGD(model.parameters(), lr=0.05)

losses = []
for epoch in range(100):
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}")

assert losses[-1] < 0.95 * losses[0]
