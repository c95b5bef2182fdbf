"""Operations one by one beside PyTorch's, on one thread: milliseconds of both, and the quotient.

Needs torch. Both libraries run the same line of Python in one process, by turns; the least of many repetitions counts.
"""

import argparse
import time

import neurenix as nx
import numpy as np
import torch

LIMIT = 1.2


def listed(text):
    """The lines of Python that stand between semicolons."""
    return [" ".join(line.split()) for line in text.split(";")]


ELEMENTWISE = listed(
    """
    -a; a.abs(); a.sign(); a.square(); a.reciprocal(); a.exp(); a.exp2(); a.expm1(); p.log(); p.log2(); p.log10();
    p.log1p(); p.sqrt(); p.rsqrt(); a.sin(); a.cos(); a.tan(); u.asin(); u.acos(); a.atan(); a.tanh(); a.sigmoid();
    a.erf(); a.floor(); a.ceil(); a.trunc(); a.round(); a.round(decimals=2); F.relu(a); F.leaky_relu(a); F.elu(a);
    F.gelu(a); F.gelu(a, approximate='tanh'); F.silu(a); F.mish(a); F.softplus(a); F.softsign(a); a.clamp(-1, 1);
    a.clamp(min=0); a.logical_not(); a.isnan(); a.isinf(); a.isfinite(); a + b; a - b; a * b; a / b; a // b; a % b;
    p ** b; T.minimum(a, b); T.maximum(a, b); T.atan2(a, b); T.add(a, b, alpha=2); a == b; a != b; a < b; a <= b;
    T.isclose(a, b); T.logical_and(a, b); T.where(m, a, b); T.lerp(a, b, 0.3); a + 1; 2 * a; a / 3; 1 / a; a > 0;
    a + row; a * column; F.mse_loss(a, b); F.l1_loss(a, b); F.smooth_l1_loss(a, b); F.huber_loss(a, b);
    F.binary_cross_entropy(v, w); F.binary_cross_entropy_with_logits(a, w); F.kl_div(a, w); F.softmax(a, 1);
    F.log_softmax(a, 1); a.softmax(0); a.logsumexp(1); F.layer_norm(a, (1000,)); F.cross_entropy(a, labels);
    F.cross_entropy(s, few); F.softmax(s, 1)
    """
)
POWERS = [f"a ** {e}" for e in (0, 1, 2, 3, 4, 5, 8, -1, -2, -3)]
POWERS += [f"p ** {e}" for e in (0.5, 1.5, -0.5, 1 / 3, 2.5, 0.3)] + ["a.pow(2.0)", "2 ** a", "n ** 2"]
POWERS += [f"(g ** {e}).sum().backward()" for e in (2, 3, -1)] + ["(h ** 0.5).sum().backward()"]
GRADIENTS = listed(
    """
    (g.exp()).sum().backward(); (h.log()).sum().backward(); (h.sqrt()).sum().backward(); (g.tanh()).sum().backward();
    (g.sigmoid()).sum().backward(); (F.gelu(g)).sum().backward(); (F.silu(g)).sum().backward();
    (F.relu(g)).sum().backward(); (g.abs()).sum().backward(); F.cross_entropy(g, labels).backward();
    F.softmax(g, 1).square().sum().backward(); g.max().backward(); g.std().backward(); (g * g).sum().backward()
    """
)
REDUCED = {
    "a": ("sum", "mean", "amax", "amin", "argmax", "norm", "std"),
    "d": ("sum", "mean", "amax", "argmax"),
    "e": ("sum", "mean", "amax"),
    "n": ("sum", "amax", "amin", "argmax"),
    "i": ("sum", "amax", "argmax"),
    "k": ("sum", "amax"),
    "m": ("sum", "any", "all"),
}
REDUCTIONS = [f"{x}.{f}({axis})" for x, fs in REDUCED.items() for f in fs for axis in ("", "dim=0", "dim=1")]
REDUCTIONS += listed(
    """
    a.prod(); a.prod(1); n.prod(); n.prod(1); a.cumsum(0); a.cumsum(1); n.cumsum(1); a.max(1); a.min(0); n.max();
    a.var(1); (n == 3).sum(); n.float().mean()
    """
)
TYPES = {"a": "float32", "d": "float64", "e": "float16", "c": "bfloat16", "n": "int64", "i": "int32"}
TYPES |= {"k": "uint8", "m": "bool"}
CASTS = [f"{x}.to(T.{to})" for x, own in TYPES.items() for to in TYPES.values() if to != own] + ["a.half()"]
INDEX = listed(
    """
    a[m]; m.nonzero(); a.masked_fill(m, 0); T.masked_select(a, rare); a[rare]; rare.nonzero(); z.__setitem__(m, 1.0);
    z.__setitem__(rare, 2.0); a[rows]; a[:, rows]; a[rows, columns]; a.gather(1, where); a.index_select(0, rows);
    a.index_select(1, rows); z.scatter(1, where, a); z.scatter_add(1, where, a); n1[big];
    F.embedding(rows, a); F.one_hot(labels, 1000); F.one_hot(few, 10); T.bincount(flat); T.cat([a, b]);
    T.cat([a, b], 1); T.stack([a, b]); a.clone(); a.t().contiguous(); a.t() + b; a[:, ::2].contiguous(); a.flip(1);
    T.roll(a, 1, 1); a.repeat(2, 1); a.tril(); a.triu(); T.take_along_dim(a, where, 1); a.permute(1, 0).reshape(-1)
    """
)
ORDER = listed(
    """
    a.sort(1); a.sort(0); n.sort(1); flat.sort(); line.sort(); a.argsort(1); a.topk(5); a.topk(100); line.topk(10);
    a.topk(5, largest=False); T.unique(flat); T.unique(flat, return_counts=True)
    """
)
RANDOM = listed(
    """
    T.randperm(100000); T.randperm(1000); T.randn(1000, 1000); T.rand(1000, 1000); T.randint(0, 10, (1000, 1000));
    T.bernoulli(v); T.multinomial(w, 1); T.multinomial(w[0], 100, replacement=True); F.dropout(a, 0.5);
    T.empty(1000, 1000).normal_(); T.arange(1000000); T.zeros(1000, 1000); T.full((1000, 1000), 2.0);
    T.linspace(0, 1, 1000000); T.eye(1000)
    """
)
GROUPS = {
    "elementwise": ELEMENTWISE,
    "powers": POWERS,
    "gradients": GRADIENTS,
    "reductions": REDUCTIONS,
    "casts": CASTS,
    "indexing": INDEX,
    "order": ORDER,
    "random": RANDOM,
}


