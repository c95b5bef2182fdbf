"""What every layer and loss must do; a new one needs a row here."""

from __future__ import annotations

import copy
import inspect
import pickle

import neurenix
import pytest
from neurenix import Tensor, nn
from neurenix.testing import check_grads

PROBABILITIES = Tensor([[0.2, 0.7], [0.6, 0.1]], dtype="float64")
CLASSES = Tensor([1, 0])


def numbers(*shape):
    return neurenix.randn(*shape, dtype="float64")


ACTIVATIONS = ["ELU", "GELU", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish", "ReLU"]
ACTIVATIONS += ["SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh"]

#: For each a layer and the arguments of its forward; the first float64 one is differentiated.
CASES = {
    "BCELoss": (nn.BCELoss, lambda: (numbers(2, 2).sigmoid(), PROBABILITIES)),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss, lambda: (numbers(2, 2), PROBABILITIES)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), lambda: (numbers(5, 3),)),
    "CrossEntropyLoss": (nn.CrossEntropyLoss, lambda: (numbers(2, 3), CLASSES)),
    "Dropout": (lambda: nn.Dropout(0.5), lambda: (numbers(4, 3),)),
    "Embedding": (lambda: nn.Embedding(4, 3), lambda: (CLASSES,)),
    "Flatten": (nn.Flatten, lambda: (numbers(2, 3, 4),)),
    "HuberLoss": (nn.HuberLoss, lambda: (numbers(2, 3), numbers(2, 3))),
    "Identity": (nn.Identity, lambda: (numbers(2, 3),)),
    "KLDivLoss": (lambda: nn.KLDivLoss(reduction="batchmean"), lambda: (numbers(2, 2), PROBABILITIES)),
    "L1Loss": (nn.L1Loss, lambda: (numbers(2, 3), numbers(2, 3))),
    "LayerNorm": (lambda: nn.LayerNorm(3), lambda: (numbers(2, 3),)),
    "Linear": (lambda: nn.Linear(3, 2), lambda: (numbers(4, 3),)),
    "LogSoftmax": (lambda: nn.LogSoftmax(-1), lambda: (numbers(2, 3),)),
    "MSELoss": (nn.MSELoss, lambda: (numbers(2, 3), numbers(2, 3))),
    "NLLLoss": (nn.NLLLoss, lambda: (numbers(2, 3), CLASSES)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh()), lambda: (numbers(4, 3),)),
    "SmoothL1Loss": (nn.SmoothL1Loss, lambda: (numbers(2, 3), numbers(2, 3))),
    "Softmax": (lambda: nn.Softmax(-1), lambda: (numbers(2, 3),)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), lambda: (numbers(4, 6),)),
    **{name: (getattr(nn, name), lambda: (numbers(4, 3),)) for name in ACTIVATIONS},
}
#: Containers without a forward of their own.
HOLDERS = {"Module", "ModuleDict", "ModuleList"}


def test_every_layer_has_a_row() -> None:
    kinds = {name: getattr(nn, name) for name in nn.__all__}
    layers = {name for name, kind in kinds.items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    assert layers - HOLDERS == set(CASES)


@pytest.fixture(params=sorted(CASES))
def case(request):
    neurenix.manual_seed(0)
    make, arguments = CASES[request.param]
    return make().double(), arguments()


def test_gradients_of_inputs_and_parameters(case) -> None:
    layer, arguments = case
    layer.train(not isinstance(layer, nn.Dropout))
    names = [name for name, _ in layer.named_parameters()]

    def run(*given):
        inputs, parameters = given[: len(arguments)], given[len(arguments) :]
        twin = copy.deepcopy(layer)
        for name, parameter in zip(names, parameters, strict=True):
            owner, _, own = name.rpartition(".")
            module = twin.get_submodule(owner) if owner else twin
            module.__dict__[own] = parameter
        return twin(*inputs)

    given = [*arguments, *(parameter.detach() for parameter in layer.parameters())]
    check_grads(run, given)


@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("training", [False, True])
def test_copies_do_the_same(case, way, training) -> None:
    layer, arguments = case
    twin = way(layer.train(training))
    results = []
    for each in (layer, twin):
        neurenix.manual_seed(1)
        results.append(each(*arguments).tobytes())
    assert results[0] == results[1]
    assert repr(twin) == repr(layer)
    assert twin.training is training


def test_states_go_from_one_to_another(case) -> None:
    layer, arguments = case
    twin = copy.deepcopy(layer)
    for tensor in twin.state_dict().values():
        tensor.fill_(1)
    assert twin.load_state_dict(layer.state_dict()) == ([], [])
    assert twin.eval()(*arguments).tobytes() == layer.eval()(*arguments).tobytes()
