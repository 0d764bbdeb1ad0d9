"""JAX: the step traced and compiled by `jax.jit`, channels last."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import networks as spec
from ..cases import DEPTH, links, small_conv
from ..networks import NETWORKS


def _conv(x: Any, w: Any, padding: str, groups: int = 1) -> Any:
    return lax.conv_general_dilated(
        x, w, (1, 1), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def _forward(layers: Any, x: Any, parameters: Any, statistics: list[Any]) -> Any:
    """The output; takes parameters from an iterator, and notes the batch's statistics."""
    for layer in layers:
        match layer:
            case spec.Conv(_, _, padding):
                x = _conv(x, next(parameters), padding) + next(parameters)
            case spec.Depthwise(size):
                channels = x.shape[-1]
                w = next(parameters).reshape(size, size, 1, channels)
                x = _conv(x, w, "same", channels) + next(parameters)
            case spec.Dense():
                x = x @ next(parameters) + next(parameters)
            case spec.MaxPool(size):
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, size, size, 1), "VALID")
            case spec.AvgPool(size):
                total = lax.reduce_window(x, 0.0, lax.add, (1, size, size, 1), (1, size, size, 1), "VALID")
                x = total / size**2
            case spec.Residual(inner):
                x = x + _forward(inner, x, parameters, statistics)
            case spec.BatchNorm:
                mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
                statistics += [mean, variance]
                x = (x - mean) * lax.rsqrt(variance + spec.EPSILON) * next(parameters) + next(parameters)
            case spec.Relu:
                x = jax.nn.relu(x)
            case spec.Tanh:
                x = jnp.tanh(x)
            case spec.Flatten:
                x = x.reshape(len(x), -1)
            case spec.GlobalAvgPool:
                x = x.mean((1, 2))
    return x


def network(case: str, form: str) -> Any:
    net = NETWORKS[case]
    x, t = map(jnp.asarray, spec.data(net))
    parameters = [jnp.asarray(value) for value in spec.weights(net)]
    norms = [s.before[-1] for s in spec.steps(net.layers, net.input) if s.layer == spec.BatchNorm]
    running = [jnp.full(channels, start, jnp.float32) for channels in norms for start in (0.0, 1.0)]

    def criterion(parameters: Any, x: Any, t: Any) -> Any:
        statistics: list[Any] = []
        logits = _forward(net.layers, x, iter(parameters), statistics)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), t[:, None], 1)
        return losses.mean(), statistics

    @jax.jit
    def update(parameters: Any, running: Any, x: Any, t: Any) -> Any:
        (loss, statistics), gradients = jax.value_and_grad(criterion, has_aux=True)(parameters, x, t)
        parameters = [p - spec.LEARNING_RATE * g for p, g in zip(parameters, gradients, strict=True)]
        running = [0.99 * old + 0.01 * new for old, new in zip(running, statistics, strict=True)]
        return loss, parameters, running

    def step() -> Any:
        nonlocal parameters, running
        loss, parameters, running = jax.block_until_ready(update(parameters, running, x, t))
        return loss

    return step


def chain(case: str, form: str) -> Any:
    x, w = map(jnp.asarray, links())

    def forward(x: Any) -> Any:
        y = x
        for _ in range(DEPTH):
            y = jnp.tanh(y * 1.0001 + w) - w
        return y.sum()

    both = jax.jit(jax.value_and_grad(forward))
    return lambda: jax.block_until_ready(both(x))[0]


def gradcheck(case: str, form: str) -> Any:
    """`check_grads`, to second order, in both modes."""
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    x, w = map(np.asarray, small_conv())
    return lambda: check_grads(lambda x, w: _conv(x, w, "valid"), (x, w), order=2)
