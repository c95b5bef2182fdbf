"""Plain C loops for the optimizer's step, compiled here and now with -O3 -march=native, on all cores."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import harness
import numpy as np

with tempfile.TemporaryDirectory() as folder:
    library = Path(folder) / "optimizer.so"
    flags = ["-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC", "-pthread"]
    source = Path(__file__).with_name("optimizer.c")
    subprocess.run(["cc", *flags, source, "-o", library, "-lm"], check=True)
    run_c = ctypes.CDLL(str(library)).run


class Tensor(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in "pmvg"] + [("size", ctypes.c_int64)]


def step(sizes, rule):
    random = np.random.default_rng(1)
    arrays = [[random.standard_normal(n, dtype="float32") ** 2 for _ in range(4)] for n in sizes]
    tensors = (Tensor * len(sizes))(
        *[Tensor(*(a.ctypes.data for a in four), len(four[0])) for four in arrays]
    )

    def run(n, keep=arrays):
        run_c(
            tensors,
            ctypes.c_int64(len(sizes)),
            ctypes.c_int64(n),
            ctypes.c_int64(harness.CORES),
            rule != "sgdm",
        )

    return run


version = subprocess.check_output(["cc", "-dumpversion"], text=True).strip()
harness.main("C", version, None, step, rules={"train": (), "step": harness.RULES["step"]})
