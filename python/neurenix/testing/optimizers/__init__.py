"""A conformance suite for optimizers: the project's own and those of its users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import contract, correctness, elsewhere, forms, invariance, nothing, options, saving, storage
from .record import Record, per_tensor

__all__ = ["PROPERTIES", "Record", "check_optimizer", "check_property", "per_tensor"]

#: Every property by its name: a function that raises AssertionError where an optimizer lacks it, and says why where
#: it does not apply.
PROPERTIES: Final[Mapping[str, Callable[[Record], str | None]]] = {
    check.__name__: check
    for check in (
        correctness.computes_its_rule,
        correctness.hyperparameters_count,
        correctness.holds_in_low_precision,
        correctness.goes_downhill,
        invariance.order_and_grouping_do_not_show,
        invariance.tensors_are_independent,
        invariance.threads_do_not_show,
        invariance.strides_do_not_show,
        invariance.runs_repeat,
        nothing.zero_lr_moves_nothing,
        nothing.no_gradient_no_change,
        nothing.zero_gradients_are_finite,
        nothing.zero_gradients_move_nothing,
        nothing.gradients_are_not_written,
        saving.resumes_exactly,
        saving.refused_states_change_nothing,
        saving.state_has_its_size,
        saving.steps_need_little_memory,
        saving.state_may_be_made_early,
        saving.copies_go_on_alike,
        saving.counts_do_not_overflow,
        contract.maximizing_is_the_negated_gradient,
        contract.nonfinite_gradients_can_be_skipped,
        contract.nonfinite_gradients_can_raise,
        contract.bad_arguments_are_errors,
        contract.bad_parameters_are_errors,
        contract.errors_change_nothing,
        contract.hooks_are_called,
        contract.closures_are_called,
        contract.evaluation_comes_and_goes,
        contract.its_repr_tells,
        forms.steps_in_the_backward_pass,
        forms.agrees_with_its_functional_form,
        options.decays_as_by_hand,
        options.clips_as_by_hand,
        options.is_cautious_as_by_hand,
        options.averages_as_by_hand,
        options.accumulates_as_by_hand,
        options.resumes_exactly_with_options,
        elsewhere.resumes_in_a_new_process,
        storage.stores_states_as_asked,
        storage.resumes_exactly_in_few_bits,
        storage.rounds_parameters_as_asked,
    )
}


def check_property(record: Record, name: str) -> str | None:
    """Checks one property.

    Args:
        record: the optimizer.
        name: a key of `PROPERTIES`.

    Returns:
        None if the optimizer has the property; why it was not checked otherwise.

    Raises:
        AssertionError: says what was expected, what was found and with which arguments.
    """
    return record.skips.get(name) or PROPERTIES[name](record)


def check_optimizer(optimizer: Any, **fields: Any) -> dict[str, str]:
    """Checks that an optimizer keeps what Neurenix promises of all of them; see `PROPERTIES`.

    Args:
        optimizer: a class, a function `(params, **arguments) -> Optimizer`, or a `Record`.
        **fields: those of a `Record`, if it is none.

    Returns:
        The properties that were not checked, with the reason.

    Raises:
        AssertionError: with a line for each thing that is wrong, and the properties that do not hold for it.
        ValueError: if the record skips a property that does not exist.

    >>> import neurenix as nx
    >>> from neurenix.testing import check_optimizer
    >>> class Half(nx.optim.Optimizer):
    ...     def __init__(self, params, lr=0.1, **options):
    ...         super().__init__(params, {"lr": lr}, **options)
    ...
    ...     @staticmethod
    ...     def formula(p, g, *, lr):
    ...         return p - lr * 0.5 * g
    >>> unchecked = check_optimizer(
    ...     Half,
    ...     moves={"lr": 0.2},
    ...     errors=[({"lr": -1.0}, ValueError, "lr")],
    ...     state_bytes=0,
    ...     skips={"copies_go_on_alike": "a class of an example cannot be pickled"},
    ... )
    >>> unchecked["computes_its_rule"]
    'no oracle was given'
    """
    record = optimizer if isinstance(optimizer, Record) else Record(optimizer, **fields)
    if record is optimizer and fields:
        raise TypeError(f"check_optimizer: {', '.join(fields)} belong into the Record that was given")
    unknown = set(record.skips) - set(PROPERTIES)
    if unknown:
        raise ValueError(f"{record} skips {sorted(unknown)}; the properties are {', '.join(PROPERTIES)}")
    failures: dict[str, list[str]] = {}
    unchecked: dict[str, str] = {}
    first: Exception | None = None
    for name in PROPERTIES:
        try:
            reason = check_property(record, name)
        except Exception as failure:
            text = str(failure) if isinstance(failure, AssertionError) else repr(failure)
            failures.setdefault(text, []).append(name)
            first = first or failure
        else:
            if reason is not None:
                unchecked[name] = reason
    if failures:
        count = f"{sum(map(len, failures.values()))} of {len(PROPERTIES)}"
        lines = [f"  - {_few(names)}: {text}" for text, names in failures.items()]
        raise AssertionError("\n".join([f"{record} lacks {count} properties:", *lines])) from first
    return unchecked


def _few(names: list[str]) -> str:
    """What fails in the same way is most often one mistake."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
