"""Rules that keep a matrix for each dimension of a parameter."""

from __future__ import annotations

import itertools
import math

import neurenix as nx
import numpy as np
from neurenix.optim import SOAP, PSGDKron, Shampoo, SPlus
from neurenix.testing import Record, per_tensor

ERRORS = [
    ({"lr": -1.0}, ValueError, "lr must be"),
    ({"weight_decay": "x"}, TypeError, "weight_decay must be"),
]
BASES = (1e-8, "eigenvectors amplify what rounding leaves")


def turned(x, bases):
    """A tensor in other coordinates; None keeps a dimension."""
    for dim, q in enumerate(bases):
        if q is not None:
            x = np.moveaxis(np.tensordot(q, x, (0, dim)), 0, dim)
    return x


def transposed(bases):
    return [None if q is None else q.T for q in bases]


def product(g, dim):
    """Slices along a dimension with each other."""
    rest = [d for d in range(g.ndim) if d != dim]
    return np.tensordot(g, g, (rest, rest))


def power_step(factor, q):
    values = np.diag(q.T @ factor @ q)
    order = np.argsort(-values, kind="stable")
    return np.linalg.qr(factor @ q[:, order])[0], order


def joined(shape, most):
    """Neighbouring dimensions as one, as far as they stay small enough."""
    result, run = [], 1
    for size in shape:
        if run * size > most:
            result.append(run if run > 1 else size)
            run = size if run > 1 else 1
        else:
            run *= size
    return [*result, run] if run > 1 or not result else result


@per_tensor
def soap(
    p,
    g,
    s,
    t,
    *,
    lr,
    betas,
    shampoo_beta,
    eps,
    weight_decay,
    precondition_frequency,
    max_precond_dim,
    merge_dims,
    precondition_1d,
    normalize_grads,
    correct_bias,
):
    beta = betas[1] if shampoo_beta < 0 else shampoo_beta
    shape = joined(g.shape, max_precond_dim) if merge_dims and g.ndim > 1 else g.shape
    g = g.reshape(shape)
    wanted = [n <= max_precond_dim and (p.ndim > 1 or (precondition_1d and p.size > 1)) for n in shape]
    if t > 1:
        r = turned(g, s["q"])
        s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
        s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * r**2
        u = turned(turned(s["m"], s["q"]) / (np.sqrt(s["v"]) + eps), transposed(s["q"]))
        if normalize_grads:
            u = u / (1e-30 + math.sqrt(np.mean(u**2)))
        if correct_bias:
            u = u * math.sqrt(1 - betas[1] ** (t - 1)) / (1 - betas[0] ** (t - 1))
        p = p - lr * u.reshape(p.shape)
        p = p - lr * weight_decay * p
    s["gg"] = [
        beta * old + (1 - beta) * product(g, dim) if want else None
        for dim, (want, old) in enumerate(zip(wanted, s.get("gg", [0] * g.ndim), strict=True))
    ]
    if t == 1:
        s["q"] = [None if x is None else np.linalg.eigh(x)[1][:, ::-1] for x in s["gg"]]
        return p
    if (t - 1) % precondition_frequency == 0:
        for dim, factor in enumerate(s["gg"]):
            if factor is not None:
                s["q"][dim], order = power_step(factor, s["q"][dim])
                s["v"] = np.take(s["v"], order, dim)
    return p


def pieces(size, most):
    return [slice(i, min(i + most, size)) for i in range(0, size, most)]


def root(factor, power, eps):
    values, vectors = np.linalg.eigh(factor)
    return vectors @ np.diag((values - min(values.min(), 0) + eps) ** power) @ vectors.T


