"""Convolutions and poolings as loops that follow their definitions: slow, and obviously right.

Every function takes plain numbers for the geometry: ``stride`` and ``dilation`` one int per spatial axis, ``pads`` one
(before, after) pair per axis. Everything is float64 with channels last, and loops visit one window at a time.
"""

from itertools import product

import numpy as np


def out_sizes(sizes, kernel, stride, pads, dilation):
    """How many windows fit, by counting them."""
    counts = []
    for n, k, s, (before, after), d in zip(sizes, kernel, stride, pads, dilation, strict=True):
        start, count = 0, 0
        while start + d * (k - 1) < before + n + after:
            start, count = start + s, count + 1
        counts.append(count)
    return tuple(counts)


def visits(sizes, kernel, stride, pads, dilation):
    """Every (output place, kernel offset, input place), in row-major order; input place None in the padding."""
    for out in product(*map(range, out_sizes(sizes, kernel, stride, pads, dilation))):
        for offset in product(*map(range, kernel)):
            place = tuple(
                o * s + i * d - before
                for o, s, i, d, (before, _) in zip(out, stride, offset, dilation, pads, strict=True)
            )
            inside = all(0 <= p < n for p, n in zip(place, sizes, strict=True))
            yield out, offset, place if inside else None


def conv(x, w, stride, pads, dilation, groups=1):
    n, *sizes, channels = x.shape
    *kernel, per_group, c_out = w.shape
    assert channels == per_group * groups
    y = np.zeros((n, *out_sizes(sizes, kernel, stride, pads, dilation), c_out))
    for out, offset, place in visits(sizes, kernel, stride, pads, dilation):
        if place is None:
            continue
        for image, c in product(range(n), range(c_out)):
            group = c // (c_out // groups)
            for k in range(per_group):
                y[(image, *out, c)] += x[(image, *place, group * per_group + k)] * w[(*offset, k, c)]
    return y


def conv_input_grad(g, w, sizes, stride, pads, dilation, groups=1):
    n, *_, c_out = g.shape
    *kernel, per_group, _ = w.shape
    dx = np.zeros((n, *sizes, per_group * groups))
    for out, offset, place in visits(sizes, kernel, stride, pads, dilation):
        if place is None:
            continue
        for image, c in product(range(n), range(c_out)):
            group = c // (c_out // groups)
            for k in range(per_group):
                dx[(image, *place, group * per_group + k)] += g[(image, *out, c)] * w[(*offset, k, c)]
    return dx


def conv_kernel_grad(x, g, kernel, stride, pads, dilation, groups=1):
    n, *sizes, channels = x.shape
    c_out, per_group = g.shape[-1], channels // groups
    dw = np.zeros((*kernel, per_group, c_out))
    for out, offset, place in visits(sizes, kernel, stride, pads, dilation):
        if place is None:
            continue
        for image, c in product(range(n), range(c_out)):
            group = c // (c_out // groups)
            for k in range(per_group):
                dw[(*offset, k, c)] += x[(image, *place, group * per_group + k)] * g[(image, *out, c)]
    return dw


def depthwise_conv2d(x, w, stride, pads, dilation):
    n, *sizes, channels = x.shape
    *kernel, _, multiplier = w.shape
    y = np.zeros((n, *out_sizes(sizes, kernel, stride, pads, dilation), channels * multiplier))
    for out, offset, place in visits(sizes, kernel, stride, pads, dilation):
        if place is None:
            continue
        for image, c, m in product(range(n), range(channels), range(multiplier)):
            y[(image, *out, c * multiplier + m)] += x[(image, *place, c)] * w[(*offset, c, m)]
    return y


def conv_transpose(x, w, stride, crop, output_padding, dilation):
    """A transposed convolution by its own definition: scatter everything, then crop. w is (*kernel, C_out, C_in)."""
    n, *sizes, c_in = x.shape
    *kernel, c_out, _ = w.shape
    full = [
        (m - 1) * s + d * (k - 1) + 1 + extra
        for m, s, d, k, extra in zip(sizes, stride, dilation, kernel, output_padding, strict=True)
    ]
    y = np.zeros((n, *full, c_out))
    for place in product(*map(range, sizes)):
        for offset in product(*map(range, kernel)):
            at = tuple(p * s + i * d for p, s, i, d in zip(place, stride, offset, dilation, strict=True))
            for image, c, k in product(range(n), range(c_out), range(c_in)):
                y[(image, *at, c)] += x[(image, *place, k)] * w[(*offset, c, k)]
    keep = tuple(slice(before, size - after) for size, (before, after) in zip(full, crop, strict=True))
    return y[(slice(None), *keep)]


