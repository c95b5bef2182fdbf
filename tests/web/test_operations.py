"""Operations and their gradients in a tab, on WebGPU and on the CPU, against the native engine."""

from __future__ import annotations

from typing import Any

import neurenix as nx
import numpy as np
import pytest
from web.browser import Browser

RNG = np.random.default_rng(0)
TOLERANCE = {"cpu": 2e-6, "webgpu:0": 2e-5}
ROUGH = {"webgpu:0": dict.fromkeys(("sin", "cos", "tan"), 1e-3)}  # WGSL promises them to 2^-11 only


def numbers(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype("float32")


def positive(*shape: int) -> np.ndarray:
    return numbers(*shape, low=0.3, high=3.0)


NAMES = """neg abs sign square exp exp2 expm1 sin cos tanh sigmoid erf floor ceil round relu silu mish softsign
add sub mul minimum maximum eq ne lt le gt ge"""
UNARY, BINARY = (line.split() for line in NAMES.splitlines())
CASES: list[tuple[str, list[np.ndarray], list[Any]]] = [
    *((name, [numbers(3, 40)], []) for name in UNARY),
    *(
        (name, [positive(5, 7)], [])
        for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal")
    ),
    ("tan", [numbers(3, 40, low=-1.2, high=1.2)], []),
    *((name, [numbers(4, 1, 3), numbers(5, 3)], []) for name in BINARY),
    *(
        (name, [positive(4, 3), positive(3)], [])
        for name in ("div", "pow", "atan2", "floor_divide", "remainder")
    ),
    *((name, [numbers(6)], [1.5]) for name in ("add", "mul", "sub", "div")),
    *((name, [numbers(3, 4, 5)], [dim]) for name in ("sum", "mean", "max", "min") for dim in (0, 1, [0, 2])),
    ("sum", [numbers(70, 300)], []),
    ("prod", [positive(3, 4)], [1]),
    ("argmax", [numbers(3, 9)], [1]),
    ("argmin", [numbers(3, 9)], [0]),
    ("var", [numbers(3, 9)], [1]),
    ("cumsum", [numbers(3, 9)], [1]),
    *((name, [numbers(4, 11)], [dim]) for name in ("softmax", "log_softmax", "logsumexp") for dim in (0, 1)),
    ("matmul", [numbers(17, 33), numbers(33, 9)], []),
    ("matmul", [numbers(2, 5, 6), numbers(6, 4)], []),
    ("reshape", [numbers(3, 4)], [[2, -1]]),
    ("transpose", [numbers(3, 4)], [0, 1]),
    ("permute", [numbers(2, 3, 4)], [[2, 0, 1]]),
    ("expand", [numbers(3, 1)], [[3, 5]]),
    ("flip", [numbers(3, 4)], [[1]]),
    ("clamp", [numbers(3, 4)], [-0.5, 0.7]),
    ("gelu", [numbers(3, 4)], []),
    ("lerp", [numbers(3, 4), numbers(3, 4)], [0.3]),
]


def native(method: str, arrays: list[np.ndarray], further: list[Any]) -> list[np.ndarray]:
    """What Python's engine gives."""
    tensors = [nx.Tensor(array, requires_grad=array.dtype == np.float32) for array in arrays]
    if method == "gelu":
        result = nx.nn.functional.gelu(*tensors)
    else:
        name = {"max": "amax", "min": "amin"}.get(method, method)
        result = getattr(tensors[0], name)(*tensors[1:], *further)
    found = [result.detach().float().numpy()]
    if result.requires_grad:
        (result * result).sum().backward()
        found += [tensor.grad.numpy() for tensor in tensors if tensor.grad is not None]
    return found


@pytest.fixture(scope="module")
def found(browser: Browser, package: object) -> dict[str, list[Any]]:
    """The results of all cases by device."""

    def given(array: np.ndarray) -> dict[str, Any]:
        return {"values": array.ravel().tolist(), "shape": array.shape, "dtype": str(array.dtype)}

    cases = [(method, [given(array) for array in arrays], further) for method, arrays, further in CASES]
    return browser.run("operations.js", cases)


@pytest.mark.parametrize("device", TOLERANCE)
def test_a_tab_computes_what_python_does(found: dict[str, list[Any]], device: str) -> None:
    wrong = []
    for (method, arrays, further), results in zip(CASES, found[device], strict=True):
        expected = native(method, arrays, further)
        shapes = [array.shape for array in arrays]
        if isinstance(results, str) or len(results) != len(expected):
            wrong.append(f"{method} of {shapes}, {further}: {results}")
            continue
        tolerance = ROUGH.get(device, {}).get(method, TOLERANCE[device])
        for here, there in zip(results, expected, strict=True):
            error = np.abs(np.array(here) - there.ravel()).max()
            if not error <= tolerance * max(1.0, np.abs(there).max()):
                wrong.append(f"{method} of {shapes}, {further}: differs by {error}")
    assert not wrong, "\n".join(wrong)
