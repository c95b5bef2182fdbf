"""Writes what PyTorch's layers, losses and initialisations give: tests/golden/nn.safetensors.

Run it with a Python that has torch and safetensors; the tests need neither. For every case the file holds the
arguments and inputs, the state, the output, and the gradients of a weighted sum of the output, all in float64.
"""

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

#: Tensors of the file, and for each case the module's class and its plain arguments.
tensors: dict[str, torch.Tensor] = {}
cases: dict[str, dict] = {}


def case(kind, *inputs, **kwargs):
    """Runs one module forward and backward and keeps everything."""
    name = f"{len(cases)}:{kind}"
    module = getattr(nn, kind)(**kwargs)
    plain = {key: value for key, value in kwargs.items() if not isinstance(value, torch.Tensor)}
    cases[name] = {"kind": kind, "arguments": plain}
    keep = {f"argument/{key}": value for key, value in kwargs.items() if isinstance(value, torch.Tensor)}
    keep |= {f"state/{key}": value for key, value in module.state_dict().items()}
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    output = module(*leaves)
    weight = torch.rand_like(output) + 0.5
    (output * weight).sum().backward()
    keep |= {"output": output, "weight": weight}
    keep |= {f"input/{k}": x for k, x in enumerate(inputs)}
    # The derivative of 0 log(0) is NaN for torch: nothing to compare with.
    keep |= {
        f"grad/{k}": x.grad for k, x in enumerate(leaves) if x.grad is not None and x.grad.isfinite().all()
    }
    keep |= {f"grad/{key}": parameter.grad for key, parameter in module.named_parameters()}
    tensors.update({f"{name}/{key}": value.detach().clone().contiguous() for key, value in keep.items()})


def losses():
    """All losses with all their arguments."""
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    p, q = torch.rand(4, 3) * 0.9 + 0.05, torch.rand(4, 3)
    for reduction in ("none", "mean", "sum"):
        for kind in ("MSELoss", "L1Loss"):
            case(kind, x, y, reduction=reduction)
        for size in (0.3, 1.0):
            case("SmoothL1Loss", x, y, reduction=reduction, beta=size)
            case("HuberLoss", x, y, reduction=reduction, delta=size)
        case("BCELoss", p, q, reduction=reduction)
        case("BCELoss", p, q, reduction=reduction, weight=torch.rand(3) + 0.5)
        case("BCEWithLogitsLoss", 5 * x, q, reduction=reduction)
        case("BCEWithLogitsLoss", 5 * x, q, reduction=reduction, weight=torch.rand(4, 3))
        case("BCEWithLogitsLoss", 5 * x, q, reduction=reduction, pos_weight=torch.rand(3) * 3)
        case(
            "BCEWithLogitsLoss", 5 * x, q, reduction=reduction, weight=torch.rand(3), pos_weight=torch.rand(3)
        )
        classification(reduction)
    for reduction in ("none", "mean", "sum", "batchmean"):
        for log_target in (False, True):
            target = q.softmax(1).log() if log_target else torch.where(q < 0.2, 0.0, q)
            case("KLDivLoss", x.log_softmax(1), target, reduction=reduction, log_target=log_target)


def classification(reduction):
    """Cross entropy and the negative log-likelihood."""
    logits, weight = 3 * torch.randn(6, 5), torch.rand(5) + 0.5
    label = torch.tensor([0, 4, 2, -100, 1, 2])
    image, label_image = torch.randn(2, 5, 3, 2), torch.randint(5, (2, 3, 2))
    for kind in ("CrossEntropyLoss", "NLLLoss"):
        x = logits if kind == "CrossEntropyLoss" else logits.log_softmax(1)
        case(kind, x, label, reduction=reduction)
        case(kind, x, label, reduction=reduction, weight=weight)
        case(kind, x, label.clamp(0), reduction=reduction, weight=weight, ignore_index=2)
        case(kind, x[0], label[0], reduction=reduction, weight=weight)
        case(kind, image, label_image, reduction=reduction, weight=weight)
    soft = torch.rand(6, 5).softmax(1)
    for smoothing in (0.1, 1.0):
        case("CrossEntropyLoss", logits, label, reduction=reduction, label_smoothing=smoothing)
        case("CrossEntropyLoss", logits, label, reduction=reduction, label_smoothing=smoothing, weight=weight)
        case("CrossEntropyLoss", logits, soft, reduction=reduction, label_smoothing=smoothing, weight=weight)
        case("CrossEntropyLoss", image, label_image, reduction=reduction, label_smoothing=smoothing)
    case("CrossEntropyLoss", logits, soft, reduction=reduction)
    case("CrossEntropyLoss", image, image.softmax(1), reduction=reduction, weight=weight)


