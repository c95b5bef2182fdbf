"""Options of optimizers, layers and losses on each GPU give what they give on the CPU."""

from __future__ import annotations

import neurenix
import numpy as np
import pytest
from devices.gpus import each_gpu
from neurenix import Tensor, nn, optim
from neurenix.nn import functional as F

OPTIONS = [
    {"maximize": True},
    {"nonfinite": "skip"},
    *({"weight_decay": 0.1, "weight_decay_mode": mode} for mode in optim.decay.MODES),
    {"clip_norm": 0.5},
    {"clip_value": 0.1},
    {"clip_adaptive": 0.01},
    {"centralize": True},
    {"cautious": True},
    {"ema": 0.9},
    {"accumulate": 2},
    *({"state_dtype": dtype} for dtype in ("bfloat16", "float16", "int8", "int4")),
]
ROUNDING = [{"param_update": how} for how in ("nearest", "stochastic", "kahan")]


def trained(device, dtype="float32", cls=optim.AdamW, **options):
    """The parameters after four steps, one of them large enough for states in few bits."""
    rng = np.random.default_rng(0)
    shapes = ((5,), (3, 4), (80, 70))
    params = [
        Tensor(rng.uniform(-1, 1, s).astype("float32"), device=device).to(dtype).requires_grad_()
        for s in shapes
    ]
    optimizer = cls(params, lr=0.05, **options)
    for _ in range(4):
        optimizer.zero_grad()
        sum(((p - 0.3) ** 2 * (k + 1)).sum() for k, p in enumerate(params)).backward()
        optimizer.step()
    return [np.array(p.detach().cpu().double()) for p in params]


@each_gpu
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(gpu, options):
    # A code of few bits may fall on the other side of a boundary for a difference in the last digit.
    tolerance = {"int8": 0.02, "int4": 0.02, "bfloat16": 2e-3, "float16": 1e-3}.get(
        options.get("state_dtype"), 1e-4
    )
    for found, expected in zip(trained(gpu, **options), trained("cpu", **options), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@each_gpu
@pytest.mark.parametrize("options", ROUNDING, ids=str)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding(gpu, dtype, options):
    pairs = zip(trained(gpu, dtype, **options), trained("cpu", dtype, **options), strict=True)
    for found, expected in pairs:
        # A unit in the last place, where a sum lies close to the middle of two numbers.
        np.testing.assert_allclose(found, expected, rtol=2**-7 if dtype == "bfloat16" else 2**-9, atol=1e-3)


LOSSES = {
    "mse": lambda x, y: F.mse_loss(x, y),
    "l1": lambda x, y: F.l1_loss(x, y),
    "huber": lambda x, y: F.huber_loss(x, y, delta=0.5),
    "smooth_l1": lambda x, y: F.smooth_l1_loss(x, y, reduction="sum"),
    "bce_with_logits": lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y.argmax(1)),
    "cross_entropy soft": lambda x, y: F.cross_entropy(x, y.softmax(1), label_smoothing=0.1),
    "kl_div": lambda x, y: F.kl_div(x.log_softmax(1), y.softmax(1), reduction="batchmean"),
}
LAYERS = {
    "linear": lambda: nn.Linear(6, 3),
    "layer norm": lambda: nn.LayerNorm(6),
    "batch norm": lambda: nn.BatchNorm1d(6),
    "gelu": lambda: nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 2)),
    "dropout": lambda: nn.Dropout(0.4),
}


def gradient(device, make, x):
    neurenix.manual_seed(0)
    x = Tensor(x, dtype="float32", device=device, requires_grad=True)
    y = make(x)
    (y * y).sum().backward()
    return [np.array(y.detach().cpu()), np.array(x.grad.cpu())]


@each_gpu
@pytest.mark.parametrize("name", LOSSES)
def test_losses(gpu, name, rng):
    x, y = rng.normal(size=(2, 7, 5))
    target = {d: Tensor(y, dtype="float32", device=d) for d in (gpu, "cpu")}
    found, expected = (gradient(d, lambda x, d=d: LOSSES[name](x, target[d]), x) for d in (gpu, "cpu"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@each_gpu
@pytest.mark.parametrize("name", LAYERS)
def test_layers(gpu, name, rng):
    x = rng.normal(size=(7, 6))
    layers = {}
    for device in (gpu, "cpu"):
        neurenix.manual_seed(1)
        layers[device] = LAYERS[name]().to(device)
    found, expected = (gradient(d, layers[d], x) for d in (gpu, "cpu"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for p, q in zip(layers[gpu].parameters(), layers["cpu"].parameters(), strict=True):
        np.testing.assert_allclose(np.array(p.grad.cpu()), np.array(q.grad), rtol=1e-4, atol=1e-5)


@each_gpu
def test_a_wrong_label_is_an_error_when_the_loss_is_read(gpu):
    x = neurenix.zeros(3, 4, device=gpu)
    loss = F.cross_entropy(x, Tensor([0, 4, 1], device=gpu))
    with pytest.raises(IndexError, match="index 4 is out of range for size 4"):
        loss.item()
    ignored = F.cross_entropy(x, Tensor([0, -100, 1], device=gpu))
    assert ignored.item() == pytest.approx(np.log(4), rel=1e-5)


@each_gpu
def test_sparse_gradients(gpu):
    weights = []
    for device in ("cpu", gpu):
        neurenix.manual_seed(0)
        table = nn.Embedding(10, 4, sparse=True).to(device)
        optimizer = optim.SparseAdam(table.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (table(Tensor([1, 3, 3], device=device)) ** 2).sum().backward()
            optimizer.step()
        weights.append(np.array(table.weight.detach().cpu()))
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


@each_gpu
def test_steps_in_the_backward_pass(gpu):
    weights = []
    for device in ("cpu", gpu):
        neurenix.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1)).to(device)
        optimizer = optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(2):
            model(neurenix.ones(3, 4, device=device)).sum().backward(optimizer=optimizer)
        weights.append(np.array(model[0].weight.detach().cpu()))
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-5)
