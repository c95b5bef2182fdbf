"""Every operation, gradient, dtype and optimizer on each GPU gives what the CPU gives in float64."""

from __future__ import annotations

import copy

import neurenix
import numpy as np
import pytest
from devices.gpus import TOLERANCE, each_gpu
from neurenix import Tensor, nn
from neurenix.testing import assert_close
from op_table import OPS
from optim.test_conformance import RECORDS

FLOATS, HALVES, INTEGERS = ["float32"], ["float16", "bfloat16"], ["int32", "int64", "uint8"]


def on(gpu, op, *xs):
    """The results of an operation whose fixed operands are moved, too."""
    extra = tuple(e.to(gpu) if isinstance(e, Tensor) else e for e in op.extra)
    outputs = op.call(*xs, *extra)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def unless_refused(gpu, op, xs):
    try:
        return on(gpu, op, *xs), ""
    except TypeError as error:
        return [], str(error)


def compare(found, expected, dtype, gpu, scale=1.0):
    rtol, atol = TOLERANCE[dtype]
    for y, reference in zip(found, expected, strict=True):
        assert y.device == neurenix.Device(gpu)
        assert tuple(y.shape) == reference.shape
        y = y.cpu()
        y = y.double() if y.dtype.is_floating_point else y.long()
        assert_close(y.double(), np.asarray(reference, np.float64), rtol=scale * rtol, atol=scale * atol)


@each_gpu
@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        pytest.param(op, dtype, id=f"{op.name} {dtype}")
        for op in OPS
        for dtype in FLOATS + HALVES * op.half + INTEGERS * op.integers
    ],
)
def test_values(gpu, op, dtype, rng):
    inputs = op.inputs("int32" if dtype == "uint8" else dtype, rng)
    if dtype == "uint8":
        inputs = [x.abs().to("uint8") for x in inputs]
    floating = neurenix.DType(dtype).is_floating_point
    with np.errstate(all="ignore"):
        if dtype == "uint8":  # wraps, as NumPy does not always
            expected = [np.array(y) for y in op.run(*inputs)]
        else:
            expected = op.expect(*(np.array(x.double() if floating else x) for x in inputs))
    found, refusal = unless_refused(gpu, op, [x.to(gpu) for x in inputs])
    if (
        refusal
    ):  # what a GPU cannot compute in 64 bits it says, with what it can; it never computes something else
        assert not floating
        assert "int32" in refusal
        pytest.skip(f"refused: {refusal}")
    scale = 4 if neurenix.DType(dtype).itemsize == 2 else 1
    compare(found, expected, dtype, gpu, scale)


@each_gpu
@pytest.mark.parametrize("op", [op for op in OPS if op.order], ids=lambda op: op.name)
def test_gradients(gpu, op, rng):
    inputs = op.inputs("float32", rng)
    exact = [x.double().requires_grad_() for x in inputs]
    outputs = [y for y in op.run(*exact) if y.requires_grad]
    weights = [rng.uniform(-1, 1, y.shape) for y in outputs]
    sum((y * Tensor(w)).sum() for y, w in zip(outputs, weights, strict=True)).backward()
    moved = [x.to(gpu).requires_grad_() for x in inputs]
    outputs = [y for y in on(gpu, op, *moved) if y.requires_grad]
    pairs = zip(outputs, weights, strict=True)
    sum((y * Tensor(w, dtype="float32", device=gpu)).sum() for y, w in pairs).backward()
    compare([x.grad for x in moved], [np.array(x.grad) for x in exact], "float32", gpu, scale=4)


def transposed(x):
    return Tensor(np.ascontiguousarray(np.array(x.cpu()).T), device=x.device).T


def strided(x):
    return Tensor(np.repeat(np.array(x.cpu()), 2, axis=-1), device=x.device)[..., ::2]


@each_gpu
@pytest.mark.parametrize("op", [op for op in OPS if op.name != "view"], ids=lambda op: op.name)
def test_views_give_the_same(gpu, op, rng):
    plain = [x.to(gpu) for x in op.inputs("float32", rng)]
    expected = [np.array(y.cpu()) for y in on(gpu, op, *plain)]
    for view in (transposed, strided):
        compare(on(gpu, op, *map(view, plain)), expected, "float32", gpu, scale=0.1)