def layers():
    """All layers that compute, each at points where its function changes."""
    x = torch.cat([3 * torch.randn(20), torch.tensor([0.0, 25.0, -25.0, 1.0])]).reshape(4, 6)
    for kind in (
        "ReLU",
        "SiLU",
        "Mish",
        "Sigmoid",
        "Tanh",
        "Softsign",
        "GELU",
        "ELU",
        "LeakyReLU",
        "Softplus",
    ):
        case(kind, x)
    case("LogSigmoid", x)
    case("Hardtanh", x + 0.01)  # not at a bound: there the derivative is clamp's, 1
    case("GELU", x, approximate="tanh")
    case("ELU", x, alpha=0.4)
    case("LeakyReLU", x, negative_slope=0.2)
    case("Softplus", x, beta=2.0, threshold=1.0)
    case("Hardtanh", x, min_val=-0.5, max_val=2.0)
    for dim in (0, 1, -1):
        case("Softmax", x, dim=dim)
        case("LogSoftmax", x, dim=dim)
    for bias in (True, False):
        case("Linear", x, in_features=6, out_features=2, bias=bias)
        case("Linear", x.reshape(2, 2, 6), in_features=6, out_features=2, bias=bias)
    case("Linear", x[0], in_features=6, out_features=2)
    case("LayerNorm", x, normalized_shape=6)
    case("LayerNorm", x.reshape(2, 2, 6), normalized_shape=[2, 6], eps=0.1)
    case("LayerNorm", x, normalized_shape=6, bias=False)
    case("LayerNorm", x, normalized_shape=6, elementwise_affine=False)
    case("Embedding", torch.tensor([[1, 3], [2, 1]]), num_embeddings=4, embedding_dim=3)
    case("Embedding", torch.tensor([1, 3, 2]), num_embeddings=4, embedding_dim=3, padding_idx=-1)
    case("Flatten", torch.randn(2, 3, 2))
    case("Unflatten", x, dim=1, unflattened_size=[2, 3])


def initialisations():
    """Spread of the values of every random initialisation."""
    shape = (200, 300)
    table = [
        ("uniform_", {"a": -1.0, "b": 3.0}),
        ("normal_", {"mean": 1.0, "std": 2.0}),
        ("trunc_normal_", {}),
        ("trunc_normal_", {"mean": 1.0, "std": 2.0, "a": 0.0, "b": 5.0}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {"gain": 2.0}),
        ("kaiming_uniform_", {"a": 0.5}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {"mode": "fan_out"}),
        ("kaiming_normal_", {"nonlinearity": "tanh"}),
        ("orthogonal_", {"gain": 3.0}),
    ]
    found = []
    for name, arguments in table:
        x = getattr(nn.init, name)(torch.empty(shape), **arguments)
        found.append({"name": name, "arguments": arguments, "shape": shape, **spread(x)})
    made = {"Linear": {"in_features": 300, "out_features": 200}}
    made["Embedding"] = {"num_embeddings": 200, "embedding_dim": 300}
    made["LayerNorm"] = {"normalized_shape": [200, 300]}
    for kind, arguments in made.items():
        for key, value in getattr(nn, kind)(**arguments).named_parameters():
            found.append({"name": kind, "parameter": key, "arguments": arguments, **spread(value)})
    return found


def spread(x):
    """Mean, standard deviation and extremes."""
    return {"mean": x.mean().item(), "std": x.std().item(), "min": x.min().item(), "max": x.max().item()}


losses()
layers()
path = Path(__file__).parent.parent / "tests" / "golden" / "nn.safetensors"
safetensors.torch.save_file(
    tensors,
    path,
    metadata={
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
        "script": Path(__file__).name,
        "cases": json.dumps(cases),
        "initialisations": json.dumps(initialisations()),
    },
)
print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")
