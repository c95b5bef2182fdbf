"""Training on the best device there is: a GPU where one can be used, else the CPU."""

from neurenix import DeviceType, Tensor, get_available_devices, manual_seed
from neurenix.nn import Linear, MSELoss, ReLU, Sequential
from neurenix.optim import SGD

PREFERRED = [DeviceType.CUDA, DeviceType.ROCM, DeviceType.WEBGPU, DeviceType.CPU]

device = min(get_available_devices(), key=lambda device: PREFERRED.index(device.type))
print("training on", device.name)

manual_seed(0)
x = Tensor.randn((128, 4)).to(device)
y = x[:, :1] * x[:, 1:2]

model = Sequential(Linear(4, 32), ReLU(), Linear(32, 1))
for param in model.parameters():
    param.to(device, inplace=True)
loss_fn = MSELoss()
optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)  # one number of state for each parameter

losses = []
for epoch in range(200):
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if epoch % 20 == 19:
        print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}")

assert losses[-1] < 0.2 * losses[0]
