"""Nothing that Python can do ends the process: races, short memory, typed private functions, forks."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import neurenix as nx
import neurenix._phynexus as engine
import pytest


def run(code: str, *arguments: object, seconds: float = 60) -> str:
    """What a program prints; it must end well."""
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# Indices that another thread writes while they are used
RACE = """
    import sys, threading, time
    import numpy as np
    import neurenix as nx
    from neurenix.nn import functional as F

    values = np.zeros(500_000, "i8")
    index = nx.from_numpy(values)
    table, source = nx.ones(1000, 2), nx.ones(500_000)
    line, out = nx.ones(1000), nx.zeros(1000)

    def write():
        while True:
            values[-1000:] = 2**40
            values[-1000:] = 0
            index.fill_(-(2**40))
            index.fill_(0)

    threading.Thread(target=write, daemon=True).start()
    work = {
        "gather": lambda: line.gather(0, index),
        "embedding": lambda: F.embedding(index, table),
        "index_select": lambda: table.index_select(0, index),
        "getitem": lambda: table[index],
        "scatter_add": lambda: out.scatter_add(0, index, source),
        "scatter": lambda: out.scatter(0, index, source),
        "setitem": lambda: line.__setitem__(index, source),
        "one_hot": lambda: F.one_hot(index[:10_000], 3),
        "cross_entropy": lambda: F.cross_entropy(nx.zeros(500_000, 2), index),
    }[sys.argv[1]]
    seen = set()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            work()
            seen.add("done")
        except (IndexError, ValueError):
            seen.add("refused")
    print(*sorted(seen))
