"""Records trajectories of optimizers of matrices, and of others beside `optimizers.py`, by their authors' packages.

Run it with a Python that has torch, safetensors, timm, the packages below and this one (for its random numbers):
TORCHDYNAMO_DISABLE=1 python scripts/goldens/matrices.py [name ...]

All are on PyPI but dion, which was installed from microsoft/dion at 0a059a4 (7 August 2026).

Where a package rounds on the way (to bfloat16, to float32), draws other random numbers, or has a defect, it is brought
to what is compared here: each such change is a function below that says why.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import adam_atan2_pytorch
import adam_mini
import galore_torch
import kron_torch.kron
import numpy as np
import pytorch_optimizer
import timm.optim
import torch
from dion.dion_reference import Dion
from neurenix import Generator, Tensor
from neurenix.optim.algorithms.apollo import subspace
from pytorch_optimizer.optimizer.scion import LMONorm
from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5
from trajectories import torch_path, write

# Its only use of this package is to ask for its version.
versions = types.ModuleType("transformers.utils.versions")
versions.require_version = lambda wanted: None  # type: ignore[attr-defined]
sys.modules.update({"transformers": versions, "transformers.utils": versions, versions.__name__: versions})

import apollo_torch.apollo  # noqa: E402
import apollo_torch.random_projector  # noqa: E402

MATRIX = (6, 4)
WIDE = (4, 6)
LARGE = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}
DECAYED = {**LARGE, "weight_decay": 0.1}
NORMED = {"float64": 1e-7}  # ε of the iteration is a bound for the package, and is added here
SINGLE = {"float32": 2e-5, "float64": 1e-6}  # parts that the package computes in float32
PARTED = {"float32": 5e-5, "float64": 2e-5}  # a basis from those
TURNED = {"float32": 1e-4}  # singular vectors of float32 matrices
BOTH = {"float32": 3e-4}  # of both sides
ROOTED = {"float32": 1e-5, "float64": 1e-11}  # roots of matrices of condition 10⁵


def wide_newton_schulz() -> None:
    """The iteration in the parameters' precision: bfloat16 has two digits."""
    *others, _ = zero_power_via_newton_schulz_5.__defaults__
    zero_power_via_newton_schulz_5.__defaults__ = (*others, torch.get_default_dtype())


def wide_decompositions() -> None:
    """Singular values and vectors in float64 where the package would go back to float32."""
    torch.Tensor.float = torch.Tensor.double
    module, root = (
        pytorch_optimizer.optimizer.shampoo,
        pytorch_optimizer.optimizer.utils.matrix.compute_power_svd,
    )

    def wide(matrix: Any, power: float) -> Any:
        return root(matrix.double(), power).to(matrix.dtype)

    module.compute_power_svd = wide


