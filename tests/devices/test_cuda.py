"""What only CUDA has: memory that libraries share, and the vendor's products. Runs on a simulated GPU, too."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import neurenix
import numpy as np
import pytest
from neurenix import Tensor, nn

CUDA = [str(device) for device in neurenix.get_available_devices() if device.type == "cuda"]
pytestmark = pytest.mark.skipif(not CUDA, reason="no GPU of NVIDIA is there, and none is simulated")


class Foreign:
    """A tensor of another library: what it is asked for, it notes."""

    def __init__(self, of: Tensor, versions: bool = True) -> None:
        self.of, self.versions, self.streams = of, versions, []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.of.__dlpack_device__()

    def __dlpack__(self, *, stream=None, **options):
        if options and not self.versions:
            raise TypeError("max_version is not known here")
        self.streams.append(stream)
        return self.of.__dlpack__(stream=1, **options)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int64", "bool"])
@pytest.mark.parametrize("versions", [True, False])
def test_memory_is_shared_both_ways(dtype, versions):
    """Capsules from before versions do not say whether they may be written: those are copied."""
    x = neurenix.arange(12, device="cuda").reshape(3, 4).to(dtype)
    source = Foreign(x.T[1:], versions)
    y = neurenix.from_dlpack(source)
    assert y.device == x.device
    assert y.dtype == x.dtype
    assert (y.data_ptr() == x.T[1:].data_ptr()) is versions
    assert y.cpu().tolist() == x.cpu().T[1:].tolist()
    assert source.streams[0] > 2, "the importer says on which stream it works"
    expected = neurenix.zeros(3, 3, dtype=dtype) if versions else x.cpu()[:, 1:]
    y.zero_()
    assert x.cpu()[:, 1:].tolist() == expected.tolist()
    del y, source
    gc.collect()
    assert x.cpu()[0, 0].item() == 0


def test_memory_lives_as_long_as_its_last_user():
    before = neurenix.memory_usage("cuda").current
    y = neurenix.from_dlpack(Foreign(neurenix.full((1000,), 3.0, device="cuda")))
    others = [neurenix.zeros(1000, device="cuda") for _ in range(8)]
    assert (y.cpu() == 3).all().item()
    del y, others
    gc.collect()
    assert neurenix.memory_usage("cuda").current == before


def test_streams_follow_and_end(monkeypatch, capfd):
    monkeypatch.setenv("SIMULATED_LOG", "1")
    x = neurenix.ones(4, device="cuda")

    def ordered(**options):
        capsule = x.__dlpack__(**options)
        del capsule
        gc.collect()
        return capfd.readouterr().err.splitlines()

    simulated = "simulated" in x.device.name
    for stream, waits in ((None, 1), (1, 1), (2, 2), (4096, 4096)):
        if simulated or stream in (None, 1, 2):
            said = ordered(stream=stream)
            assert not simulated or said == [f"stream {waits} waits", "all wait"]
    said = ordered(stream=-1)
    assert not simulated or said == ["all wait"]
    for stream in (0, -2):
        with pytest.raises(BufferError, match=f"{stream} is no stream of cuda:0"):
            x.__dlpack__(stream=stream)


def test_a_copy_on_the_host_where_that_is_asked_for():
    x = Tensor([1.0, 2.0], device="cuda")

    class Host:
        def __dlpack_device__(self):
            return 1, 0

        def __dlpack__(self, **options):
            return x.__dlpack__(dl_device=(1, 0))

    assert np.from_dlpack(Host()).tolist() == [1, 2]
    for refused in ({"dl_device": (1, 0), "copy": False}, {"dl_device": (10, 0)}):
        with pytest.raises(BufferError, match="without a copy"):
            x.__dlpack__(**refused)
    with pytest.raises(BufferError, match="detach"):
        Tensor([1.0], device="cuda", requires_grad=True).__dlpack__()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("to", ["int32", "int64", "uint8"])
def test_what_no_integer_holds_becomes_the_nearest_one(dtype, to):
    x = Tensor(
        [float("nan"), float("inf"), -float("inf"), 1e20, -1e20, 2.0**31, -(2.0**63), -2.7], dtype=dtype
    )
    assert x.to("cuda").to(to).cpu().tolist() == x.to(to).tolist()


@pytest.fixture
def fast():
    neurenix.set_float32_matmul_precision("high")
    yield
    neurenix.set_float32_matmul_precision("highest")


def test_products_are_exact_unless_something_else_was_said(rng, request):
    a, b = (rng.normal(size=(40, 40)).astype("float32") for _ in range(2))
    expected = a.astype(float) @ b

    def error():
        return np.abs(np.array((Tensor(a, device="cuda") @ Tensor(b, device="cuda")).cpu()) - expected).max()

    assert error() < 1e-5
    request.getfixturevalue("fast")
    assert 2e-4 < error() < 0.05


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_the_library_knows_transposed_batched_and_cut_matrices(dtype, monkeypatch, capfd, rng):
    monkeypatch.setenv("SIMULATED_LOG", "1")
    cases = 0
    for m, k, n in [(3, 4, 5), (1, 7, 2), (6, 1, 3), (2, 3, 1), (17, 33, 9)]:
        for lead, other in [((), ()), ((3,), (3,)), ((2, 1), (3,)), ((3,), ())]:
            a, b = (rng.integers(-3, 4, shape).astype("float64") for shape in ((*lead, m, k), (*other, k, n)))
            left, right = (Tensor(x, device="cuda").to(dtype) for x in (a, b))
            wide = neurenix.cat([right, right * 0], -1)[..., :n]  # rows that do not follow each other
            for x in (left, left.mT.contiguous().mT):
                for y in (right, right.mT.contiguous().mT, wide):
                    assert np.array_equal(np.array((x @ y).double().cpu()), a @ b), (x.shape, y.shape)
                    cases += 1
    if "simulated" in neurenix.Device("cuda").name:
        assert capfd.readouterr().err.count("product ") == cases


def test_the_library_computes_large_layers_and_what_follows_them(monkeypatch, capfd, rng):
    monkeypatch.setenv("SIMULATED_LOG", "1")
    gradients = {}
    for device in ("cpu", "cuda"):
        neurenix.manual_seed(0)
        model = nn.Sequential(nn.Linear(512, 400), nn.Tanh(), nn.Linear(400, 400)).to(device)
        x = Tensor(np.random.default_rng(0).normal(size=(420, 512)), dtype="float32", device=device)
        (model(x) ** 2).mean().backward()
        gradients[device] = [np.array(p.grad.cpu()) for p in model.parameters()]
    for found, expected in zip(gradients["cuda"], gradients["cpu"], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    if "simulated" in neurenix.Device("cuda").name:
        assert capfd.readouterr().err.count("product 1 ") == 5


def elsewhere(code: str, **machine: str) -> list[str]:
    """What a process says on a machine with other GPUs, or in other circumstances."""
    if "simulated" not in neurenix.Device("cuda").name:
        pytest.skip("the GPUs that are there cannot be changed")
    done = subprocess.run(
        [sys.executable, "-c", f"import neurenix\n{code}"],
        env={**os.environ, **machine},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_two_gpus_compute_what_is_theirs():
    code = """
