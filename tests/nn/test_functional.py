"""Functions do what the modules of the same name do."""

import neurenix
from neurenix import Tensor, nn
from neurenix.nn import functional as F
from neurenix.testing import assert_close


def test_functions_and_modules_agree():
    x, y = neurenix.randn(3, 4), neurenix.rand(3, 4)
    labels = Tensor([0, 3, 1])
    layer, norm = nn.Linear(4, 2), nn.LayerNorm(4)
    for found, expected in [
        (F.linear(x, layer.weight, layer.bias), layer(x)),
        (F.layer_norm(x, (4,), norm.weight, norm.bias), norm(x)),
        (F.relu(x), nn.ReLU()(x)),
        (F.gelu(x, "tanh"), nn.GELU("tanh")(x)),
        (F.softplus(x, 2.0), nn.Softplus(2.0)(x)),
        (F.hardtanh(x), nn.Hardtanh()(x)),
        (F.logsigmoid(x), nn.LogSigmoid()(x)),
        (F.softmax(x, 1), nn.Softmax(1)(x)),
        (F.mse_loss(x, y), nn.MSELoss()(x, y)),
        (
            F.cross_entropy(x, labels, label_smoothing=0.1),
            nn.CrossEntropyLoss(label_smoothing=0.1)(x, labels),
        ),
        (F.dropout(x, 0.5, training=False), x),
        (F.pad(x, (1, 1), value=2), x.pad((1, 1), 2)),
        (F.one_hot(labels, 4), labels.one_hot(4)),
    ]:
        assert_close(found, expected)


def test_logsigmoid_keeps_its_digits():
    assert F.logsigmoid(Tensor([-200.0])).item() == -200
    assert 0 > F.logsigmoid(Tensor([50.0], dtype="float64")).item() > -1e-21
