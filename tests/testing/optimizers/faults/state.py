"""Faults in what is kept: saved, loaded, copied, stored in few bits."""

from __future__ import annotations

import sys

from neurenix.optim.formula import exp
from testing.optimizers.good import Good, Plain, formula, told


class Forgetful(Plain):
    """Momentum where no saved state holds it."""

    def update(self, param, grad, lr, place):
        memory = self.__dict__.setdefault("memory", {})
        memory[id(param)] = 0.5 * memory.get(id(param), 0.0) + grad
        param.sub_(lr * memory[id(param)])


class Loose(Good):
    def load_state_dict(self, state_dict):
        try:
            super().load_state_dict(state_dict)
        except ValueError:
            self.param_groups[0]["lr"] = 0.5


class Torn(Good):
    def load_state_dict(self, state_dict):
        if "state" in state_dict:
            self.param_groups[0]["lr"] = state_dict["param_groups"][0]["lr"] / 2
        super().load_state_dict(state_dict)


class Eager(Good):
    def init_state(self):
        super().init_state()
        for entry in self.state.values():
            entry["m"].fill_(1.0)


class Uncopied(Good):
    def __getstate__(self):
        return {**super().__getstate__(), "_state": []}


class Alone(Good):
    """Copies that still hold the original's parameters."""

    def __deepcopy__(self, memo):
        return type(self)(self.param_groups[0]["params"], 0.1, 0.5)


class Bound(Good):
    """Keeps in the process what belongs into its state."""

    steps = 0

    def step(self, closure=None):
        Bound.steps += 1
        self.param_groups[0]["lr"] = 0.1 / Bound.steps
        return super().step(closure)


class Local(Good):
    """Loads its state where it was made only."""

    def load_state_dict(self, state_dict):
        if "pytest" not in sys.modules:
            raise RuntimeError("not here")
        super().load_state_dict(state_dict)


class Swollen(Good):
    """Moves more where its state is stored in few bits."""

    def step(self, closure=None):
        loss = super().step(closure)
        if self.state_dtype == "int4":
            for param in self.param_groups[0]["params"]:
                param.mul_(1.001)
        return loss


def losing(name):
    """The good optimizer that loses something of its state on loading."""

    def load(self, state_dict):
        Good.load_state_dict(self, state_dict)
        for entry in self.state.values():
            if name in entry:
                entry[name].fill_(0.5)

    return type("Losing", (Good,), {"load_state_dict": load})


FAULTS = [
    ("resumes_exactly", Forgetful, {}, "resumed before step 2"),
    ("refused_states_change_nothing", Loose, {}, "takes an empty dict"),
    ("refused_states_change_nothing", Torn, {}, "changed the optimizer"),
    ("state_has_its_size", Good, {"state_bytes": 8}, "48 bytes of state, not 96"),
    ("state_has_its_size", Good, {"state_bytes": lambda shape: 4 * sum(shape)}, "48 bytes of state, not 28"),
    ("steps_need_little_memory", Plain, {"temporaries": 0}, "bytes beside what it keeps; 0 times"),
    ("state_may_be_made_early", Eager, {}, "changes the steps after it"),
    ("copies_go_on_alike", Uncopied, {}, "a deep copy goes elsewhere"),
    ("copies_go_on_alike", Alone, {}, "does not hold the copied parameters"),
    ("counts_do_not_overflow", formula(lambda p, g, *, t, lr: p - lr * exp(t * 1e-6) * g), {}, "not finite"),
    ("resumes_in_a_new_process", Bound, {}, "resumed in another process"),
    ("resumes_in_a_new_process", Local, {}, "(?s)cannot go on: .*not here"),
    ("stores_states_as_asked", Swollen, {}, "state_dtype='int4' is not that of float32"),
    (
        "stores_states_as_asked",
        told(state_dtype=lambda kind: "bfloat16" if kind == "int8" else kind),
        {},
        "state_dtype='int8' m of parameter 0 is not stored so",
    ),
    ("resumes_exactly_in_few_bits", losing("m_scale"), {}, "'state_dtype': 'int8'} resumed before step 2"),
    ("resumes_exactly_in_few_bits", losing("remainder"), {}, "'param_update': 'kahan'} resumed before"),
    *(
        ("rounds_parameters_as_asked", told(param_update=lambda given, to=to: to[given]), {}, message)
        for to, message in [
            (dict.fromkeys(("nearest", "stochastic", "kahan"), "stochastic"), "does not round to nearest"),
            (dict.fromkeys(("nearest", "stochastic", "kahan"), "nearest"), "are rounded away"),
            ({"nearest": "nearest", "stochastic": "stochastic", "kahan": "nearest"}, "does not keep"),
        ]
    ),
]
