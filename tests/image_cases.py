"""More of `numpy_cases`: operations on images, and losses, with loops in the place of NumPy's functions."""

import numpy as np
import reference
from numpy_cases import group, normal, pair, positive

import tinygrad_conv as tg


def close(theirs):
    """A reference that computes in float64, in the dtype of its first argument."""
    return lambda x, *args: np.asarray(theirs(x, *args)).astype(x.dtype)


group("images")
for rank, letter in ((1, "1d"), (2, "2d"), (3, "3d")):
    x = normal(2, *(4, 5, 3)[:rank], 2)
    for size in ((2, 3, 3), (3, 2, 4), (4, 5, 3)):
        for kind in ("avg", "max"):
            ours = getattr(tg, f"adaptive_{kind}_pool{letter}")
            pair(f"adaptive {kind} {letter} to {size[:rank]}",
                 close(lambda x, s=size[:rank], k=kind: reference.adaptive_pool(x, s, k == "max")),
                 lambda x, s=size[:rank], f=ours: f(x, s), x)  # fmt: skip
for n, size in ((3, 7), (7, 3), (4, 8), (1, 3), (5, 1)):
    for method in ("bilinear", "nearest"):
        pair(f"{method} {n} to {size}", close(lambda x, s=size, m=method: reference.resize(x, s, m)),
             lambda x, s=size, m=method: tg.resize_images(x, s, method=m), normal(2, n, 2))  # fmt: skip
    pair(f"corners, {n} to {size}", close(lambda x, s=size: reference.resize(x, s, align_corners=True)),
         lambda x, s=size: tg.resize_images(x, s, align_corners=True), normal(1, n, 2))  # fmt: skip
pair("by 1.7", close(lambda x: reference.resize(x, 6, step=1 / 1.7)), lambda x: tg.resize_images(x, scale=1.7),
     normal(1, 4, 1))  # fmt: skip
pair("both axes", close(lambda x: reference.resize(reference.resize(x[..., 0], 4).mT, 2).mT[..., None]),
     lambda x: tg.resize_images(x, (4, 2)), normal(2, 3, 5, 1))  # fmt: skip
pair("channels first", close(lambda x: reference.resize(x.mT, 5).mT),
     lambda x: tg.resize_images(x, 5, data_format="channels_first"), normal(2, 3, 4))  # fmt: skip
pair("pixel_shuffle", lambda x: x.reshape(2, 2, 3, 2, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 4, 6, 2),
     lambda x: tg.pixel_shuffle(x, 2), normal(2, 2, 3, 8))  # fmt: skip
pair("pixel_unshuffle", lambda x: x.reshape(1, 2, 2, 1, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(1, 2, 1, 12),
     lambda x: tg.pixel_unshuffle(x, 2), normal(1, 4, 2, 3))  # fmt: skip
PLACES = np.array([3, 0, 5]).reshape(1, 3, 1)
pair("max_unpool1d", lambda x: np.array([x[0, 1], [0], [0], x[0, 0], [0], x[0, 2]], x.dtype)[None],
     lambda x: tg.max_unpool1d(x, PLACES), normal(1, 3, 1))  # fmt: skip
for rank in (2, 3):
    pool, back = getattr(tg, f"max_pool{rank}d"), getattr(tg, f"max_unpool{rank}d")
    pair(f"max_unpool{rank}d", lambda x: np.where(x == reference.spread(x), x, 0).astype(x.dtype),
         lambda x, f=pool, g=back: g(*f(x, 2, return_indices=True)), normal(1, *(4,) * rank, 2))  # fmt: skip
pair("places", lambda x: np.ravel_multi_index(np.nonzero(x[0, :, :, 0] == reference.spread(x)[0, :, :, 0]), (4, 4)),
     lambda x: tg.sort(tg.max_pool2d(x, 2, return_indices=True)[1].reshape(-1)), normal(1, 4, 4, 1),
     gradient=False)  # fmt: skip
for before, stride, n in ((0, 2, 6), (1, 2, 5), (1, 3, 7), (0, 3, 5), (0, 4, 5)):
    starts = [k for k in range(0, n + before, stride) if k == 0 or k - stride + 3 < n + 2 * before]
    for kind, fill in (("max", -np.inf), ("avg", np.nan)):
        ours = getattr(tg, f"{kind}_pool1d")
        pair(f"{kind} {before} {stride} {n}, ceil_mode", lambda x, b=before, s=starts, v=fill: np.stack([
             (np.max if v < 0 else np.nanmean)(np.pad(x, ((0, 0), (b, 9), (0, 0)), constant_values=v)[:, k : k + 3], 1)
             for k in s], 1), lambda x, b=before, s=stride, f=ours: f(x, 3, s, b, ceil_mode=True),
             normal(2, n, 2))  # fmt: skip
pair("avg, ceil_mode, padding counts", lambda x: np.stack([(x[:, 0] + x[:, 1]) / 3, (x[:, 1] + x[:, 2] + x[:, 3]) / 3,
     (x[:, 3] + x[:, 4] + x[:, 5]) / 3, x[:, 5] / 2], 1), lambda x: tg.avg_pool1d(
     x, 3, 2, 1, count_include_pad=True, ceil_mode=True), normal(1, 6, 2))  # fmt: skip

group("cross entropy")
LOGITS, LABELS = normal(4, 3), np.array([0, 2, 1, 2])
ONE_HOT = np.eye(3)[LABELS]
for reduction in ("mean", "none"):
    for weights in (None, positive(3)):
        for ignored in (None, 2, -100):
            for smoothing in (0.0, 0.2):
                labels = np.where(LABELS == 0, -100, LABELS) if ignored == -100 else LABELS
                pair(f"{reduction} {ignored} {smoothing} {weights}",
                     close(lambda x, given=(labels, weights, ignored, smoothing, reduction): reference.cross_entropy(
                         x, *given)),
                     lambda x, y=labels, w=weights, i=ignored, s=smoothing, r=reduction: tg.softmax_cross_entropy(
                         x, y, reduction=r, label_smoothing=s, class_weights=w, ignore_index=i), LOGITS)  # fmt: skip
pair("weights of classes", lambda w: reference.cross_entropy(LOGITS, LABELS, w), lambda w: tg.softmax_cross_entropy(
     LOGITS, LABELS, class_weights=w), positive(3))  # fmt: skip
pair("probabilities", close(lambda x: -(ONE_HOT * [1, 2, 3] * np.log(
     np.exp(x) / np.exp(x).sum(-1, keepdims=True))).sum(-1).mean()),
     lambda x: tg.softmax_cross_entropy(x, ONE_HOT, class_weights=[1.0, 2, 3]), LOGITS)  # fmt: skip
