"""LayerNorm, compared with PyTorch in test_golden.py, and BatchNorm1d."""

import json
from pathlib import Path

import neurenix
import numpy as np
import pytest
import safetensors
from neurenix import Tensor, nn
from neurenix.testing import assert_close, check_grads


@pytest.mark.parametrize(
    ("shape", "size"), [((4, 6), 6), ((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((5,), 5), ((0, 3), 3)]
)
def test_rows_have_mean_0_and_variance_1(shape, size):
    x = neurenix.randn(shape) * 5 + 3
    y = nn.LayerNorm(size)(x)
    assert y.shape == shape
    rows = y.detach().numpy().reshape(-1, int(np.prod(size)))
    assert np.allclose(rows.mean(1), 0, atol=1e-5)
    assert np.allclose(rows.var(1), 1, atol=1e-3)


def test_parameters():
    layer = nn.LayerNorm((2, 3))
    assert layer.weight.tolist() == [[1, 1, 1]] * 2
    assert layer.bias.tolist() == [[0, 0, 0]] * 2
    assert list(nn.LayerNorm(3, bias=False).state_dict()) == ["weight"]
    assert list(nn.LayerNorm(3, elementwise_affine=False).state_dict()) == []
    assert repr(nn.LayerNorm(3, bias=False)) == "LayerNorm((3,), eps=1e-05, bias=False)"


def test_large_offsets_lose_no_digits():
    x = neurenix.randn(4, 64)
    assert_close(nn.LayerNorm(64)(x + 1000), nn.LayerNorm(64)(x), atol=1e-3)


def test_gradients():
    layer = nn.LayerNorm(4).double()
    check_grads(layer, [neurenix.randn(3, 4, dtype="float64")], order=2)


with safetensors.safe_open(
    Path(__file__).parent.parent / "golden" / "averaging.safetensors", "numpy"
) as file:
    NORMS = json.loads(file.metadata()["about"])["norms"]
    GOLDEN = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("name", NORMS)
def test_batch_norm_is_that_of_torch(name):
    def golden(start):
        start = f"norm/{name}/{start}/"
        return {key.removeprefix(start): value for key, value in GOLDEN.items() if key.startswith(start)}

    layer = nn.BatchNorm1d(3, **NORMS[name]).double()
    assert set(layer.state_dict()) == set(golden("start"))
    layer.load_state_dict(golden("start"))
    for step in range(4):
        expected = golden(step)
        layer.train(step < 3)
        layer.zero_grad()
        x = Tensor(expected["input"], requires_grad=True)
        output = layer(x)
        assert_close(output, expected["output"], rtol=1e-11, atol=1e-13)
        (output * Tensor(expected["weight"])).sum().backward()
        gradients = {"input": x.grad, **{key: value.grad for key, value in layer.named_parameters()}}
        found = {f"grad/{key}": value for key, value in gradients.items()}
        found |= {f"state/{key}": value for key, value in layer.state_dict().items()}
        assert set(found) | {"input", "weight", "output"} == set(expected)
        for key, value in found.items():
            assert_close(value, expected[key], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_batch_norm(training):
    layer = nn.BatchNorm1d(3).double().train(training)
    layer.running_var.fill_(2.0)
    weights = [neurenix.randn(3, dtype="float64") for _ in range(2)]

    def function(x, w, b):
        return nn.functional.batch_norm(x, layer.running_mean, layer.running_var, w, b, training)

    check_grads(function, [neurenix.randn(4, 3, 2, dtype="float64"), *weights], order=2)


def test_batch_norm_in_half_precision_keeps_its_statistics():
    layer = nn.BatchNorm1d(2)
    x = neurenix.randn(64, 2).to("bfloat16")
    layer(x)
    assert layer.running_mean.dtype == neurenix.float32
    assert layer(x).shape == (64, 2)


def test_batch_norm_refuses():
    layer = nn.BatchNorm1d(3)
    for x in (neurenix.ones(3), neurenix.ones(2, 4), neurenix.ones(2, 3, 1, 1)):
        with pytest.raises(
            ValueError, match=r"BatchNorm1d: input must be \(batch, 3\) or \(batch, 3, length\), got"
        ):
            layer(x)
    with pytest.raises(ValueError, match="needs more than 1 value for each channel"):
        layer(neurenix.ones(1, 3))
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.eval()(neurenix.ones(1, 3)).shape == (1, 3)
    with pytest.raises(ValueError, match="weight has shape"):
        nn.functional.batch_norm(neurenix.ones(2, 3), None, None, neurenix.ones(2), training=True)
    with pytest.raises(ValueError, match="a running_mean and a running_var are needed"):
        nn.functional.batch_norm(neurenix.ones(2, 3), None, None)
    with pytest.raises(ValueError, match="momentum must be"):
        nn.BatchNorm1d(3, momentum=2)
    assert repr(layer) == ("BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)")
