"""Faults in options."""

from __future__ import annotations

from neurenix.optim.formula import sign
from neurenix.testing.optimizers.options import MODES
from testing.optimizers.good import Good, formula, told


class Relapsing(Good):
    """Loses the average of the weights on loading."""

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        for entry in self.state.values():
            if "ema" in entry:
                entry["ema"].fill_(0.0)


FAULTS = [
    *(
        (
            "decays_as_by_hand",
            told(weight_decay_mode=lambda x, mode=mode: "l2" if x == mode else x),
            {},
            mode,
        )
        for mode in MODES
        if mode != "l2"
    ),
    ("decays_as_by_hand", told(weight_decay=lambda given: 0.99 * given), {}, "by hand it is"),
    ("clips_as_by_hand", told(clip_value=lambda given: 0.99 * given), {}, "clip_value"),
    ("clips_as_by_hand", told(clip_norm=lambda given: 0.99 * given), {}, "clip_norm"),
    ("clips_as_by_hand", told(clip_adaptive=lambda given: 0.99 * given), {}, "clip_adaptive"),
    (
        "clips_as_by_hand",
        formula(lambda p, g, *, lr, momentum: p - lr * sign(g)),
        {},
        "moves the result by 0 of",
    ),
    ("clips_as_by_hand", told(centralize=lambda given: False), {}, "centralize"),
    ("is_cautious_as_by_hand", told(cautious=lambda given: False), {}, "cautious"),
    ("averages_as_by_hand", told(ema=lambda given: 0.99 * given), {}, "differs from one by hand"),
    ("accumulates_as_by_hand", told(accumulate=lambda given: 1), {}, "already moves"),
    ("accumulates_as_by_hand", told(accumulate_sum=lambda given: False), {}, "accumulate_sum=True step 1"),
    ("resumes_exactly_with_options", Relapsing, {}, "resumed before step"),
]