for device in ("cuda:1", "cuda:0", "cuda:1"):
    x = neurenix.ones(2, 3, device=device)
    print((x @ x.T + x.sum()).cpu().tolist(), x.device)
"""
    said = elsewhere(code, SIMULATED_DEVICES="2")
    assert said == [f"[[9.0, 9.0], [9.0, 9.0]] {device}" for device in ("cuda:1", "cuda:0", "cuda:1")]


def test_a_gpu_newer_than_the_compiler():
    code = "print(neurenix.ones(3, device='cuda').sum().item())"
    assert elsewhere(code, SIMULATED_GENERATION="121") == ["3.0"]


def test_a_gpu_whose_library_lacks_a_type():
    code = "x = neurenix.ones(2, 3, dtype='bfloat16', device='cuda')\nprint((x @ x.T).float().cpu().tolist())"
    assert elsewhere(code, SIMULATED_GENERATION="75") == ["[[3.0, 3.0], [3.0, 3.0]]"]


def test_a_forked_child_is_told_what_is_wrong():
    code = """
import os
x = neurenix.ones(3, device="cuda")
if child := os.fork():
    os.waitpid(child, 0)
else:
    try:
        x + 1
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
"""
    (said,) = elsewhere(code)
    assert "forked" in said
    assert "spawn" in said
