"""What all tests share: they draw the same random numbers in whatever order they run."""

import neurenix
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _seeded():
    neurenix.manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
