"""Records trajectories of optimizers by their authors' or other packages, so that the tests need none of them.

Run it with a Python that has torch, safetensors, jax, optax, timm and the packages below:
python scripts/goldens/optimizers.py [name ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import adabelief_pytorch
import adamp
import came_pytorch
import dadaptation
import lion_pytorch
import madgrad
import optax
import optax.contrib
import prodigyopt
import pytorch_optimizer
import schedulefree
import timm.optim
import timm.optim.adabelief
import timm.optim.adan
import timm.optim.adopt
import timm.optim.lamb
import timm.optim.laprop
import timm.optim.lars
import timm.optim.mars
import timm.optim.nadamw
import timm.optim.nvnovograd
from trajectories import optax_path, torch_path, write

MATRIX = (4, 6)
CUBE = (2, 3, 4)  # each dimension has as many eigenvalues as the first gradient tells apart
TURNED = dict.fromkeys(("float32", "float64"), 1e-4)  # eigenvectors that the package computes in float32
ROUNDED = {"float32": 5e-6}  # sums and signs of float32 values that were rounded in another order
DECAYED = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
SIGNS = {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}


def from_torch(package: str, kind: Callable[..., Any], **constant: Any) -> Callable[..., Any]:
    """A recorder of an optimizer for PyTorch, which is given our arguments under other names if they differ."""

    def record(
        name: str, ours: str, arguments: dict[str, Any], theirs: dict[str, Any], **options: Any
    ) -> None:
        def make(params: Any) -> Any:
            return kind(params, **{**arguments, **constant, **theirs})

        write(name, ours, arguments, package, partial(torch_path, make), **options)

    return record


def from_optax(kind: Callable[..., Any]) -> Callable[..., Any]:
    """A recorder of an optimizer of optax, which is given nothing but its own arguments."""

    def record(
        name: str, ours: str, arguments: dict[str, Any], theirs: dict[str, Any], **options: Any
    ) -> None:
        write(name, ours, arguments, "optax", partial(optax_path, partial(kind, **theirs)), **options)

    return record


def renamed(kind: Callable[..., Any], /, **names: str) -> Callable[..., Any]:
    """A class that is given some arguments under names of its own; those renamed to "" are left out."""

    def make(params: Any, **arguments: Any) -> Any:
        return kind(
            params, **{names.get(key, key): value for key, value in arguments.items() if names.get(key, key)}
        )

    return make


lion = from_torch("lion-pytorch", lion_pytorch.Lion)
belief = from_torch("adabelief-pytorch", adabelief_pytorch.AdaBelief, print_change_log=False)
kozistr = partial(from_torch, "pytorch-optimizer")
from_timm = partial(from_torch, "timm")
free = partial(from_torch, "schedulefree")
adan = from_timm(renamed(timm.optim.adan.Adan, weight_decay_mode=""))
LARGE = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}
OWN = {"betas": (0.8, 0.9), "eps": 1e-3, "d0": 1e-3}

# name: (recorder, our class, our arguments, what theirs has besides or instead, options of write)
CASES: dict[str, tuple[Any, ...]] = {
    "lion": (lion, "Lion", {"lr": 0.01}, {}),
    "lion_decay": (lion, "Lion", SIGNS, {}),
    "signum": (
        kozistr(pytorch_optimizer.SignSGD),
        "Signum",
        {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.1},
        {},
    ),
    "signsgd": (kozistr(pytorch_optimizer.SignSGD), "Signum", {"lr": 0.01, "momentum": 0.0}, {}),
    "tiger": (
        kozistr(pytorch_optimizer.Tiger),
        "Tiger",
        {"lr": 0.01, "beta": 0.9, "weight_decay": 0.1},
        {},
    ),
    "nadamw": (from_timm(timm.optim.nadamw.NAdamW), "NAdamW", DECAYED, {}),
    "adabelief": (belief, "AdaBelief", {**DECAYED, "eps": 1e-8}, {}),
    "adabelief_amsgrad": (belief, "AdaBelief", {**DECAYED, "amsgrad": True, "rectify": False}, {}),
    "adan": (adan, "Adan", {**DECAYED, "betas": (0.9, 0.8, 0.95)}, {}),
    "adan_decoupled": (
        adan,
        "Adan",
        {**DECAYED, "betas": (0.9, 0.8, 0.95), "weight_decay_mode": "decoupled"},
        {"no_prox": True},
    ),
    "ademamix": (
        from_optax(optax.contrib.ademamix),
        "AdEMAMix",
        {**DECAYED, "betas": (0.8, 0.95, 0.99), "alpha": 3.0},
        {
            "learning_rate": 0.02,
            "b1": 0.8,
            "b2": 0.95,
            "b3": 0.99,
            "alpha": 3.0,
            "eps": 1e-3,
            "weight_decay": 0.1,
        },
    ),
    "adopt": (from_timm(timm.optim.adopt.Adopt), "ADOPT", {**DECAYED, "clip_exp": 0.25}, {}),
    "laprop": (from_timm(timm.optim.laprop.LaProp), "LaProp", LARGE, {}),
    "madgrad": (from_torch("madgrad", madgrad.MADGRAD), "MADGRAD", {"lr": 0.01, "weight_decay": 0.1}, {}),
    "madgrad_plain": (
        from_torch("madgrad", madgrad.MADGRAD),
        "MADGRAD",
        {"lr": 0.01, "momentum": 0.0, "eps": 1e-3},
        {},
    ),
    "aggmo": (
        kozistr(pytorch_optimizer.AggMo),
        "AggMo",
        {"lr": 0.001, "betas": (0.0, 0.8, 0.95), "weight_decay": 0.1},
        {},
        {"tolerance": ROUNDED},
    ),
    "qhadam": (
        kozistr(pytorch_optimizer.QHAdam),
        "QHAdam",
        {**DECAYED, "nus": (0.7, 0.9)},
        {},
        {"tolerance": {"float64": 2e-7}},  # the package keeps its corrections in float32
    ),
    "yogi": (
        kozistr(
            renamed(
                pytorch_optimizer.Yogi,
                initial_accumulator_value="initial_accumulator",
            )
        ),
        "Yogi",
        {**DECAYED, "initial_accumulator_value": 0.0},
        {"weight_decouple": False},
    ),
    "ftrl": (
        kozistr(renamed(pytorch_optimizer.FTRL, l1="lambda_1", l2="", initial_accumulator_value="")),
        "FTRL",
        {"lr": 0.1, "l1": 0.5, "l2": 0.05, "beta": 0.1, "initial_accumulator_value": 0.0},
        {"lambda_2": 0.1},
    ),
    "mars": (
        from_timm(
            renamed(timm.optim.mars.Mars, kind="mars_type", lr_1d=""),
        ),
        "MARS",
        {**DECAYED, "gamma": 0.1},
        {},
        {"shape": MATRIX},
    ),
    "mars_lion": (
        from_timm(renamed(timm.optim.mars.Mars, kind="mars_type", lr_1d="")),
        "MARS",
        {**DECAYED, "gamma": 0.1, "kind": "lion"},
        {},
        {"shape": MATRIX, "tolerance": ROUNDED},
    ),
    "mars_vector": (
        from_timm(renamed(timm.optim.mars.Mars, kind="mars_type", lr_1d="")),
        "MARS",
        {**DECAYED, "lr_1d": 0.01, "betas_1d": (0.7, 0.9), "weight_decay": 0.0},
        {"lr_1d_factor": 0.5},
    ),
    "adamp": (
        from_torch("adamp", adamp.AdamP),
        "AdamP",
        {**DECAYED, "delta": 0.5, "wd_ratio": 0.3},
        {},
        {"shape": MATRIX},
    ),
    "adamp_nesterov": (
        from_torch("adamp", adamp.AdamP),
        "AdamP",
        {**DECAYED, "delta": 2.0, "nesterov": True},
        {},
        {"shape": MATRIX},
    ),
    "sgdp": (
        from_torch("adamp", adamp.SGDP),
        "SGDP",
        # Without Nesterov's momentum the package writes what it projects into its average.
        {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.1, "delta": 0.5, "nesterov": True, "dampening": 0.1},
        {},
        {"shape": MATRIX},
    ),
    "lamb": (from_timm(timm.optim.lamb.Lamb), "LAMB", DECAYED, {}, {"shape": MATRIX}),
    "lamb_clip": (
        from_timm(timm.optim.lamb.Lamb),
        "LAMB",
        {**LARGE, "weight_decay": 0.0, "always_adapt": True, "trust_clip": True, "grad_averaging": False},
        {},
        {"shape": MATRIX},
    ),
    "lars": (
        from_timm(timm.optim.lars.Lars),
        "LARS",
        {"lr": 0.5, "momentum": 0.8, "weight_decay": 0.1, "nesterov": True, "trust_coeff": 0.05},
        {},
        {"shape": MATRIX},
    ),
    "larc": (
        from_timm(timm.optim.lars.Lars),
        "LARS",
        {"lr": 0.01, "momentum": 0.8, "trust_coeff": 0.05, "trust_clip": True},
        {"always_adapt": True},
        {"shape": MATRIX},
    ),
    "novograd": (from_timm(timm.optim.nvnovograd.NvNovoGrad), "NovoGrad", DECAYED, {}),
    "novograd_amsgrad": (
        from_timm(timm.optim.nvnovograd.NvNovoGrad),
        "NovoGrad",
        {**DECAYED, "amsgrad": True, "grad_averaging": True},
        {},
    ),
    "stable_adamw": (
        kozistr(pytorch_optimizer.StableAdamW),
        "StableAdamW",
        DECAYED,
        {},
        {"tolerance": ROUNDED},
    ),
    "sm3": (
        kozistr(pytorch_optimizer.SM3),
        "SM3",
        {"lr": 0.1, "momentum": 0.8, "eps": 1e-3},
        {},
        {"shape": MATRIX},
    ),
    "soap": (
        kozistr(renamed(pytorch_optimizer.SOAP, max_precond_dim="max_precondition_dim")),
        "SOAP",
        {**DECAYED, "precondition_frequency": 5},
        {},
        {"shape": CUBE, "tolerance": TURNED},
    ),
    "splus": (
        kozistr(renamed(pytorch_optimizer.SPlus, inverse_every="inverse_steps", b1="", b2="")),
        "SPlus",
        {"lr": 0.5, "b1": 0.8, "b2": 0.9, "inverse_every": 7, "max_dim": 5, "nonstandard_constant": 0.1},
        {"betas": (0.8, 0.9), "weight_decay": 0.01},
        {"shape": MATRIX, "tolerance": TURNED},
    ),
    "came": (
        from_torch("came-pytorch", came_pytorch.CAME),
        "CAME",
        {"lr": 0.01, "betas": (0.8, 0.9, 0.95), "eps": (1e-3, 1e-2), "weight_decay": 0.1},
        {},
        {"shape": MATRIX, "tolerance": ROUNDED},
    ),
    "came_vector": (
        from_torch("came-pytorch", came_pytorch.CAME),
        "CAME",
        {"lr": 0.01, "betas": (0.8, 0.9, 0.95), "eps": (1e-3, 1e-2), "clip_threshold": 0.5},
        {},
    ),
    "prodigy": (from_torch("prodigyopt", prodigyopt.Prodigy), "Prodigy", {**OWN, "weight_decay": 0.1}, {}),
    "prodigy_slice": (
        from_torch("prodigyopt", prodigyopt.Prodigy),
        "Prodigy",
        {**OWN, "weight_decay": 0.1, "slice_p": 4},
        {},
        {"tolerance": {"float32": 2e-5, "float64": 1e-11}},
    ),
    "prodigy_safe": (
        from_torch("prodigyopt", prodigyopt.Prodigy),
        "Prodigy",
        {
            **OWN,
            "lr": 0.5,
            "use_bias_correction": True,
            "safeguard_warmup": True,
            "d_coef": 1.2,
            "growth_rate": 1.1,
            "beta3": 0.9,
        },
        {},
    ),
    "dadapt_adam": (
        from_torch("dadaptation", dadaptation.DAdaptAdam),
        "DAdaptAdam",
        {**OWN, "weight_decay": 0.1, "growth_rate": 1.05},
        {"decouple": True},
    ),
    "dadapt_adam_corrected": (
        from_torch("dadaptation", dadaptation.DAdaptAdam),
        "DAdaptAdam",
        {**OWN, "use_bias_correction": True, "growth_rate": 1.1},
        {},
    ),
    "dadapt_sgd": (
        from_torch("dadaptation", dadaptation.DAdaptSGD),
        "DAdaptSGD",
        {"momentum": 0.8, "d0": 1e-3, "growth_rate": 1.05},
        {},
    ),
    "dadapt_lion": (
        from_torch("dadaptation", dadaptation.DAdaptLion),
        "DAdaptLion",
        {"lr": 0.06, "betas": (0.8, 0.9), "weight_decay": 0.1, "d0": 0.1},
        {},
        {"tolerance": ROUNDED},
    ),
    "dog": (
        from_optax(optax.contrib.dog),
        "DoG",
        {"reps_rel": 1e-3, "weight_decay": 0.1},
        {"init_step": ("heuristic", 1e-3), "weight_decay": 0.1},
    ),
    "dowg": (
        from_optax(optax.contrib.dowg),
        "DoWG",
        {"lr": 0.1, "eps": 1e-2, "weight_decay": 0.1},
        {"learning_rate": 0.1, "eps": 1e-2, "weight_decay": 0.1},
    ),
    "schedule_free_sgd": (
        free(schedulefree.SGDScheduleFree, foreach=False),
        "ScheduleFreeSGD",
        {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.1, "warmup_steps": 20, "r": 0.5},
        {},
    ),
    "schedule_free_adamw": (
        free(schedulefree.AdamWScheduleFree, foreach=False),
        "ScheduleFreeAdamW",
        {**DECAYED, "warmup_steps": 20, "weight_lr_power": 1.0},
        {},
    ),
    "schedule_free_radam": (
        free(schedulefree.RAdamScheduleFree, foreach=False),
        "ScheduleFreeRAdam",
        DECAYED,
        {},
    ),
    "schedule_free_radam_sgd": (
        free(schedulefree.RAdamScheduleFree, foreach=False),
        "ScheduleFreeRAdam",
        {**DECAYED, "silent_sgd_phase": False},
        {},
    ),
}


def main(names: list[str]) -> None:
    """Writes one file for each case."""
    for name in names or CASES:
        recorder, ours, arguments, theirs, *options = CASES[name]
        recorder(name, ours, arguments, theirs, **(options[0] if options else {}))


if __name__ == "__main__":
    main(sys.argv[1:])
