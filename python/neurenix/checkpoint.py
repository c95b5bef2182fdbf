"""Checkpoints: everything that training needs to go on bit for bit where it stood."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from neurenix._phynexus import Device, Generator, default_generator
from neurenix.serialize import load, save


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    generator: Generator | None = None,
    progress: Any = None,
) -> None:
    """Writes all that training needs to go on exactly where it stands.

    Args:
        path: where to; the old file stays whole if this fails.
        model: with `state_dict()`.
        optimizer: likewise; schedules passed as hyperparameters are in its state.
        scheduler: likewise.
        generator: whose random numbers go on; by default the one that `manual_seed` seeds.
        progress: plain values and tensors of the loop's own: epoch, position in the data, best loss.
    """
    source = default_generator() if generator is None else generator
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    content: dict[str, Any] = {name: part.state_dict() for name, part in parts.items() if part is not None}
    content["random"] = {"seed": source.seed, "offset": source.offset}
    save({**content, "progress": progress}, path)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    generator: Generator | None = None,
    device: Device | str | None = None,
) -> Any:
    """Restores what `save_checkpoint` wrote into the objects given, and returns its `progress`.

    Raises:
        ValueError: if the file lacks a part that is asked for, or a part does not fit.

    After an error or an interruption model, optimizer, scheduler and generator are what they were.

    Example:
        >>> import neurenix as nx, os, tempfile
        >>> from neurenix.checkpoint import load_checkpoint, save_checkpoint
        >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
        >>> model = nx.nn.Linear(3, 1)
        >>> optimizer = nx.optim.Adam(model.named_parameters())
        >>> save_checkpoint(path, model=model, optimizer=optimizer, progress={"epoch": 2})
        >>> load_checkpoint(path, model=model, optimizer=optimizer)
        {'epoch': 2}
    """
    content = load(path, device)
    parts = {"optimizer": optimizer, "scheduler": scheduler, "model": model}
    wanted = {name: part for name, part in parts.items() if part is not None}
    missing = [
        name
        for name in (*wanted, "random", "progress")
        if not isinstance(content, dict) or name not in content
    ]
    if missing:
        raise ValueError(f"{os.fspath(path)}: no checkpoint with {', '.join(missing)}; see save_checkpoint")
    target = default_generator() if generator is None else generator
    undo = [_restoring(part) for name, part in wanted.items() if name != "model"]
    seed, offset = target.seed, target.offset
    try:
        for name, part in wanted.items():
            if name == "model":  # the last, and in itself all or nothing
                _seed(target, content["random"])
            part.load_state_dict(content[name])
    except BaseException:
        _seed(target, {"seed": seed, "offset": offset})
        for restore in undo:
            restore()
        raise
    _seed(target, content["random"])
    return content["progress"]


def _restoring(part: Any) -> Callable[[], object]:
    """What brings a part back to its present state."""
    from neurenix.optim import Optimizer

    if isinstance(part, Optimizer):
        return part._restoring()  # without copies: memory may be what is short
    return functools.partial(part.load_state_dict, part.state_dict())


def _seed(generator: Generator, random: Mapping[str, int]) -> None:
    generator.manual_seed(random["seed"])
    generator.offset = random["offset"]