@each_gpu
@pytest.mark.parametrize("shape", [(300,), (3, 1000), (70, 33, 5), (5, 70_000)])
def test_sizes_beyond_a_group(gpu, shape, rng):
    x = rng.normal(size=shape).astype("float32")
    there, exact = Tensor(x, device=gpu), x.astype(float)
    sums = [exact.sum(), exact.sum(0), exact.max(-1)]
    compare([there.sum(), there.sum(0), there.max(-1).values], sums, "float32", gpu, scale=20)
    maps = [np.array(Tensor(exact).softmax(-1)), np.exp(exact * 2 + 1)]
    compare([there.softmax(-1), (there * 2 + 1).exp()], maps, "float32", gpu, scale=4)
    places = [x.argmax(-1), exact.cumsum(-1)]
    compare([there.argmax(-1), there.cumsum(-1)], places, "float32", gpu, scale=50)


@each_gpu
def test_random_numbers_are_the_cpus(gpu):
    for make in (neurenix.rand, neurenix.randn):
        there, here = (make(1000, generator=neurenix.Generator(3), device=d) for d in (gpu, "cpu"))
        compare([there], [np.array(here)], "float32", gpu)
    uniform = [neurenix.rand(999, generator=neurenix.Generator(5), device=d).cpu() for d in (gpu, "cpu")]
    assert np.array_equal(*map(np.array, uniform))
    whole = [
        neurenix.randint(-5, 90, (777,), generator=neurenix.Generator(5), device=d).cpu()
        for d in (gpu, "cpu")
    ]
    assert np.array_equal(*map(np.array, whole))
    orders = [neurenix.randperm(99, generator=neurenix.Generator(7), device=d) for d in (gpu, "cpu")]
    assert orders[0].device.type != "cpu"
    assert orders[0].tolist() == orders[1].tolist()


@each_gpu
def test_a_bad_index_is_an_error_when_something_is_read(gpu):
    x = neurenix.ones(3, 4, device=gpu)
    with pytest.raises(IndexError, match="index 7 is out of range for size 3"):
        x.index_select(0, Tensor([0, 7], device=gpu)).cpu()
    assert x.sum().item() == 12  # and then forgotten


@each_gpu
def test_what_is_not_there_is_said(gpu):
    with pytest.raises(TypeError, match="float32"):
        neurenix.zeros(2, dtype="float64", device=gpu)
    with pytest.raises(TypeError, match="float32"):
        Tensor([1.0], dtype="float64").to(gpu)
    assert Tensor([1.0], dtype="float64").to(gpu, "float32").dtype == neurenix.float32
    with pytest.raises(TypeError, match="int32"):
        Tensor([1, 2], device=gpu) ** Tensor([1, 2], device=gpu)
    large = Tensor([2**30, -(2**30)], device=gpu)
    assert (large - 1 + Tensor([1, 2], device=gpu)).tolist() == [2**30, 1 - 2**30]
    for overflows in (lambda x: x + x, lambda x: x * 4, lambda x: x - 2 * 2**30, lambda x: x * -2):
        with pytest.raises(ValueError, match="int32"):
            overflows(large).tolist()
    with pytest.raises(RuntimeError, match=rf"cpu and {gpu}|{gpu}.* and cpu"):
        Tensor([1.0]) + Tensor([1.0], device=gpu)
    with pytest.raises((BufferError, RuntimeError), match=r"\.cpu\(\)|[Uu]nsupported device"):
        np.from_dlpack(Tensor([1.0], device=gpu))
    with pytest.raises(MemoryError):
        neurenix.zeros(1 << 38, device=gpu)
    assert np.array_equal(Tensor([2**40, -1], device=gpu).cpu().numpy(), [2**40, -1])


def record_step(record, optimizer, params, step):
    def closure():
        optimizer.zero_grad()
        loss = sum(((param - 0.3) ** 2 * (k + 1)).sum() for k, param in enumerate(params))
        loss.backward()
        return loss

    if record.advance is not None:
        record.advance(optimizer, closure, step)
    elif record.closure:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