@per_tensor
def shampoo(
    p,
    g,
    s,
    t,
    *,
    lr,
    betas,
    eps,
    weight_decay,
    max_preconditioner_dim,
    precondition_frequency,
    start_preconditioning_step,
    use_bias_correction,
    grafting,
    grafting_beta,
    grafting_eps,
):
    start = precondition_frequency if start_preconditioning_step < 0 else start_preconditioning_step
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    m = s["m"] / (1 - betas[0] ** t) if use_bias_correction else s["m"]
    old, new = {"adagrad": (1, 1)}.get(grafting, (grafting_beta, 1 - grafting_beta))
    s["v"] = old * s.get("v", 0) + new * g**2
    v = s["v"] / (1 - grafting_beta**t) if grafting == "adam" else s["v"]
    other = m if grafting == "sgd" else m / (np.sqrt(v) + grafting_eps)
    shape = g.shape if g.ndim < 2 else (g.shape[0], g.size // g.shape[0])
    whole, m, other = g.reshape(shape), m.reshape(shape), other.reshape(shape)
    step = np.empty(shape)
    for cut in itertools.product(*(pieces(n, max_preconditioner_dim) for n in shape)):
        block = s.setdefault(str(cut), {"l": [0] * len(shape), "r": [None] * len(shape)})
        for dim in range(len(shape)):
            share = 1 if betas[1] == 1 else 1 - betas[1]
            block["l"][dim] = betas[1] * block["l"][dim] + share * product(whole[cut], dim)
            if t == start or (t > start and t % precondition_frequency == 0):
                lacks = 1 - betas[1] ** t if use_bias_correction and betas[1] < 1 else 1
                block["r"][dim] = root(block["l"][dim] / lacks, -1 / (2 * len(shape)), eps)
        if t < start:
            step[cut] = m[cut] if grafting is None else other[cut]
            continue
        step[cut] = turned(m[cut], block["r"])
        if grafting is not None:
            step[cut] *= np.linalg.norm(other[cut]) / (np.linalg.norm(step[cut]) + 1e-16)
    return p - lr * weight_decay * p - lr * step.reshape(p.shape)


@per_tensor
def splus(p, g, s, t, *, lr, b1, b2, ema_rate, inverse_every, weight_decay, max_dim, nonstandard_constant):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    if g.ndim != 2:
        step, rate = np.sign(s["m"]), lr * nonstandard_constant
    else:
        rate = lr * nonstandard_constant if max(g.shape) > max_dim else lr * 2 / (g.shape[0] + g.shape[1])
        q = s.get("q", [None, None])
        step = turned(np.sign(turned(s["m"], q)), transposed(q))
        s["l"] = [b2 * old + (1 - b2) * product(g, dim) for dim, old in enumerate(s.get("l", [0, 0]))]
        if t == 1 or t % inverse_every == 0:
            s["q"] = [np.linalg.eigh(side)[1] if len(side) < max_dim else None for side in s["l"]]
    return (p - rate * step) * (1 - rate * weight_decay)


def noise(shape, seed, t):
    """The numbers that the optimizer draws: V, and one that decides about balancing."""
    generator = nx.Generator(seed)
    generator.offset = t << 32
    v = nx.randn(*shape, generator=generator).double().numpy()
    return v, nx.rand(1, generator=generator).item()


def is_triangular(shape, max_size_triangular, min_ndim_triangular, memory_save_mode):
    """For each dimension whether its factor is triangular."""
    order = sorted(shape)
    save = memory_save_mode == "one_diag" or (
        memory_save_mode == "smart_one_diag" and len(order) > 1 and order[-1] > order[-2]
    )
    return [
        1 < size <= max_size_triangular
        and len(shape) >= min_ndim_triangular
        and memory_save_mode != "all_diag"
        and not (save and dim == shape.index(order[-1]))
        for dim, size in enumerate(shape)
    ]


@per_tensor
def kron(
    p,
    g,
    s,
    t,
    *,
    lr,
    b1,
    weight_decay,
    preconditioner_update_probability,
    max_size_triangular,
    min_ndim_triangular,
    memory_save_mode,
    momentum_into_precond_update,
    precond_lr,
    precond_init_scale,
    merge_dims,
    seed,
):
    shape = g.shape
    if merge_dims and g.ndim > 2:
        ways = [(math.prod(shape[:-1]), shape[-1]), (shape[0], math.prod(shape[1:]))]
        shape = min(ways, key=lambda way: abs(way[0] - way[1]))
    g = g.reshape(shape)
    whole = is_triangular(shape, max_size_triangular, min_ndim_triangular, memory_save_mode)
    if t == 1:
        s["q"] = [np.eye(n) * precond_init_scale ** (1 / len(shape)) for n in shape]
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    m = s["m"] / (1 - b1**t)
    share = preconditioner_update_probability
    if share is None:
        share = np.clip(np.exp(-0.001 * (t - 501)), 0.03, 1.0)
    s["waited"] = s.get("waited", 0) + 1
    if s["waited"] >= 1 / share:
        s["waited"] = 0
        v, luck = noise(shape, seed, t)
        if luck < 0.01 and len(shape) > 1:
            tops = [np.abs(q).max() for q in s["q"]]
            s["q"] = [
                q * math.prod(tops) ** (1 / len(tops)) / top for q, top in zip(s["q"], tops, strict=True)
            ]
        h = m if momentum_into_precond_update else g
        h = h + np.sqrt(np.finfo(np.float32).eps) * np.abs(h).mean() * v
        a, b = turned(h, transposed(s["q"])), turned(v, [np.linalg.inv(q) for q in s["q"]])
        for dim, q in enumerate(s["q"]):
            aa, bb = product(a, dim), product(b, dim)
            if whole[dim]:
                top = aa + bb
                x = top[:, np.argmax((top**2).sum(0))] @ top
                s["q"][dim] = q - precond_lr * np.triu(aa - bb) @ q / np.linalg.norm(
                    top @ (x / np.linalg.norm(x))
                )
            else:
                aa, bb = np.diag(aa), np.diag(bb)
                s["q"][dim] = q - precond_lr * np.diag((aa - bb) / (aa + bb).max()) @ q
    u = turned(turned(m, transposed(s["q"])), s["q"])
    u = (u * min(1, 1.1 / (math.sqrt(np.mean(u**2)) + 1e-12))).reshape(p.shape)
    return p - lr * (u + weight_decay * p if p.ndim > 1 else u)


def factors(merge, **modes):
    """Bytes of PSGD Kron: momentum, a counter, and factors."""

    def size(shape):
        floats = 1 + math.prod(shape)
        if merge and len(shape) > 2:
            ways = [(math.prod(shape[:-1]), shape[-1]), (shape[0], math.prod(shape[1:]))]
            shape = min(ways, key=lambda way: abs(way[0] - way[1]))
        shape = shape or (1,)
        whole = is_triangular(shape, **modes)
        return 4 * (floats + sum(n * n if w else n for n, w in zip(shape, whole, strict=True)))

    return size


def squares(copies, floats):
    """Bytes of some matrices for each dimension of at least a matrix and some floats for each element."""

    def size(shape):
        matrices = shape if len(shape) > 1 else []
        return 4 * (floats * math.prod(shape) + copies * sum(n * n for n in matrices))

    return size


def sides(most, floats):
    """Bytes of Shampoo with blocks that are not larger than `most`."""

    def size(shape):
        matrix = (math.prod(shape),) if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
        squared = sum(
            len(range(*b.indices(10**9))) ** 2
            for cut in itertools.product(*(pieces(n, most) for n in matrix))
            for b in cut
        )
        return 4 * (floats * math.prod(shape) + 2 * squared)

    return size


def small(shape):
    """Bytes of SOAP with merged dimensions up to 4."""
    return 4 * (2 * math.prod(shape) + 2 * sum(n * n for n in joined(shape, 4) if len(shape) > 0))


OWN = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}
OWN_MOVES = {"lr": 0.12, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2}
SOAP_MOVES = {**OWN_MOVES, "shampoo_beta": 0.8, "precondition_frequency": 2, "normalize_grads": True}
SHAMPOO = {**OWN, "lr": 0.3, "precondition_frequency": 2, "grafting_eps": 1e-3, "grafting_beta": 0.95}
RECORDS = [
    Record(
        SOAP,
        {**OWN, "precondition_frequency": 3},
        soap,
        {**SOAP_MOVES, "correct_bias": False, "max_precond_dim": 3},
        [
            *ERRORS,
            ({"precondition_frequency": 0}, ValueError, "precondition_frequency must be"),
            ({"shampoo_beta": 1.0}, ValueError, "shampoo_beta must be"),
        ],
        squares(2, 2),
        still={"precondition_1d": "in the next record", "merge_dims": "in the next record"},
        tolerance=BASES,
        steps=300,
    ),
    Record(
        SOAP,
        {
            **OWN,
            "precondition_frequency": 3,
            "merge_dims": True,
            "max_precond_dim": 4,
            "precondition_1d": True,
        },
        soap,
        {
            **SOAP_MOVES,
            "correct_bias": False,
            "merge_dims": False,
            "precondition_1d": False,
            "max_precond_dim": 3,
        },
        ERRORS,
        small,
        tolerance=BASES,
        shapes=((3, 4), (2,), (), (2, 2, 3)),
        steps=300,
    ),
    *(
        Record(
            Shampoo,
            {**SHAMPOO, "grafting": grafting, "betas": (0.8, beta), "max_preconditioner_dim": most},
            shampoo,
            {
                **OWN_MOVES,
                "betas": (0.7, beta),
                "precondition_frequency": 3,
                "start_preconditioning_step": 3,
                "grafting": "sgd",
                "max_preconditioner_dim": 2,
                "use_bias_correction": False,
                **({"grafting_eps": 1e-2} if grafting else {}),
                **({"grafting_beta": 0.9} if grafting == "adam" else {}),
            },
            [
                *ERRORS,
                ({"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be"),
                ({"betas": (0.9, 1.1)}, ValueError, r"betas\[1\] must be"),
                ({"grafting": "adamw"}, ValueError, "grafting must be"),
                ({"max_preconditioner_dim": 0}, ValueError, "max_preconditioner_dim must be"),
            ],
            sides(most, 2 if grafting else 1),
            still=dict.fromkeys(("grafting_eps", "grafting_beta"), "has no part in this grafting"),
            tolerance=BASES,
            shapes=shapes,
            steps=200,
        )
        for grafting, beta, most, shapes in (
            (None, 1.0, 1024, ((3, 4), (2, 3, 2), (3, 2, 2, 2))),
            ("adam", 0.95, 3, ((3, 4), (), (2, 3, 2), (3, 2, 2, 2))),
        )
    ),
    Record(
        SPlus,
        {
            "lr": 0.5,
            "b1": 0.8,
            "b2": 0.9,
            "inverse_every": 3,
            "weight_decay": 0.1,
            "nonstandard_constant": 0.2,
        },
        splus,
        {
            "lr": 0.6,
            "b1": 0.7,
            "b2": 0.8,
            "inverse_every": 4,
            "weight_decay": 0.2,
            "max_dim": 4,
            "nonstandard_constant": 0.3,
        },
        [
            *ERRORS,
            ({"b1": 1.0}, ValueError, "b1 must be"),
            ({"inverse_every": 0}, ValueError, "inverse_every must be"),
        ],
        lambda shape: 8 * math.prod(shape) + (8 * sum(n * n for n in shape) if len(shape) == 2 else 0),
        still={"ema_rate": "decides what is evaluated"},
        tolerance=BASES,
        shapes=((3, 4), (5,), (), (5, 4), (2, 3, 2)),
        steps=300,
    ),
    *(
        Record(
            PSGDKron,
            {
                "lr": 0.1,
                "b1": 0.8,
                "weight_decay": 0.1,
                "preconditioner_update_probability": share,
                "momentum_into_precond_update": merge,
                "merge_dims": merge,
                **modes,
            },
            kron,
            {
                "lr": 0.12,
                "b1": 0.7,
                "weight_decay": 0.2,
                "preconditioner_update_probability": 0.3,
                "max_size_triangular": 3,
                "min_ndim_triangular": 3,
                "memory_save_mode": "all_diag",
                "momentum_into_precond_update": not merge,
                "precond_lr": 0.2,
                "precond_init_scale": 0.5,
                "merge_dims": not merge,
                "seed": 1,
            },
            [
                *ERRORS,
                ({"preconditioner_update_probability": 0.0}, ValueError, "update_probability must be"),
                ({"memory_save_mode": "none"}, ValueError, "memory_save_mode must be"),
                ({"precond_lr": 0.0}, ValueError, "precond_lr must be"),
            ],
            factors(merge, **modes),
            tolerance=(1e-9, "inverses of triangular factors amplify what rounding leaves"),
            steps=300,
        )
        for share, merge, modes in (
            (None, True, {"max_size_triangular": 8192, "min_ndim_triangular": 2, "memory_save_mode": None}),
            (
                0.4,
                False,
                {"max_size_triangular": 8192, "min_ndim_triangular": 1, "memory_save_mode": "smart_one_diag"},
            ),
        )
    ),
]
