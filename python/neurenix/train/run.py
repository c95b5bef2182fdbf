"""One training run: everything that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from neurenix import Device, Generator, Tensor, get_available_devices, manual_seed, nn, optim, save
from neurenix.data import DataError, Prepared, Table
from neurenix.train.options import Options
from neurenix.train.predictor import FORMAT


class Run:
    """A model in training, with its optimizer, its data and its place in them.

    Args:
        data: the encoded rows.
        options: how to train.
        make_optimizer: gives the optimizer for (model, steps of the run); what the options say when None.

    Attributes:
        epoch: passes over all rows that are complete.
        batch: steps done of the pass that is not.

    Example:
        >>> from neurenix import data, train
        >>> run = train.Run(data.prepare(data.read("iris")), train.Options(hidden=(8,), epochs=5))
        >>> run.steps_per_epoch, run.total_steps
        (2, 10)
    """

    def __init__(
        self,
        data: Prepared,
        options: Options | None = None,
        make_optimizer: Callable[[nn.Module, int], optim.Optimizer] | None = None,
    ) -> None:
        self.data = data
        self.options = options or Options()
        self.device = Device(self.options.device)
        if self.device != Device("cpu") and self.device not in get_available_devices():
            raise ValueError(
                f"device {self.options.device} is not there; `neurenix info` lists those that are"
            )
        self.random = manual_seed(self.options.seed)
        self.shuffle = Generator(self.options.seed + 1)
        classes = data.target.classes
        self.model = self.options.make_model(data.x.shape[1], len(classes) or 1)
        self.loss: nn.Module = (
            nn.CrossEntropyLoss(label_smoothing=self.options.label_smoothing) if classes else nn.MSELoss()
        )
        for param in self.model.parameters():
            param.to(self.device, inplace=True)
        self.optimizer = (make_optimizer or self.options.make_optimizer)(self.model, self.total_steps)
        shape = (-1,) if classes else (-1, 1)
        self.x, self.x_val = (Tensor(x, device=self.device) for x in (data.x, data.x_val))
        self.y, self.y_val = (Tensor(y.reshape(shape), device=self.device) for y in (data.y, data.y_val))
        self.epoch = 0
        self.batch = 0
        self.sums = [0.0, 0.0]  # of loss and correct rows in the pass that is not complete
        self.order_state = self._place(self.shuffle)  # where the order of that pass was drawn

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a pass; the last one may be smaller."""
        return -(-len(self.data.x) // self.options.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.options.steps or self.steps_per_epoch * self.options.epochs

    @property
    def total_epochs(self) -> int:
        """Passes of the whole run; the last may end early where the steps were given."""
        return -(-self.total_steps // self.steps_per_epoch)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def done(self) -> bool:
        """Whether all steps are."""
        return self.step >= self.total_steps

    def draw_order(self) -> Tensor:
        """The order of rows in the current pass, of shape (rows,); drawn again after a resume."""
        self._go(self.shuffle, self.order_state)
        return Tensor.randperm(len(self.data.x), generator=self.shuffle).to(self.device)

    def end_epoch(self) -> None:
        """Moves on to the next pass."""
        self.epoch += 1
        self.batch = 0
        self.sums = [0.0, 0.0]
        self.order_state = self._place(self.shuffle)

    def save(self, path: str | Path) -> None:
        """Writes the checkpoint; the file is replaced whole or not at all."""
        training, shown = self.model.training, {}
        if optim.named(self.options.optimizer).averages:
            self.model.eval()
            shown = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.train()  # puts the weights of training in place
        state = {
            "format": FORMAT,
            "options": self.options.to_dict(),
            "model": self.model.state_dict(),
            "averages": shown,
            "optimizer": self.optimizer.state_dict(),
            "encoder": self.data.encoder.columns,
            "target": vars(self.data.target),
            "data": self.data.fingerprint,
            "place": {
                "epoch": self.epoch,
                "batch": self.batch,
                "sums": self.sums,
                "order": self.order_state,
                "random": self._place(self.random),
            },
        }
        save(state, path)
        self.model.train(training)

    @classmethod
    def resume(cls, state: Mapping[str, Any], table: Table, changes: Mapping[str, Any] | None = None) -> Run:
        """The run of a checkpoint, to go on as if it had never stopped.

        Args:
            state: what `read_checkpoint` gives.
            table: the same rows as before.
            changes: options that were given anew. Only the device and the number of epochs or steps can differ;
                with more of them the schedule follows the new number.

        Raises:
            DataError: the rows or further options are others.
        """
        saved = Options.from_dict(state["options"])
        changes = dict(changes or {})
        if "epochs" in changes:
            changes.setdefault("steps", None)
        options = replace(saved, **changes)
        for name, value in asdict(options).items():
            before = getattr(saved, name)
            if value != before and name not in ("device", "epochs", "steps"):
                usual = "its usual value" if before is None else before
                raise DataError(
                    f"this run was started with {name} {usual}, not {value}; leave the option out"
                )
        run = cls(options.prepare(table), options)
        if state["data"] != run.data.fingerprint:
            raise DataError(
                f"{table.name} has changed, or was not prepared by Options.prepare: "
                f"{state['data']} then, {run.data.fingerprint} now"
            )
        run._load(state)
        return run

    def _load(self, state: Mapping[str, Any]) -> None:
        place = state["place"]
        self.model.load_state_dict(state["model"])
        schedules = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, lr in zip(self.optimizer.param_groups, schedules, strict=True):
            group["lr"] = lr  # the options say it, perhaps with more epochs
        self.epoch, self.batch, self.sums = place["epoch"], place["batch"], list(place["sums"])
        self.order_state = list(place["order"])
        self._go(self.random, place["random"])

    @staticmethod
    def _place(generator: Generator) -> list[int]:
        return [generator.seed, generator.offset]

    @staticmethod
    def _go(generator: Generator, place: list[int]) -> None:
        generator.manual_seed(place[0])
        generator.offset = place[1]