def muon(kind: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    """An optimizer whose groups say that they are matrices."""

    def make(params: Any) -> Any:
        wide_newton_schulz()
        return kind([{"params": params, "use_muon": True}], **arguments)

    return make


def adamuon(**arguments: Any) -> Callable[..., Any]:
    """AdaMuon of the momentum's signs, which the package leaves out (they came with the paper's second version)."""
    module = pytorch_optimizer.optimizer.muon.adamuon
    iterate = partial(zero_power_via_newton_schulz_5)

    def signed(x: Any, **options: Any) -> Any:
        return iterate(x.sign(), **options)

    module.zero_power_via_newton_schulz_5 = signed
    return muon(pytorch_optimizer.AdaMuon, **arguments)


def mars(**arguments: Any) -> Callable[..., Any]:
    """MARS with copies of the previous gradients."""

    def make(params: Any) -> Any:
        wide_newton_schulz()
        return pytorch_optimizer.MARS(params, mars_type="shampoo", **arguments)

    return make


def scion(norm: Any, **arguments: Any) -> Callable[..., Any]:
    """Scion, whose average begins with the first gradient as in its authors' code; the package's with zero."""

    def make(params: Any) -> Any:
        wide_newton_schulz()
        optimizer = pytorch_optimizer.SCION(params, norm_type=norm, foreach=False, **arguments)
        step = optimizer.step

        def begun() -> None:
            for param in params:
                optimizer.state[param].setdefault("d", param.grad.clone())
            step()

        optimizer.step = begun
        return optimizer

    return make


def mini(name: str, heads: int = 1, dim: int = 1, **arguments: Any) -> Callable[..., Any]:
    """Adam-mini, which takes names for kinds of layers."""
    return lambda params: adam_mini.Adam_mini(
        [(name, params[0])], n_heads=heads, dim=dim, verbose=False, **arguments
    )


def in_group(kind: Callable[..., Any], group: dict[str, Any], **arguments: Any) -> Callable[..., Any]:
    """An optimizer with arguments that only groups take."""

    def make(params: Any) -> Any:
        wide_decompositions()
        return kind([{"params": params, **group}], **arguments)

    return make


def apollo(group: dict[str, Any], **arguments: Any) -> Callable[..., Any]:
    """APOLLO with our random matrices."""

    def make(params: Any) -> Any:
        place = iter(range(1000))

        def randn(shape: Any, seed: int, device: Any = None, dtype: Any = None) -> Any:
            size, rank = sorted(shape, reverse=True)
            found = subspace(size, rank, 0, next(place)).numpy() * np.sqrt(rank)
            matrix = torch.tensor(found, dtype=dtype or torch.float32)
            return matrix if tuple(matrix.shape) == tuple(shape) else matrix.T

        apollo_torch.random_projector.stable_randn = randn
        return apollo_torch.apollo.AdamW(
            [{"params": params, **group}], no_deprecation_warning=True, **arguments
        )

    return make


def kron(**arguments: Any) -> Callable[..., Any]:
    """Kron with our random numbers, and triangular solutions in the parameters' precision.

    The reference adds the noise of fitting to the average itself, which the step then takes; with
    `momentum_into_precond_update=False` it goes into the gradient, which is used up by then.
    """

    class Numbers:
        """Ours of one step: for V, and for whether factors are balanced before."""

        step = 0

        def begin(self) -> None:
            self.step += 1
            self.generator = Generator(0)
            self.generator.offset = self.step << 32

        def like(self, x: Any) -> Any:
            return torch.tensor(self.noise[: x.numel()].reshape(x.shape), dtype=x.dtype)

        def random(self) -> float:
            self.begin()
            self.noise = Tensor.randn(24, generator=self.generator).numpy()
            return float(Tensor.rand(1, generator=self.generator))

    def solved(x: Any, a: Any) -> Any:
        flat = x.reshape(-1, x.size(-1))
        return torch.linalg.solve_triangular(a, flat, upper=True, left=False).reshape_as(x)

    def make(params: Any) -> Any:
        numbers = Numbers()
        kron_torch.kron._solve_triangular_right = solved
        kron_torch.kron.torch.randn_like = numbers.like
        optimizer = kron_torch.kron.Kron(
            params, precond_dtype=torch.get_default_dtype(), momentum_into_precond_update=False, **arguments
        )
        optimizer.rng = numbers
        return optimizer

    return make


def dion(**arguments: Any) -> Callable[..., Any]:
    """Dion that begins with our basis instead of a random one."""

    def make(params: Any) -> Any:
        optimizer = Dion(params, qr_method="qr", **arguments)
        begin = optimizer._init_opt_state_dion

        def begun(param: Any, state: Any, *rest: Any) -> None:
            begin(param, state, *rest)
            columns, rank = state["Q"].shape
            angles = np.outer(np.arange(columns) + 0.5, np.arange(rank)) * (np.pi / columns)
            basis = np.cos(angles)
            state["Q"] = torch.tensor(basis / np.linalg.norm(basis, axis=0), dtype=param.dtype)

        optimizer._init_opt_state_dion = begun
        return optimizer

    return make


def sophia(rho: float, **arguments: Any) -> Callable[..., Any]:
    """Sophia with the squares of the gradients as curvature; it bounds the quotient instead of its product with ρ."""

    def make(params: Any) -> Any:
        optimizer = pytorch_optimizer.SophiaH(params, p=rho, **arguments)
        step = optimizer.step
        optimizer.step = lambda: step(hessian=[param.grad.square() for param in params])
        return optimizer

    return make


FAST = {**DECAYED, "lr": 0.2}
GALORE = {"rank": 2, "update_proj_gap": 200, "scale": 0.5}
APOLLO = {"rank": 3, "update_proj_gap": 40, "scale": 2.0}
KRON = {"lr": 0.02, "b1": 0.8, "preconditioner_update_probability": 1.0, "precond_lr": 0.2}
MUON = {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.1}

# name: (package, what makes theirs, our class, our arguments, options of write)
CASES: dict[str, tuple[Any, ...]] = {
    "adam_atan2": (
        "adam-atan2-pytorch",
        lambda p: adam_atan2_pytorch.AdamAtan2(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.1, a=1.5, b=0.5),
        "AdamAtan2",
        {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1, "a": 1.5, "b": 0.5},
    ),
    "adam_mini_rows": ("adam-mini", mini("mlp", **DECAYED), "AdamMini", DECAYED, {"shape": MATRIX}),
    "adam_mini_heads": (
        "adam-mini",
        mini("wq", heads=3, dim=6, **DECAYED),
        "AdamMini",
        {**DECAYED, "blocks": 2},
        {"shape": MATRIX},
    ),
    "adam_mini_vector": ("adam-mini", mini("norm", **LARGE), "AdamMini", LARGE),
    "adamc": (
        "timm",
        lambda p: timm.optim.AdamWLegacy(p, corrected_weight_decay=True, **DECAYED),
        "AdamC",
        DECAYED,
        {"rates": [0.02 * (1 - t / 128) for t in range(100)]},
    ),
    "sophia": (
        "pytorch-optimizer",
        sophia(0.5, lr=0.02, betas=(0.8, 0.95), eps=1e-15, weight_decay=0.05),
        "Sophia",
        {"lr": 0.01, "betas": (0.8, 0.95), "rho": 0.5, "weight_decay": 0.1},
        {"before": ["update_hessian"]},
    ),
    "shampoo": (
        "pytorch-optimizer",
        in_group(pytorch_optimizer.Shampoo, {}, lr=0.1, matrix_eps=10.0),
        "Shampoo",
        {"lr": 0.1, "betas": (0.0, 1.0), "eps": 10.0},
        {"shape": MATRIX, "tolerance": ROOTED},
    ),
    **{
        f"galore_{kind}": (
            "galore-torch",
            in_group(
                galore_torch.GaLoreAdamW, {**GALORE, "proj_type": kind}, no_deprecation_warning=True, **FAST
            ),
            "GaLore",
            {**FAST, **GALORE, "proj_type": kind},
            {"shape": shape, "tolerance": BOTH if kind == "full" else TURNED},
        )
        for kind, shape in (
            ("std", MATRIX),
            ("reverse_std", WIDE),
            ("right", WIDE),
            ("left", WIDE),
            ("full", MATRIX),
        )
    },
    **{
        f"apollo_{kind}": (
            "apollo-torch",
            apollo({**APOLLO, "proj": "random", "proj_type": "std", "scale_type": kind}, **DECAYED),
            "APOLLO",
            {**DECAYED, **APOLLO, "scale_type": kind},
            {"shape": shape, "tolerance": SINGLE},
        )
        for kind, shape in (("channel", MATRIX), ("tensor", WIDE))
    },
    **{
        f"kron_{kind}": (
            "kron-torch",
            kron(**KRON, **options),
            "PSGDKron",
            {**KRON, **options, "momentum_into_precond_update": False},
            {"shape": shape},
        )
        for kind, shape, options in (
            ("triangular", MATRIX, {"weight_decay": 0.1}),
            ("one_diagonal", MATRIX, {"memory_save_mode": "one_diag"}),
            ("vector", (24,), {}),
        )
    },
    "normuon": (
        "pytorch-optimizer",
        muon(pytorch_optimizer.NorMuon, beta2=0.9, eps=1e-8, **MUON),
        "NorMuon",
        {**MUON, "beta2": 0.9, "adjust_lr_fn": "original"},
        {"shape": MATRIX, "tolerance": NORMED},
    ),
    "adamuon": (
        "pytorch-optimizer",
        adamuon(lr=0.02, betas=(0.8, 0.9), eps=1e-8, weight_decay=0.1),
        "AdaMuon",
        {**MUON, "beta2": 0.9, "nesterov": False},
        {"shape": MATRIX, "tolerance": NORMED},
    ),
    "mars_shampoo": (
        "pytorch-optimizer",
        mars(gamma=0.1, weight_decouple=True, **{**DECAYED, "eps": 1e-8}),
        "MARS",
        {**DECAYED, "eps": 1e-8, "gamma": 0.1, "kind": "shampoo"},
        {"shape": MATRIX, "tolerance": {"float32": 1e-5, **NORMED}},
    ),
    "dion": (
        "dion",
        dion(lr=0.02, mu=0.8, rank_fraction=0.5, weight_decay=0.1),
        "Dion",
        {**MUON, "rank_fraction": 0.5},
        {"shape": MATRIX, "tolerance": PARTED},
    ),
    **{
        f"scion_{kind}": (
            "pytorch-optimizer",
            scion(norm, lr=0.02, momentum=0.2, scale=3.0, constraint=constrained, norm_kwargs=options),
            "Scion",
            {
                "lr": 0.02,
                "momentum": 0.2,
                "scale": 3.0,
                "norm": kind,
                "unconstrained": not constrained,
                "eps": 1e-8,
            },
            {"shape": shape, "tolerance": NORMED},
        )
        for kind, norm, shape, constrained, options in (
            ("spectral", LMONorm.SPECTRAL, MATRIX, True, {}),
            ("sign", LMONorm.SIGN, MATRIX, True, {}),
            ("row", LMONorm.COL, WIDE, False, {"transpose": True}),
            ("column", LMONorm.COL, WIDE, True, {}),
            ("rms", LMONorm.BIAS, (24,), True, {}),
        )
    },
}

if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        package, make, ours, arguments, *options = CASES[name]
        print(name)
        write(name, ours, arguments, package, partial(torch_path, make), **(options[0] if options else {}))
