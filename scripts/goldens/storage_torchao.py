"""Records torchao's maps of few bits and what it makes of random blocks, for tests/optim/test_storage.py.

Run it with a Python that has torch and torchao:  python scripts/goldens/storage_torchao.py
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchao
from safetensors.torch import save_file
from torchao.optim import quant_utils

GOLDEN = (
    Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "storage" / "torchao.safetensors"
)
BLOCK = 256


def main() -> None:
    """Writes the file."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    maps = {
        "signed8": quant_utils.create_dynamic_map(signed=True),
        "unsigned8": quant_utils.create_dynamic_map(signed=False),
        "signed4": quant_utils.create_dynamic_map(True, 3, 4),
        "unsigned4": torch.linspace(0, 1, 17)[1:].tolist(),
    }
    for name, values in maps.items():
        table = torch.tensor(values)
        normal = torch.randn(24, BLOCK, generator=generator)
        spread = torch.exp(torch.rand(24, BLOCK, generator=generator) * 16 - 16)
        x = torch.where(torch.arange(24)[:, None] < 12, normal, normal * spread)
        x = x if name.startswith("signed") else x * x
        ratio, scale = quant_utils.scale_tensor(x, BLOCK)
        quantise = quant_utils.quantize_8bit_with_qmap if "8" in name else quant_utils.quantize_4bit_with_qmap
        codes = quantise(ratio, table).view(x.shape)
        tensors |= {f"{name}.table": table, f"{name}.x": x, f"{name}.scale": scale, f"{name}.codes": codes}
    save_file(tensors, GOLDEN, metadata={"torch": torch.__version__, "torchao": torchao.__version__})


if __name__ == "__main__":
    main()
