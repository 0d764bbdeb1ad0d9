"""What training minimises. All are compositions; each takes `weights` per example and a `reduction`.

``reduction`` is "mean" (over examples), "sum", or "none" (one loss per example). Integer labels and one-hot rows are
told apart by their dtype and number of axes.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Fraction, Positive, as_array, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.modes import is_grad_enabled
from ..engine.plain import plain
from ..engine.primitive import opaque
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from .activations import log_softmax, log_softmaxed, softmax, softplus
from .elementwise import abs, exp, greater, less_equal, log, maximum, multiply, square, where
from .indexing import one_hot, pick, picked, place, refuse_labels
from .reductions import mean, sum
from .shape import astype, reshape

Reduction: TypeAlias = Annotated[str, one_of("mean", "sum", "none")]


def _reduce(losses: Array, weights: Array | None, reduction: Reduction, what: str) -> Tensor:
    if weights is not None:
        shape = shape_of(losses)
        if shape_of(weights) not in (shape, ()):
            raise ShapeError(f"{what}: expected one weight per loss {shape}, got {shape_of(weights)}")
        if not isinstance(weights, Tensor):
            weights = as_array(weights, what, array_of(losses).dtype)
        losses = losses * weights
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    return losses


def _same_shape(what: str, prediction: Array, target: Array) -> Array:
    """The target, as data of the prediction's dtype; raises ShapeError unless the shapes are equal."""
    a, b = shape_of(prediction), shape_of(target)
    if a != b:
        fix = ""
        if int(np.prod(a)) == int(np.prod(b)):
            fix = f"; use target.reshape({a})"
        raise ShapeError(f"{what}: expected prediction and target of one shape, got {a} and {b}{fix}")
    return _floats(what, target, np.result_type(np.asarray(array_of(prediction)), np.float16))


def _floats(what: str, target: Array, dtype: Any) -> Array:
    """A target as numbers: a tensor of floats as it is, anything else in the given dtype."""
    if isinstance(target, Tensor):
        return target if target.dtype.kind == "f" else astype(target, dtype)
    return as_array(target, what, dtype)


def _per_example(losses: Array) -> Array:
    """Averaged over every axis but the first."""
    ndim = np.ndim(array_of(losses))
    return mean(losses, axis=tuple(range(1, ndim))) if ndim > 1 else losses


def _probabilities(x: Array, log_p: Any) -> Array:
    """softmax(x): from what forward found, or from x where it is followed."""
    return softmax(x) if isinstance(x, Tensor) and is_grad_enabled() else exp(log_p)


def _sample_labels(d: Any) -> Any:
    shape = (*d.shape(max_ndim=2), d.integer(1, 4))
    return (d.array(shape),), {"labels": d.rng.integers(0, shape[-1], shape[:-1])}


@opaque(
    vjp=lambda g, x, residual, labels: (
        _probabilities(x, residual) * reshape(g, (*g.shape, 1)) - place(g, labels, x.shape[-1])
    ),
    jvp=lambda t, x, residual, labels: sum(_probabilities(x, residual) * t, axis=-1) - pick(t, labels),
    residual=True, flops=lambda x, y, labels: 14 * math.prod(x), samples=_sample_labels,
)  # fmt: skip
def cross_entropy(x: Array, labels: Any) -> Array:
    """-log softmax(x) at each row's label: x (..., K), integers (...), losses (...). Derivative: softmax(x) - one_hot.

    A primitive for speed: rows with one label each need no table of zeros and ones.
    """
    log_p = log_softmaxed(x)
    return np.negative(picked(log_p, labels)), log_p


