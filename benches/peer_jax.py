"""JAX with Optax: the whole step is jitted, and gives its old parameters and state up for reuse."""

import functools
from itertools import pairwise

import harness
import jax
import jax.numpy as jnp
import numpy as np
import optax


def optimizer(rule):
    if rule == "sgdm":
        return optax.sgd(harness.LR, momentum=harness.MOMENTUM)
    b1, b2 = harness.BETAS
    if rule == "adam":
        return optax.adam(harness.LR, b1=b1, b2=b2, eps=harness.EPS)
    return optax.adamw(harness.LR, b1=b1, b2=b2, eps=harness.EPS, weight_decay=harness.DECAY)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape, dtype="float32"))


def repeat(opt, params, gradient, data):
    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, *data):
        updates, state = opt.update(gradient(params, *data), state, params)
        return optax.apply_updates(params, updates), state

    held = (params, opt.init(params))

    def run(n):
        nonlocal held
        for _ in range(n):
            held = step(*held, *data)
        jax.block_until_ready(held)

    return run


def train(widths, rows, rule):
    params = [(normal(i, o) * i**-0.5, jnp.zeros(o)) for i, o in pairwise(widths)]

    def loss(params, x, y):
        *hidden, (last, bias) = params
        for w, b in hidden:
            x = jax.nn.relu(x @ w + b)
        return jnp.square(x @ last + bias - y).mean()

    return repeat(
        optimizer(rule), params, jax.grad(loss), (normal(rows, widths[0]), normal(rows, widths[-1]))
    )


def step(sizes, rule):
    grads = [normal(size) for size in sizes]
    return repeat(
        optimizer(rule), [normal(size) for size in sizes], lambda params, *grads: list(grads), grads
    )


harness.main("jax", jax.__version__, train, step)
