"""A trained model with the encoding of its data, from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurenix import Tensor, load, no_grad
from neurenix.data import DataError, Encoder, Table, Target
from neurenix.train.options import Options

FORMAT = "neurenix training 1"
CHECKPOINT = "checkpoint.safetensors"
PARTS = ("options", "model", "optimizer", "encoder", "target", "data", "place")


class Predictor:
    """Runs a trained model on new rows.

    Args:
        path: a checkpoint, or the folder that `neurenix train` wrote it to.

    Raises:
        DataError: there is no such checkpoint, or it is not one of a training run.

    Example:
        >>> import os, tempfile
        >>> from neurenix import data, train
        >>> iris = data.read("iris")
        >>> run = train.Run(data.prepare(iris), train.Options(hidden=(8,), epochs=20))
        >>> _ = train.fit(run)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run.save(os.path.join(folder, "checkpoint.safetensors"))
        ...     predictor = train.Predictor(folder)
        >>> labels, probabilities = predictor(iris)
        >>> labels[0], probabilities.shape
        ('setosa', (150, 3))
    """

    def __init__(self, path: str | Path) -> None:
        state = read_checkpoint(path)
        self.encoder = Encoder(list(state["encoder"]))
        self.target = Target(**state["target"])
        self.model = Options.from_dict(state["options"]).make_model(
            self.encoder.width, len(self.target.classes) or 1
        )
        self.model.load_state_dict(state.get("averages") or state["model"])
        self.model.eval()

    def __call__(self, table: Table) -> tuple[list[Any], NDArray[np.float32]]:
        """Predictions for each row.

        Returns:
            Class names and probabilities of shape (rows, classes), or numbers and an array of shape (rows, 0).
        """
        x = self.encoder.transform(table)
        with no_grad():
            chunks = [self.model(Tensor(x[i : i + 4096])) for i in range(0, len(x), 4096)]
            if self.target.task == "classification":
                probabilities = np.concatenate([chunk.softmax(1).numpy() for chunk in chunks])
                classes = [self.target.classes[i] for i in probabilities.argmax(1)]
                return classes, probabilities
        values = np.concatenate([chunk.numpy() for chunk in chunks])[:, 0].astype(np.float64)
        numbers = values * self.target.deviation + self.target.mean
        return numbers.tolist(), np.empty((len(x), 0), np.float32)


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """The contents of a training run's checkpoint.

    Args:
        path: the file, or the folder that `neurenix train` wrote it to.

    Raises:
        DataError: there is no such checkpoint, or it is not one of a training run.
        ValueError: the file is damaged.
    """
    file = Path(path) / CHECKPOINT if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise DataError(
            f"there is no checkpoint {file}; expected a folder of `neurenix train` or its {CHECKPOINT}"
        )
    state: Mapping[str, Any] = load(file)
    found = state.get("format", "other tensors")
    if found != FORMAT:
        raise DataError(
            f"{file} is not a checkpoint of `neurenix train` (expected {FORMAT!r}, found {found!r})"
        )
    if absent := [part for part in PARTS if part not in state]:
        raise DataError(f"{file} is a checkpoint without {', '.join(absent)}; load an earlier one")
    return state