def locally_connected2d(x, w, kernel, stride, pads, dilation):
    n, *sizes, channels = x.shape
    oh, ow, _, filters = w.shape
    y = np.zeros((n, oh, ow, filters))
    for (p, q), (i, j), place in visits(sizes, kernel, stride, pads, dilation):
        if place is None:
            continue
        for image, k, f in product(range(n), range(channels), range(filters)):
            y[image, p, q, f] += x[(image, *place, k)] * w[p, q, (i * kernel[1] + j) * channels + k, f]
    return y


def max_pool(x, kernel, stride, pads, dilation):
    """The maxima, and for each the number of its cell in the window; the first of several, a NaN before all."""
    n, *sizes, channels = x.shape
    shape = (n, *out_sizes(sizes, kernel, stride, pads, dilation), channels)
    y, argmax = np.zeros(shape), np.full(shape, -1)
    for out, offset, place in visits(sizes, kernel, stride, pads, dilation):
        if place is None:
            continue
        for image, c in product(range(n), range(channels)):
            value, at = x[(image, *place, c)], (image, *out, c)
            first = argmax[at] < 0
            if first or value > y[at] or (np.isnan(value) and not np.isnan(y[at])):
                y[at], argmax[at] = value, np.ravel_multi_index(offset, kernel)
    return y, argmax


def avg_pool(x, kernel, stride, pads, dilation, count_include_pad):
    n, *sizes, channels = x.shape
    y = np.zeros((n, *out_sizes(sizes, kernel, stride, pads, dilation), channels))
    count = np.zeros(y.shape)
    for out, _, place in visits(sizes, kernel, stride, pads, dilation):
        for image, c in product(range(n), range(channels)):
            if place is not None:
                y[(image, *out, c)] += x[(image, *place, c)]
            if place is not None or count_include_pad:
                count[(image, *out, c)] += 1
    return y / count


def adaptive_pool(x, output_size, largest):
    """Pooling to a given size: window i of an axis is from floor(i n / out) to ceil((i + 1) n / out)."""
    y = np.empty((len(x), *output_size, x.shape[-1]))
    for place in np.ndindex(*output_size):
        bounds = zip(place, x.shape[1:-1], output_size, strict=True)
        window = x[(slice(None), *(slice(k * n // out, -(-(k + 1) * n // out)) for k, n, out in bounds))]
        axes = tuple(range(1, x.ndim - 1))
        y[(slice(None), *place)] = window.max(axes) if largest else window.mean(axes)
    return y


def resize(x, size, method="bilinear", align_corners=False, step=None):
    """Images (N, L, C) of another size."""
    n, y = x.shape[1], np.empty((len(x), size, x.shape[2]))
    for i in range(size):
        place = i * (n - 1) / max(size - 1, 1) if align_corners else (i + 0.5) * (step or n / size) - 0.5
        if method == "nearest":
            y[:, i] = x[:, min(int(place + 0.5), n - 1)]
        else:
            place = min(max(place, 0), n - 1)
            low = int(place)
            y[:, i] = (1 - place + low) * x[:, low] + (place - low) * x[:, min(low + 1, n - 1)]
    return y


def spread(x):
    """The maximum of each block of 2 elements along all spatial axes, at all places of the block."""
    for axis in range(1, x.ndim - 1):
        shape = x.shape[:axis] + (x.shape[axis] // 2, 2) + x.shape[axis + 1 :]
        x = x.reshape(shape).max(axis + 1, keepdims=True).repeat(2, axis + 1).reshape(x.shape)
    return x


def cross_entropy(x, labels, class_weights=None, ignored=None, smoothing=0.0, reduction="mean"):
    """-log softmax(x) at each label, weighted and smoothed, as PyTorch defines it."""
    log_p, total, losses = x - np.log(np.exp(x).sum(-1, keepdims=True)), 0.0, []
    weights = np.ones(x.shape[-1]) if class_weights is None else class_weights
    for row, label in zip(log_p, labels, strict=True):
        if label == ignored:
            losses.append(0.0)
            continue
        total += weights[label]
        even = -(weights * row).sum() / len(row)
        losses.append((1 - smoothing) * -weights[label] * row[label] + smoothing * even)
    return {"none": np.array(losses), "sum": np.sum(losses), "mean": np.sum(losses) / total}[reduction]
