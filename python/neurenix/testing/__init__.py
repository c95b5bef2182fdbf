"""Comparing tensors, checking gradients and optimizers, for the tests of Neurenix and for those of its users."""

from __future__ import annotations

from .compare import TOLERANCE, assert_close
from .gradients import check_grads
from .optimizers import PROPERTIES, Record, check_optimizer, check_property, per_tensor

__all__ = [
    "PROPERTIES",
    "TOLERANCE",
    "Record",
    "assert_close",
    "check_grads",
    "check_optimizer",
    "check_property",
    "per_tensor",
]
