"""What every optimizer can do besides its rule: options, each written once as a layer around any rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, TypedDict

from .bits import integer
from .decay import MODES, Inner
from .formula import Value, clamp, global_norm, maximum, mean, minimum, norm, sqrt, total, where
from .limits import Choice
from .rounding import noise as random_bits
from .rounding import split, stochastic
from .states import State
from .tracing import Layer, Recipe, keywords, negated

Policy: TypeAlias = Literal["propagate", "skip", "raise"]


class Options(TypedDict, total=False):
    """Keyword arguments that every optimizer takes. What has a number may be scheduled and differ by group.

    maximize: ascend instead of descend.
    nonfinite: what a step does about gradients with NaN or infinity: "propagate" uses them as they are, "skip" leaves
        parameters, state and step counts of all groups untouched, "raise" raises FloatingPointError with the
        parameters' names.
    weight_decay_mode: how `weight_decay` acts, see `neurenix.optim.decay`: "l2", "decoupled", "decoupled_after",
        "independent", "corrected", "proximal", "fixed", "cautious", "inside". By default as the optimizer's paper does.
    clip_norm: largest norm of all gradients together; larger ones are scaled down in the step, and stay as they are
        themselves. `optimizer.grad_norm` is the norm of the last step.
    clip_value: largest magnitude of an element of a gradient.
    clip_adaptive: largest ratio of gradient norm to parameter norm for each row of a matrix and each whole vector
        (arXiv 2102.06171; 0.01 is usual).
    centralize: subtract the mean of each row from the gradients of matrices (arXiv 2004.01461).
    cautious: leave out the elements of an update that point against the gradient (arXiv 2411.16085).
    ema: decay of an average of the weights that is kept with the state (0.999 is usual), see `Optimizer.ema`.
    accumulate: how many calls of `step()` make one step; their gradients are averaged. Each call takes the gradients
        out of `.grad`, which is None afterwards: none counts twice, with or without `zero_grad()`. A parameter is
        stepped if it had a gradient in any of the calls; calls without any gradient, and those that `nonfinite="skip"`
        leaves out, do not count. `optimizer.flush()` steps with the mean of fewer, as after the last batch of an epoch.
        `optimizer.accumulate` may change at any time; what waits goes on waiting.
    accumulate_sum: add the gradients up instead.
    state_dtype: how states are stored: "float32", "bfloat16", "float16", "int8" or "int4", or a dict of these by the
        name of the state. They are rounded at random, so that they follow changes below half a step, and training goes
        on as in float32. Few bits have a scale for each block of 256 or 128 elements. What a format would spoil is
        stored in a wider one, see `State`: averages of weights keep float32, squares have bfloat16 instead of float16,
        momentum that is the step itself int8 instead of int4. Small tensors, numbers, values of rows and columns, and
        the states of float64 parameters keep their precision. `optimizer.state` holds what is stored,
        `optimizer.decoded` gives its values.
    param_update: how bfloat16 and float16 parameters are rounded: to the "nearest", which loses steps below half a unit
        in the last place; "stochastic", right on average; or "kahan", which keeps what is lost beside them.
    rounding_seed: of stochastic rounding, of parameters and of states; the same seed, step and parameter give the same
        bits.
    foreach, fused, capturable: taken for torch's sake; every step here is fused.

    >>> import neurenix as nx
    >>> w = nx.Tensor([1.0], requires_grad=True)
    >>> optimizer = nx.optim.SGD([w], lr=0.1, maximize=True, nonfinite="skip")
    >>> w.grad = nx.Tensor([float("inf")])
    >>> optimizer.step()
    >>> w.tolist()
    [1.0]
    """

    maximize: bool
    nonfinite: Policy
    weight_decay_mode: str | None
    clip_norm: Any
    clip_value: Any
    clip_adaptive: Any
    centralize: bool
    cautious: bool
    ema: Any
    accumulate: int
    accumulate_sum: bool
    state_dtype: str | Mapping[str, str] | None
    param_update: Literal["nearest", "stochastic", "kahan"]
    rounding_seed: int
    foreach: bool | None
    fused: bool | None
    capturable: bool


#: The states of a parameter's gradients that wait for others: their sum, and how many they are.
SUM: Final = "accumulated"
COUNT: Final = "accumulated_count"

# Options that are hyperparameters of a group where they are given.
HYPER: Final = ("clip_norm", "clip_value", "clip_adaptive", "centralize", "cautious", "ema")
FURTHER: Final = (
    "nonfinite",
    "weight_decay_mode",
    "accumulate",
    "state_dtype",
    "param_update",
    "rounding_seed",
)
# Options that stand around a formula, and what they are where nobody asks for them.
_AROUND: Final = {
    **dict.fromkeys(HYPER),
    "weight_decay_mode": None,
    "accumulate": 1,
    "accumulate_sum": False,
    "state_dtype": None,
    "param_update": "nearest",
}
NARROW: Final = ("bfloat16", "float16")
ROUNDING: Final = Choice(("nearest", "stochastic", "kahan"))
DECAY_MODE: Final = Choice((None, *MODES))


def refuse(kind: str, options: Mapping[str, Any]) -> None:
    """Refuses options that a `step()` in plain Python would not heed."""
    asked = {name: value for name, value in options.items() if value is not None and value is not False}
    if unheeded := [name for name, usual in _AROUND.items() if asked.get(name, usual) != usual]:
        raise ValueError(
            f"{kind} takes no {', '.join(unheeded)}: it has no formula for them to act on; its step() would "
            "ignore them"
        )


def ema(p: Value, g: Value, average: Value, *, t: Value, inner: Inner, ema: Value) -> tuple[Value, Value]:
    """Keeps an average of the weights; the first is the weights themselves."""
    new = inner(p, g)
    decay = where(t == 1, 0, ema)
    return new, decay * average + (1 - decay) * new


def rounded_at_random(
    p: Value, g: Value, *, inner: Inner, noise: Value, identity: Value, dtype: str
) -> Value:
    """Rounds a bfloat16 or float16 parameter up or down at random; the number `identity` tells parameters apart."""
    new = inner(p, g)
    if dtype in NARROW:
        keys = integer(noise[0]) ^ integer(identity), integer(noise[1])
        new = stochastic(new, random_bits(new.tape.position(), keys), dtype)  # type: ignore[arg-type]
    return new


def compensated(p: Value, g: Value, rest: Value, *, inner: Inner, dtype: str) -> tuple[Value, Value]:
    """Keeps what rounding a bfloat16 or float16 parameter loses, and begins the next step with it."""
    if dtype not in NARROW:
        return inner(p, g), rest
    return split(inner(p + rest, g), dtype)  # type: ignore[arg-type]


def accumulated(
    p: Value, g: Value, sum: Value, count: Value, *, inner: Inner, share: Value
) -> tuple[Value, Value, Value]:
    """The step of a sum of gradients; sum and count begin anew."""
    return inner(p, (sum + g) * share), 0.0, 0.0


def gather(p: Value, g: Value, sum: Value) -> tuple[Value, Value]:
    """A gradient that waits for others."""
    return p, sum + g


def clip_value(p: Value, g: Value, *, inner: Inner, clip_value: Value) -> Value:
    """Clips each element."""
    return inner(p, clamp(g, -clip_value, clip_value))


def clip_norm(p: Value, g: Value, *, inner: Inner, clip_norm: Value) -> Value:
    """Clips the norm of all gradients together, which is the first number over all tensors."""
    return inner(p, g * minimum(1, clip_norm / (global_norm(g) + 1e-6)))


def clip_adaptive(p: Value, g: Value, *, inner: Inner, clip_adaptive: Value) -> Value:
    """Clips each row of a gradient by the norm of that row of the parameter."""
    most = clip_adaptive * maximum(sqrt(total(p * p, axis=-1)), 1e-3)
    length = norm(g, axis=-1)
    return inner(p, g * where(length > most, most / maximum(length, 1e-6), 1))


def centralize(p: Value, g: Value, *, inner: Inner, matrix: bool) -> Value:
    """Subtracts the mean of each row of a matrix's gradient."""
    return inner(p, g - mean(g, axis=-1) if matrix else g)