@checked
def softmax_cross_entropy(
    logits: Array, labels: Array, weights: Array | None = None, reduction: Reduction = "mean",
    label_smoothing: Fraction = 0.0, class_weights: Array | None = None, ignore_index: int | None = None,
) -> Tensor:  # fmt: skip
    """-Σ t log softmax(logits) over the last axis, from logits: stable for any logits.

    Parameters
    ----------
    logits : (..., K)
    labels : integers (...) in 0 ... K - 1, or one-hot rows or probabilities (..., K)
    weights : (...), optional, one per example
    label_smoothing : in [0, 1); mixes the labels with the uniform distribution
    class_weights : (K,), optional
        The weight of each class in the sum. With integer labels, the mean is then over the sum of the labels' weights.
    ignore_index : int, optional
        Examples with this label, which need be no class, have a loss of 0 and no share in the mean (NaN if none is
        left). Of integer labels only.

    Derivative: softmax(logits) - t.

    Raises ArgumentError for a label out of range, ShapeError when shapes do not fit.

    >>> softmax_cross_entropy(Tensor([[0.0, 0.0]]), [1])
    Tensor(0.69314718)
    >>> softmax_cross_entropy(Tensor([[0.0, 0.0], [5.0, 0.0]]), [1, -1], ignore_index=-1)
    Tensor(0.69314718)
    """
    what = "softmax_cross_entropy"
    shape = shape_of(logits)
    target: Array = labels if isinstance(labels, Tensor) else as_array(labels, what)
    if not shape:
        raise ShapeError("softmax_cross_entropy: expected logits (..., K), got a scalar")
    sparse = target.shape != shape
    kept: Any = None
    if sparse:
        if target.shape == (*shape[:-1], 1):
            target = target[..., 0]
        if target.shape != shape[:-1]:
            fix = ""
            if len(target.shape) == len(shape) and target.shape[:-1] == shape[:-1]:
                fix = f"; the last layer must have {target.shape[-1]} units, or the labels {shape[-1]} columns"
            raise ShapeError(
                f"softmax_cross_entropy: expected labels of shape {shape[:-1]} (integers) or {shape} (one-hot) for "
                f"logits {shape}, got {target.shape}{fix}"
            )
        if ignore_index is not None:
            kept, target = _kept(target, ignore_index, np.result_type(array_of(logits), np.float32))
        target = _class_numbers(target, shape[-1])
    elif ignore_index is not None:
        raise ArgumentError(f"{what}: expected integer labels with ignore_index, got shape {target.shape}")
    if class_weights is not None and shape_of(class_weights) != shape[-1:]:
        raise ShapeError(f"{what}: expected {shape[-1]} class_weights, got shape {shape_of(class_weights)}")
    if sparse and not label_smoothing and class_weights is None:
        shares: Any = kept
        losses = cross_entropy(logits, labels=array_of(target))
    else:
        log_p = log_softmax(logits, axis=-1)
        dtype = array_of(log_p).dtype
        t = one_hot(target, shape[-1], dtype) if sparse else _floats(what, labels, dtype)
        each: Any = 1 if class_weights is None else _floats(what, class_weights, dtype)
        shares = sum(t * each, axis=-1) if sparse and class_weights is not None else None
        if label_smoothing:
            t = t * (1 - label_smoothing) + label_smoothing / shape[-1]
        losses = -sum(t * each * log_p, axis=-1)
        if kept is not None:
            shares = kept if shares is None else shares * kept
    if kept is not None:
        losses = losses * kept
    if shares is None or reduction != "mean":
        return _reduce(losses, weights, reduction, what)
    return _reduce(losses, weights, "sum", what) / sum(shares)


@plain
def _kept(labels: Any, ignored: int, dtype: Any) -> Any:
    """1 for the examples that count and 0 for the others, whose labels become 0, which is a class."""
    here = labels != ignored
    return here.astype(dtype), np.where(here, labels, labels.dtype.type(0))


@plain
def _class_numbers(labels: Any, classes: int) -> Any:
    """Labels as integers, checked."""
    if labels.dtype.kind not in "iu":
        if labels.dtype.kind != "f" or not (labels == np.floor(labels)).all():
            raise DTypeError(f"softmax_cross_entropy: expected integer labels, got dtype {labels.dtype}")
        labels = labels.astype(np.intp)
    refuse_labels("softmax_cross_entropy", labels, classes)
    return labels


