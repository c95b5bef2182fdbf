"""What the machine gives at most: memory bandwidth and float32 matrix products, by NumPy on all cores."""

import json
from concurrent.futures import ThreadPoolExecutor

import harness
import numpy as np


def say(workload, **fields):
    print(
        json.dumps({"peer": "limit", "version": f"numpy {np.__version__}", "workload": workload, **fields}),
        flush=True,
    )


a, b = (np.ones(20_000_000, "float32") for _ in range(2))
parts = list(zip(np.array_split(a, harness.CORES), np.array_split(b, harness.CORES), strict=True))
with ThreadPoolExecutor(harness.CORES) as pool:

    def update(n):
        for _ in range(n):
            list(pool.map(lambda part: np.add(*part, out=part[0]), parts))

    say("update a += b", gb_per_s=round(12 * a.size / harness.clock(update) / 1e9, 1))
for m, k, n in [(256, 1024, 1024), (2048, 2048, 2048)]:
    x, y, out = np.ones((m, k), "float32"), np.ones((k, n), "float32"), np.empty((m, n), "float32")

    def product(repeats, x=x, y=y, out=out):
        for _ in range(repeats):
            np.dot(x, y, out=out)

    say(f"product {m}x{k}x{n}", gflop_per_s=round(2 * m * k * n / harness.clock(product) / 1e9))
