"""A trained model with the encoding of its data, from a checkpoint."""

from __future__ import annotations

import itertools
import math
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
        DataError: there is no such checkpoint, or it is not one of a training run, or damaged.

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
        try:
            self.encoder = Encoder([_column(column) for column in state["encoder"]])
            self.target = _target(state["target"])
            options = Options.from_dict(state["options"])
            weights = state.get("averages") or state["model"]
            widths = (self.encoder.width, *options.hidden, len(self.target.classes) or 1)
            _check_weights(weights, widths)
            self.model = options.make_model(widths[0], widths[-1])
            self.model.load_state_dict(weights)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"{path} holds no model that can be used: {error}") from None
        self.model.eval()

    def __call__(self, table: Table | Mapping[str, Any] | Any) -> tuple[list[Any], NDArray[np.float32]]:
        """Predictions for each row.

        Args:
            table: rows with the columns of the training data; also a mapping or a data frame, as of `Table`.

        Returns:
            Class names and probabilities of shape (rows, classes), or numbers and an array of shape (rows, 0).
        """
        x = self.encoder.transform(table if isinstance(table, Table) else Table(table))
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
        DataError: there is no such checkpoint, it is not one of a training run, or the file is damaged.
    """
    file = Path(path) / CHECKPOINT if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise DataError(
            f"there is no checkpoint {file}; expected a folder of `neurenix train` or its {CHECKPOINT}"
        )
    try:
        state: Any = load(file)
    except ValueError as error:
        raise DataError(str(error)) from None
    found = state.get("format", "other tensors") if isinstance(state, Mapping) else type(state).__name__
    if found != FORMAT:
        raise DataError(
            f"{file} is not a checkpoint of `neurenix train` (expected {FORMAT!r}, found {found!r:.100})"
        )
    if absent := [part for part in PARTS if part not in state]:
        raise DataError(f"{file} is a checkpoint without {', '.join(absent)}; load an earlier one")
    return dict(state)


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    """What an encoder learned of a column, checked."""
    name, kind = column["name"], column["kind"]
    if not isinstance(name, str) or kind not in ("number", "text"):
        raise ValueError(f"the encoder has a column {name!r:.50} of kind {kind!r:.50}")
    if kind == "text":
        values = column["values"]
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"the encoder's column {name!r:.50} has values that are no texts")
        return {"name": name, "kind": kind, "values": list(values)}
    mean, deviation = _float(column["mean"]), _float(column["deviation"], math.inf)
    decimal = column.get("decimal", ".")
    if not deviation > 0 or decimal not in (".", ","):
        raise ValueError(
            f"the encoder's column {name!r:.50} has the deviation {deviation} and {decimal!r:.20}"
        )
    return {"name": name, "kind": kind, "mean": mean, "deviation": deviation, "decimal": decimal}


def _target(values: Mapping[str, Any]) -> Target:
    """How predictions are read back, checked."""
    target = Target(**values)
    classes = list(target.classes)
    if not isinstance(target.name, str) or not all(isinstance(name, str) for name in classes):
        raise ValueError("the names of the target and its classes must be texts")
    if target.task not in ("classification", "regression") or (target.task == "classification") != bool(
        classes
    ):
        raise ValueError(f"the target's task is {target.task!r:.50} with {len(classes)} classes")
    return Target(
        target.name, target.task, classes, _float(target.mean), _float(target.deviation), target.decimal
    )


def _float(value: Any, limit: float = 0.0) -> float:
    """A finite number; or the limit."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found = float(value)
        if math.isfinite(found) or found == limit:
            return found
    raise ValueError(f"expected a finite number, found {value!r:.50}")


def _check_weights(weights: Any, widths: tuple[int, ...]) -> None:
    """That the tensors are those of the layers, before layers of these widths are made."""
    if not isinstance(weights, Mapping):
        raise ValueError("the weights are no tensors by name")
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
            tensor = weights.get(f"{2 * layer}.{name}")
            if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
                found = tuple(tensor.shape) if isinstance(tensor, Tensor) else "nothing"
                raise ValueError(f"layer {layer} needs a {name} of shape {shape}, found {found}")
