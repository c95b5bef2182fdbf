"""Layers, losses and what holds them: the building blocks of models.

>>> import neurenix
>>> from neurenix import nn
>>> model = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
>>> loss = nn.MSELoss()(model(neurenix.randn(100, 10)), neurenix.randn(100, 1))
>>> loss.backward()
>>> model[0].weight.grad.shape
(5, 10)
"""

from neurenix.nn import functional, init, utils
from neurenix.nn.activation import (
    ELU,
    GELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from neurenix.nn.container import ModuleDict, ModuleList, Sequential
from neurenix.nn.dropout import Dropout
from neurenix.nn.embedding import Embedding
from neurenix.nn.linear import Identity, Linear
from neurenix.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from neurenix.nn.module import Module
from neurenix.nn.norm import BatchNorm1d, LayerNorm
from neurenix.nn.parameter import Parameter
from neurenix.nn.shape import Flatten, Unflatten

__all__ = [
    "ELU",
    "GELU",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Unflatten",
    "functional",
    "init",
    "utils",
]
