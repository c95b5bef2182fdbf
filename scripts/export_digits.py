"""Writes examples/web/digits.bin for the page there: for each digit 64 bytes of brightness and one that says which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

FILE = Path(__file__).parent.parent / "examples" / "web" / "digits.bin"

if __name__ == "__main__":
    digits = load_digits()
    FILE.write_bytes(np.c_[digits.data, digits.target].astype("uint8").tobytes())