"""


@pytest.mark.parametrize(
    "operation",
    [
        *("gather", "embedding", "index_select", "getitem", "scatter_add", "scatter", "setitem"),
        *("one_hot", "cross_entropy"),
    ],
)
def test_indices_that_change_meanwhile(operation: str) -> None:
    assert run(RACE, operation).split()


def test_an_index_out_of_range_is_named_and_nothing_is_written() -> None:
    x, index = nx.zeros(5), nx.tensor([0, 7, -9])
    with pytest.raises(
        IndexError, match="index 7 is out of range for size 5 of dimension 0, expected 0 to 4"
    ):
        nx.ones(5).gather(0, index)
    with pytest.raises(IndexError, match="index 7 is out of range"):
        x.scatter_add_(0, index, nx.ones(3))
    assert x.tolist() == [0.0] * 5
    many = nx.zeros(200_000, dtype="int64")
    many[150_000], many[170_000] = 8, 9
    with pytest.raises(IndexError, match="index 8 is out of range"):  # the first, whatever thread found it
        nx.ones(5).gather(0, many)


# Typed private functions
@pytest.mark.parametrize(
    "name", ["relu", "softmax", "where", "clamp", "huber", "smooth_l1", "add_scaled", "isnan"]
)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_loss_takes_what_its_operation_takes(name: str, reduction: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: takes . tensors and . numbers, got 2 and 0"):
        engine.elementwise_loss(name, nx.ones(4), nx.ones(4), reduction)


def test_a_comparison_is_no_loss() -> None:
    with pytest.raises(TypeError, match="eq is no loss"):
        engine.elementwise_loss("eq", nx.ones(4), nx.ones(4), "mean")
    with pytest.raises(TypeError, match="squared_error: takes 2 tensors and 0 numbers, got 2 and 1"):
        engine.elementwise_loss("squared_error", nx.ones(4), nx.ones(4), "mean", 1.0)


@pytest.mark.parametrize("node", ["scalar", "constant", "length"])
def test_a_formula_that_is_one_number_makes_no_tensor(node: str) -> None:
    graph = engine.Graph()
    graph.input("float32")
    made = {
        "scalar": lambda: graph.scalar("float32"),
        "constant": lambda: graph.constant("float32", 1.0),
        "length": graph.length,
    }[node]()
    numbers = [2.0] if node == "scalar" else []
    with pytest.raises(ValueError, match="result 0 of the formula is one number for all elements"):
        graph.finish([made]).apply([nx.ones(17, 300)], ["float32"], numbers)


def test_a_formula_stores_its_results_as_what_they_are() -> None:
    graph = engine.Graph()
    formula = graph.finish([graph.input("int64")])
    with pytest.raises(TypeError, match="result 0 of the formula is .*, which cannot be stored as bool"):
        formula.apply([nx.ones(17, 300).long()], ["bool"], [])
    with pytest.raises(TypeError, match="cannot be stored as float32"):
        formula.apply([nx.ones(17, 300).long()], ["float32"], [])
    assert formula.apply([nx.full((3,), 7)], ["int64"], [])[0].tolist() == [7, 7, 7]


# Recording
@pytest.mark.parametrize(
    "function", [lambda x: x.nonzero(), lambda x: x[x > 0], lambda x: x.masked_fill(x > 0, 0.0)[x > 1]]
)
def test_shapes_that_depend_on_values_are_not_recorded(function) -> None:
    with pytest.raises(RuntimeError, match="shape depends on values: that cannot be recorded"):
        engine.record(function, [nx.ones(3)])
    assert function(nx.ones(3)) is not None  # and recording has ended


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x.sum().item(),
        lambda x: x if (x > 0).all() else -x,
        lambda x: x * float(x[0]),
        lambda x: nx.Tensor((x * 2).tolist()),
        lambda x: nx.from_numpy((x * 2).numpy()),
    ],
)
def test_values_are_not_read_while_they_are_recorded(function) -> None:
    with pytest.raises(RuntimeError, match="cannot be read while it is recorded"):
        engine.record(function, [nx.ones(3)])
    outside = nx.Tensor([2.0])  # a constant of the program may be read
    program = engine.record(lambda x: x * outside.item(), [nx.ones(3)])
    assert program.replay([nx.full((3,), 5.0)])[0].tolist() == [10.0] * 3


# Short memory: an exception each time, however little there is
SHORT = """
    import pickle, resource, sys
    import neurenix as nx

    many = nx.zeros(30_000_000, dtype="uint8")
    floats = nx.arange(2_000_000).float()
    close = nx.arange(2_000_000).double() * 2.0**-52 + 1.0  # the upper halves of all but the first are equal
    close[0] = -1.0
    rows = nx.RowSparse(nx.arange(2_000_000) % 1000, nx.ones(2_000_000, 1), (1000, 1))
    square = nx.eye(700)
    work = {
        "tobytes": lambda: many.tobytes(),
        "pickle": lambda: pickle.dumps(many),
        "sort": lambda: floats.sort(),
        "sort close": lambda: close.sort(),
        "topk": lambda: floats.topk(900_000),
        "argsort": lambda: many.argsort(),
        "coalesce": lambda: rows.coalesce(),
        "dense": lambda: rows.to_dense(),
        "svd": lambda: nx.linalg.svd(square),
        "qr": lambda: nx.linalg.qr(square),
        "eigh": lambda: nx.linalg.eigh(square),
        "tolist": lambda: floats.tolist(),
        "randperm": lambda: nx.randperm(2_000_000),
        "matmul": lambda: square @ square,
    }[sys.argv[1]]
    outcomes = []
    for room in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 600):
        used = int([l for l in open("/proc/self/status") if l.startswith("VmSize")][0].split()[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (used + room * 1_000_000, resource.RLIM_INFINITY))
        try:
            work()
            outcomes.append("done")
        except MemoryError:
            outcomes.append("MemoryError")
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    print(*outcomes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory as Linux has them")
@pytest.mark.parametrize(
    "work",
    [
        *("tobytes", "pickle", "sort", "sort close", "topk", "argsort", "coalesce", "dense", "svd", "qr"),
        *("eigh", "tolist", "randperm", "matmul"),
    ],
)
def test_short_memory_is_an_exception(work: str) -> None:
    assert run(SHORT, work).split()[-1] == "done"


# Forks
def test_forks_while_kernels_are_made() -> None:
    """A child of a process that is compiling computes what its parent does, and does not wait for its threads."""
    code = """
        import os, random, threading, time
        import neurenix as nx

        names = ["exp", "log1p", "sqrt", "sin", "tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "mish", "atan"]
        rows = ["softmax", "log_softmax", "cumsum", "sort", "norm", "std", "var", "logsumexp"]
        inputs = [nx.ones(2000).to(d) for d in ("float32", "float64", "float16", "bfloat16")]

        def use():
            for x in inputs:
                for name in names:
                    getattr(x, name)()
                for name in rows:
                    getattr(x, name)(0)
                w = x.float().requires_grad_()
                for name in names:
                    getattr(w, name)().sum().backward()

        random.seed(0)
        threading.Thread(target=use, daemon=True).start()
        children = []
        for _ in range(60):
            time.sleep(random.random() * 0.003)
            child = os.fork()
            if child == 0:
                use()
                os._exit(0)
            children.append(child)
            if len(children) > 8:
                os.waitpid(children.pop(0), 0)
        for child in children:
            os.waitpid(child, 0)
        print("ended")
    """
    assert run(code, seconds=120) == "ended\n"