def operands(T):
    """The tensors that the lines name, the same for both libraries."""
    r = np.random.RandomState(0)
    a, b = (T.from_numpy(r.standard_normal((1000, 1000)).astype("float32")) for _ in range(2))
    n = T.from_numpy(r.randint(0, 50, (1000, 1000)))
    u = T.from_numpy(r.uniform(0.001, 0.999, (1000, 1000)).astype("float32"))
    w = T.from_numpy(r.uniform(0.001, 0.999, (1000, 1000)).astype("float32"))
    given = {
        "T": T,
        "F": T.nn.functional,
        "a": a,
        "b": b,
        "n": n,
        "u": u,
        "v": u,
        "w": w,
        "p": u * 4,
        "m": a > 0,
        "rare": a > 2.3,
        "d": a.double(),
        "e": a.half(),
        "c": a.bfloat16(),
        "i": n.to(T.int32),
        "k": n.to(T.uint8),
        "row": a[0].clone(),
        "column": a[:, :1].clone(),
        "z": T.zeros(1000, 1000),
        "flat": n.reshape(-1),
        "line": a.reshape(-1),
        "steps": T.linspace(-3, 3, 1000),
        "n1": n.reshape(-1),
        "g": a.clone().requires_grad_(True),
        "h": (u * 4).requires_grad_(True),
        "labels": T.from_numpy(r.randint(0, 1000, 1000)),
        "few": T.from_numpy(r.randint(0, 10, 100_000)),
        "s": T.from_numpy(r.standard_normal((100_000, 10)).astype("float32")),
        "rows": T.from_numpy(r.permutation(1000)),
        "columns": T.from_numpy(r.permutation(1000)),
        "where": T.from_numpy(r.randint(0, 1000, (1000, 1000))),
        "big": T.from_numpy(r.permutation(1_000_000)),
    }
    given["h"] = (u * 4).detach().requires_grad_(True)
    return given


def measure(line, given, seconds):
    """The least milliseconds of the line in each library, by turns."""
    code = compile(line, line, "eval")
    best = [float("inf")] * 2
    for values in given:
        eval(code, values)
    end, turns = time.perf_counter() + seconds, 0
    while turns < 3 or time.perf_counter() < end:
        turns += 1
        for k, values in enumerate(given):
            for _ in range(3):
                begin = time.process_time()
                eval(code, values)
                best[k] = min(best[k], time.process_time() - begin)
    return [x * 1e3 for x in best]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="groups or lines that contain this")
    parser.add_argument("--seconds", type=float, default=0.1, help="for each line")
    parser.add_argument(
        "--slow", action="store_true", help=f"only what takes more than {LIMIT} times PyTorch's time"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    nx.set_num_threads(1)
    given = [operands(nx), operands(torch)]
    slow = total = 0
    for group, lines in GROUPS.items():
        for line in lines:
            if options.only not in group and options.only not in line:
                continue
            try:
                ours, theirs = measure(line, given, options.seconds)
            except Exception as error:
                print(f"{group:12s} {line:44s} {type(error).__name__}: {error}".splitlines()[0], flush=True)
                continue
            total += 1
            slow += ours > LIMIT * theirs
            if not options.slow or ours > LIMIT * theirs:
                print(f"{group:12s} {line:44s} {ours:9.3f} {theirs:9.3f} {ours / theirs:7.2f}", flush=True)
    print(f"{slow} of {total} lines take more than {LIMIT} times PyTorch's time")


if __name__ == "__main__":
    main()
