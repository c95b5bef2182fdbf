"""Faults in what surrounds a step."""

from __future__ import annotations

from neurenix import Tensor
from neurenix.optim.limits import ANYTHING
from testing.optimizers.good import Good, Plain, formula


class Descending(Plain):
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(group["lr"] * param.grad)


class Unguarded(Good):
    def _check_gradients(self, loss):
        pass


class Nameless(Good):
    def _check_gradients(self, loss):
        try:
            super()._check_gradients(loss)
        except FloatingPointError:
            raise FloatingPointError("something is not finite") from None


class Patient(Good):
    """Takes no parameters at all."""

    def __init__(self, params, *args, **options):
        super().__init__(params or [Tensor([1.0], requires_grad=True)], *args, **options)


class Hasty(Plain):
    """Moves before it looks at the hyperparameters."""

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.sub_(0.1 * param.grad)
            self.hyperparameters(group)


class Deaf(Good):
    def register_step_pre_hook(self, hook):
        return super().register_step_pre_hook(lambda *_: None)


class Silent(Plain):
    def step(self, closure=None):
        super().step(closure)


class Streamed(Good):
    """Steps in the backward pass with gradients that are too large."""

    def _backward_leaf(self, param):
        param.grad = param.grad * 1.01
        return super()._backward_leaf(param)


class Keeping(Good):
    """Does not let gradients go in the backward pass."""

    def _backward_leaf(self, param):
        super()._backward_leaf(param)
        return False


class Bypassed(Plain):
    """Takes part in the backward pass with another step than its own."""

    def _backward_begin(self):
        return 0

    def _backward_leaf(self, param):
        return True

    def _backward_end(self, error):
        pass


class Marked(Good):
    """Keeps in itself what belongs into its state."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        self.param_groups[0]["lr"] = 0.1 / self.steps
        return super().step(closure)


class Lasting(Good):
    """Does not give the weights back."""

    def eval(self):
        for param in self.param_groups[0]["params"]:
            param.data = param.detach() * 0.5


class Terse(Good):
    def __repr__(self):
        return "Terse()"


FAULTS = [
    ("maximizing_is_the_negated_gradient", Descending, {}, "at step 1"),
    ("nonfinite_gradients_can_be_skipped", Unguarded, {}, "changed parameters"),
    ("nonfinite_gradients_can_raise", Unguarded, {}, "does not raise"),
    ("nonfinite_gradients_can_raise", Nameless, {}, "does not name parameter 4"),
    (
        "bad_arguments_are_errors",
        formula(Good.formula, states=("m",), limits={"lr": ANYTHING}),
        {},
        "is no error",
    ),
    ("bad_arguments_are_errors", Good, {"errors": [({"lr": -1}, TypeError, "lr")]}, "not TypeError"),
    ("bad_arguments_are_errors", Good, {"errors": [({"lr": -1}, ValueError, "eta")]}, "does not say 'eta'"),
    ("bad_parameters_are_errors", Patient, {}, "no parameters as parameters"),
    ("errors_change_nothing", Hasty, {}, "changed parameters"),
    (
        "errors_change_nothing",
        formula(Good.formula, states=("m",), limits={"lr": ANYTHING}),
        {},
        "is no error",
    ),
    ("hooks_are_called", Deaf, {}, "hooks were called as"),
    ("closures_are_called", Silent, {}, "the loss is not returned"),
    ("steps_in_the_backward_pass", Streamed, {}, "step 1 in the backward pass differs"),
    ("steps_in_the_backward_pass", Keeping, {}, "still have gradients"),
    ("steps_in_the_backward_pass", Bypassed, {}, "does not call its step"),
    ("agrees_with_its_functional_form", Marked, {}, "step 2 of its functional form"),
    ("evaluation_comes_and_goes", Lasting, {}, "a step moves"),
    ("its_repr_tells", Terse, {}, "does not show lr"),
    ("its_repr_tells", Terse, {"arguments": {}, "oracle": None}, "does not show lr"),
]
