"""Records trajectories of other libraries' Adafactor for tests/optim.

Run it with a Python that has torch, safetensors, jax, optax, timm and transformers:
python scripts/goldens/adafactor.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import optax
import transformers.optimization as transformers
from timm.optim.adafactor_bv import AdafactorBigVision
from trajectories import optax_path, torch_path, write

# name: (arguments of neurenix, arguments of the library, shape)
CASES: dict[str, dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, ...]]]] = {
    "hf": {
        "matrix": ({"weight_decay": 0.1}, {"weight_decay": 0.1}, (4, 6)),
        "vector": ({}, {}, (24,)),
        "batch": (
            {"lr": 0.05, "relative_step": False, "scale_parameter": False, "momentum": 0.9, "d": 2.0},
            {
                "lr": 0.05,
                "relative_step": False,
                "scale_parameter": False,
                "beta1": 0.9,
                "clip_threshold": 2.0,
            },
            (2, 3, 4),
        ),
    },
    "optax": {
        "matrix": (
            {"lr": 0.05, "min_dim_size_to_factor": 2, "weight_decay": 0.01},
            {"learning_rate": 0.05, "min_dim_size_to_factor": 2, "weight_decay_rate": 0.01},
            (4, 6),
        ),
        "small": ({"lr": 0.05, "momentum": 0.8}, {"learning_rate": 0.05, "momentum": 0.8}, (6, 4)),
        "apart": (
            {"lr": 0.05, "min_dim_size_to_factor": 2, "momentum": 0.8, "d": 0.5, "scale_parameter": False},
            {
                "learning_rate": 0.05,
                "min_dim_size_to_factor": 2,
                "momentum": 0.8,
                "clipping_threshold": 0.5,
                "multiply_by_parameter_scale": False,
            },
            (4, 2, 3),
        ),
    },
    "timm": {
        "matrix": (
            {"lr": 0.02, "min_dim_size_to_factor": 2, "weight_decay": 0.1, "beta2_cap": 0.9},
            {"lr": 0.02, "min_dim_size_to_factor": 2, "weight_decay": 0.1, "beta2_cap": 0.9},
            (6, 4),
        ),
        "vector": ({"lr": 0.02, "d": 1.0}, {"lr": 0.02, "clipping_threshold": 1.0}, (24,)),
        "apart": (
            {"lr": 0.02, "min_dim_size_to_factor": 2, "momentum": 0.5, "decay_offset": 10},
            {"lr": 0.02, "min_dim_size_to_factor": 2, "momentum": 0.5, "decay_offset": 10},
            (4, 2, 3),
        ),
    },
}
PACKAGES = {"hf": "transformers", "optax": "optax", "timm": "timm"}
#: Optax computes the decay of its averages in float32.
TOLERANCE = {"optax": {"float32": 3e-6, "float64": 1e-6}}


def timm_adafactor(params: Any, **arguments: Any) -> Any:
    """The momentum in the parameter's dtype, as here, and not in bfloat16."""
    return AdafactorBigVision(params, momentum_dtype=params[0].dtype, **arguments)


def main() -> None:
    """Writes one file for each case."""
    kinds = {"hf": transformers.Adafactor, "timm": timm_adafactor, "optax": optax.adafactor}
    for library, cases in CASES.items():
        walk = optax_path if library == "optax" else torch_path
        for name, (arguments, theirs, shape) in cases.items():
            write(
                f"adafactor_{library}_{name}",
                "Adafactor",
                {"variant": library, **arguments},
                PACKAGES[library],
                partial(walk, partial(kinds[library], **theirs)),
                shape,
                TOLERANCE.get(library),
            )


if __name__ == "__main__":
    main()