@checked
def binary_cross_entropy(
    logits: Array, labels: Array, weights: Array | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), p = sigmoid(logits), from logits: stable for any logits.

    `labels` are in [0, 1] and of the logits' shape. Derivative: sigmoid(logits) - t.

    >>> binary_cross_entropy(Tensor([0.0]), [1.0])
    Tensor(0.69314718)
    """
    target = _same_shape("binary_cross_entropy", logits, labels)
    _check_unit_interval(target)
    return _reduce(
        _per_example(softplus(logits) - multiply(logits, target)), weights, reduction, "binary_cross_entropy"
    )


@plain
def _check_unit_interval(labels: Any) -> None:
    if labels.size and (labels.min() < 0 or labels.max() > 1):
        raise ArgumentError(f"binary_cross_entropy: expected labels in [0, 1], got {labels.min()} to {labels.max()}")


@checked
def mse(prediction: Array, target: Array, weights: Array | None = None, reduction: Reduction = "mean") -> Tensor:
    """The mean of (prediction - target)². Derivative: 2 (prediction - target) / n.

    >>> mse(Tensor([1.0, 3.0]), [0.0, 0.0])
    Tensor(5.)
    """
    target = _same_shape("mse", prediction, target)
    return _reduce(_per_example(square(prediction - target)), weights, reduction, "mse")


@checked
def mae(prediction: Array, target: Array, weights: Array | None = None, reduction: Reduction = "mean") -> Tensor:
    """The mean of |prediction - target|. Derivative: the sign over n, 0 where they are equal.

    >>> mae(Tensor([1.0, -3.0]), [0.0, 0.0])
    Tensor(2.)
    """
    target = _same_shape("mae", prediction, target)
    return _reduce(_per_example(abs(prediction - target)), weights, reduction, "mae")


@checked
def huber(
    prediction: Array, target: Array, weights: Array | None = None, reduction: Reduction = "mean", delta: Positive = 1.0
) -> Tensor:
    """Half the square for errors up to delta, linear beyond: robust to outliers. Source: Huber (1964).

    Derivative: the error, limited to [-delta, delta].

    >>> huber(Tensor([0.5, 3.0]), [0.0, 0.0], reduction="none")
    Tensor([0.125, 2.5  ])
    """
    error = prediction - _same_shape("huber", prediction, target)
    size = abs(error)
    losses = where(less_equal(size, delta), 0.5 * square(error), delta * (size - 0.5 * delta))
    return _reduce(_per_example(losses), weights, reduction, "huber")


@checked
def hinge(prediction: Array, target: Array, weights: Array | None = None, reduction: Reduction = "mean") -> Tensor:
    """The mean of max(0, 1 - t * prediction), t in {-1, 1} (or {0, 1}, which are read as -1 and 1).

    Derivative: -t where the margin is violated, else 0; half of it at the kink.

    >>> hinge(Tensor([0.5]), [1])
    Tensor(0.5)
    """
    target = _same_shape("hinge", prediction, target)
    scale, shift = _to_signs(target)
    signs = target * scale + shift
    return _reduce(_per_example(maximum(1 - multiply(signs, prediction), 0.0)), weights, reduction, "hinge")


@plain
def _to_signs(target: Any) -> tuple[Any, Any]:
    """What makes targets -1 and 1 of these, which may be 0 and 1: a factor and a summand."""
    values = set(np.unique(target).tolist())
    if not (values <= {0.0, 1.0} or values <= {-1.0, 1.0}):
        raise ArgumentError(f"hinge: expected targets -1 and 1 (or 0 and 1), got {sorted(values)[:5]}")
    number = target.dtype.type
    return (number(2), number(-1)) if values <= {0.0, 1.0} else (number(1), number(0))


@checked
def kl_divergence(
    prediction: Array, target: Array, weights: Array | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Σ t log(t / p) over the last axis: how far the distribution `prediction` is from `target`.

    Terms with t = 0 are 0. Derivative with respect to p: -t / p.

    >>> kl_divergence(Tensor([[0.5, 0.5]]), [[1.0, 0.0]])
    Tensor(0.69314718)
    """
    t = _same_shape("kl_divergence", prediction, target)
    present = greater(t, 0)
    ratio: Any = log(where(present, t, 1.0)) - log(where(present, prediction, 1.0))
    return _reduce(sum(t * ratio, axis=-1), weights, reduction, "kl_divergence")


__all__ = ["binary_cross_entropy", "hinge", "huber", "kl_divergence", "mae", "mse", "softmax_cross_entropy"]
