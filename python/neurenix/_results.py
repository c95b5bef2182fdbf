"""What functions with two results return."""

from typing import NamedTuple

from neurenix._phynexus import Tensor


class Found(NamedTuple):
    """Values of a tensor and the positions where they stand along a dimension."""

    values: Tensor
    indices: Tensor