LOOSE = {"SOAP": 3e-3}
"""Rules that amplify the last digit: of eigenvectors of nearly equal eigenvalues nearly any will do."""


def trained(record, device, dtype="float32"):
    neurenix.manual_seed(0)
    rng = np.random.default_rng(0)
    params = [
        Tensor(rng.uniform(-1, 1, shape), dtype=dtype, device=device, requires_grad=True)
        for shape in record.shapes
    ]
    optimizer = record.build(params)
    for step in range(3):
        record_step(record, optimizer, params, step + 1)
    return [np.array(param.detach().cpu().double()) for param in params]


@each_gpu
@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_optimizers(gpu, record):
    tolerance = next((loose for name, loose in LOOSE.items() if str(record).startswith(name)), 3e-4)
    for found, expected in zip(trained(record, gpu), trained(record, "cpu"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def mlp(device):
    neurenix.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    return model.to(device)


@each_gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_moves_trains_and_comes_back(gpu, dtype, rng, tmp_path):
    x, y = rng.normal(size=(32, 8)).astype("float32"), rng.integers(0, 4, 32)
    losses = {}
    for device in ("cpu", gpu):
        model = mlp(device).to(dtype)
        assert {p.device for p in model.parameters()} == {neurenix.Device(device)}
        optimizer = neurenix.optim.AdamW(model.parameters(), lr=0.01)
        inputs, labels = Tensor(x, device=device).to(dtype), Tensor(y, device=device)
        losses[device] = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            losses[device].append(loss.item())
    assert losses[gpu] == pytest.approx(losses["cpu"], abs=1e-4 if dtype == "float32" else 0.05)
    assert losses[gpu][-1] < losses[gpu][0]
    path = tmp_path / "model.safetensors"
    neurenix.save(model.state_dict(), path)
    other = mlp("cpu").to(dtype)
    other.load_state_dict(neurenix.load(path))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert b.device == neurenix.Device("cpu")
        assert np.array_equal(np.array(a.detach().cpu().float()), np.array(b.detach().float()))
    for state, source in ((model.state_dict(), other), (other.state_dict(), model)):
        source.load_state_dict(state)
    moved = optimizer.state_dict()
    again = neurenix.optim.AdamW(other.parameters(), lr=0.01)
    again.load_state_dict(moved)
    assert all(p.device == neurenix.Device("cpu") for p in other.parameters())


@each_gpu
def test_parameters_on_several_devices_are_one_optimizer(gpu):
    params = [Tensor([1.0, 2.0], device=d, requires_grad=True) for d in ("cpu", gpu)]
    optimizer = neurenix.optim.Adam(params, lr=0.1)
    for _ in range(3):
        for p in params:
            p.grad = p.detach() * 2
        optimizer.step()
    assert [str(p.device) for p in params] == ["cpu", gpu]
    np.testing.assert_allclose(*(np.array(p.detach().cpu()) for p in params), rtol=1e-5)


@each_gpu
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("devices", ["both", "moving"])
def test_lbfgs_goes_on_over_devices(gpu, search, devices):
    """Parameters on several, and ones that move between two steps."""

    def run(place, then):
        params = [Tensor([1.0, 2.0]), Tensor([3.0], device=place)]
        for p in params:
            p.requires_grad_()
        optimizer = neurenix.optim.LBFGS(params, lr=0.3, max_iter=2, line_search_fn=search)

        def closure():
            optimizer.zero_grad()
            a, b = (p.to("cpu") for p in params)
            loss = ((a - b) ** 4).sum() + (b**2).sum()
            loss.backward()
            return loss

        for device in ("cpu", then, then):
            params[0].to(device, inplace=True)
            optimizer.step(closure)
        assert [str(p.device) for p in params] == [then, place]
        return np.concatenate([np.array(p.detach().cpu()) for p in params])

    found = run(gpu, "cpu") if devices == "both" else run("cpu", gpu)
    np.testing.assert_allclose(found, run("cpu", "cpu"), rtol=1e-4)


@each_gpu
def test_parameters_are_made_and_copied_where_their_data_are(gpu):
    model = neurenix.nn.Sequential(
        neurenix.nn.Linear(3, 4, device=gpu), neurenix.nn.BatchNorm1d(4, device=gpu)
    )
    made = [*model.parameters(), *model.buffers(), neurenix.nn.Parameter(neurenix.ones(2, device=gpu))]
    assert {str(t.device) for t in made} == {gpu}
    optimizer = neurenix.optim.AdamW(model.parameters())
    model(neurenix.randn(5, 3, device=gpu)).square().sum().backward()
    optimizer.step()
    twin, other = copy.deepcopy((model, optimizer))
    average = neurenix.optim.swa_utils.AveragedModel(model)
    for copied in (twin, average):
        assert {str(t.device) for t in [*copied.parameters()]} == {gpu}
    other.step()
    assert {str(t.device) for t in other.state[twin[0].weight].values() if isinstance(t, Tensor)} == {gpu}


@each_gpu
def test_gradients_on_several_devices_are_clipped_together(gpu):
    params = [Tensor([3.0], device=d, requires_grad=True) for d in ("cpu", gpu)]
    for p, value in zip(params, (3.0, 4.0), strict=True):
        p.grad = Tensor([value], device=p.device)
    assert neurenix.nn.utils.clip_grad_norm_(params, 1.0).item() == pytest.approx(5)
    assert [p.grad.item() for p in params] == pytest.approx([0.6, 0.8])


@each_gpu
def test_moving_keeps_the_gradient(gpu):
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x.to(gpu) * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert x.grad.device == neurenix.Device("cpu")
    leaf = Tensor([1.0], requires_grad=True)
    leaf.grad = Tensor([5.0])
    assert leaf.to(gpu, inplace=True) is leaf
    assert str(leaf.device) == str(leaf.grad.device) == gpu
    assert leaf.is_leaf
    assert leaf.requires_grad


@each_gpu
def test_a_training_step_is_one_submission_of_few_kernels(gpu, rng):
    model = mlp(gpu)
    optimizer = neurenix.optim.AdamW(model.parameters(), lr=0.01)
    x, y = (
        Tensor(rng.normal(size=(32, 8)), dtype="float32", device=gpu),
        Tensor(rng.integers(0, 4, 32), device=gpu),
    )

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step().item()
    with neurenix.profile(gpu) as counted:
        step().item()
    assert counted.submissions == 1
    assert counted.waits == 1
    assert counted.kernels == 12
    assert counted.downloaded == 4


@each_gpu
@pytest.mark.parametrize(("name", "options", "most"), [
    ("LAMB", {}, 3), ("AdamP", {}, 2), ("SGD", {"nonfinite": "skip"}, 2), ("SGD", {"clip_norm": 1.0}, 2),
])  # fmt: skip
def test_a_step_waits_for_all_tensors_at_once(gpu, name, options, most):
    params = [Tensor.randn(4, 3, device=gpu, requires_grad=True) for _ in range(9)]
    for param in params:
        param.grad = Tensor.randn(4, 3, device=gpu)
    optimizer = getattr(neurenix.optim, name)(params, lr=0.1, **options)
    optimizer.step()
    with neurenix.profile(gpu) as counted:
        optimizer.step()
        neurenix.synchronize(gpu)
    assert 0 < counted.waits <= most


@each_gpu
def test_tanh_of_small_numbers_keeps_its_digits(gpu):
    x = np.concatenate([s * np.logspace(-30, 2, 999, dtype="float32") for s in (-1, 1)])
    np.testing.assert_allclose(Tensor(x, device=gpu).tanh().numpy(), np.tanh(x.astype("float64")), rtol=2e-6)


@each_gpu
def test_a_leaf_that_was_moved_after_the_forward_pass_is_an_error(gpu):
    leaf = Tensor([1.0], requires_grad=True)
    loss = (leaf * 2).sum()
    leaf.to(gpu, inplace=True)
    with pytest.raises(RuntimeError, match=f"moved from cpu to {gpu} after the forward pass"):
        loss.backward()
    assert leaf.grad is None
    assert str(Tensor([1]).type_as(leaf).device) == gpu