def cautious(p: Value, g: Value, *, inner: Inner) -> Value:
    """Leaves out what points against the gradient, and scales the rest up for it."""
    update = p - inner(p, g)
    agrees = update * g > 0
    return p - where(agrees, update / maximum(mean(agrees), 1e-3), 0)


def surround(
    recipe: Recipe, group: Mapping[str, Any], mode: str, accumulate: bool, rounding: str = "nearest"
) -> Recipe:
    """The recipe with the layers that a group's options ask for."""
    outer = list(_ROUNDING[rounding])
    if "ema" in group:
        outer.append(Layer(ema, (State("ema", init="param", role="position"),)))
    if accumulate:
        outer.append(Layer(accumulated, (State(SUM, stored="own"), State(COUNT, kind="scalar"))))
    if group["maximize"]:
        outer.append(Layer(negated))
    outer += [Layer(layer) for name, layer in _CLIPS.items() if name in group]
    if group.get("centralize"):
        outer.append(Layer(centralize))
    inner = []
    named = keywords(recipe.formula)
    own = named is None or "weight_decay" in named  # the rule has its own place for it
    if "weight_decay" in group and not (own and mode == "inside"):
        inner.append(Layer(MODES[mode]))
    if group.get("cautious"):
        inner.append(Layer(cautious))
    decays = own and mode == "inside"
    return Recipe(recipe.formula, recipe.states, (*outer, *recipe.layers, *inner), decays, recipe.directed)


_ROUNDING: Final[dict[str, tuple[Layer, ...]]] = {
    "nearest": (),
    "stochastic": (Layer(rounded_at_random),),
    "kahan": (Layer(compensated, (State("remainder", stored="param"),)),),
}
_CLIPS: Final[dict[str, Any]] = {
    "clip_value": clip_value,
    "clip_norm": clip_norm,
    "clip_adaptive": clip_adaptive,
}
