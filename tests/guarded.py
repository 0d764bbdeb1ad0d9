"""Run compiled kernels on arrays that end, or begin, where memory does: reading or writing beyond them is the end.

``python guarded.py FIRST LAST [KINDS] [DTYPES]`` runs the cases of these seeds, of the kinds "conv", "winograd", "pool"
and "rows", in float32 and float64, or of those given. It prints each case before it runs, so the last line says which
one it was. Results must be the plain forms'.
"""

import ctypes
import mmap
import sys
from types import SimpleNamespace

import numpy as np

from tinygrad_conv.kernels import scratch
from tinygrad_conv.kernels.compiled import conv, norm, pool, winograd
from tinygrad_conv.kernels.geometry import conv_window, pool_window
from tinygrad_conv.kernels.registry import get

PAGE = mmap.PAGESIZE
C = ctypes.CDLL(None)
C.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


class Guard:
    """Makes arrays between two pages that nobody may touch, at the end of their memory or at its beginning."""

    at_end = True

    def __call__(self, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        body = -(-size // PAGE) * PAGE
        memory = mmap.mmap(-1, body + 2 * PAGE)
        start = np.frombuffer(memory, np.uint8).ctypes.data
        for page in (start, start + PAGE + body):
            if C.mprotect(page, PAGE, 0):
                raise OSError("mprotect failed")
        array = np.ndarray(shape, dtype, memory, PAGE + (body - size if self.at_end else 0))
        array.fill(77)  # what is not written shows
        return array

    def copy(self, a):
        array = self(a.shape, a.dtype)
        array[...] = a
        return array


guard = Guard()


def guard_everything():
    """The kernels' own memory too: results, what they keep between calls, tables, repeated channels."""

    def result(out, shape, dtype):
        return guard(shape, dtype) if out is None else scratch.result(out, shape, dtype)

    def copied(known):
        if isinstance(known, (tuple, list)):
            return type(known)(map(copied, known))
        return guard.copy(known) if isinstance(known, np.ndarray) else known

    def guarded(f):
        return lambda *args: copied(f(*args))

    for module in (conv, norm, pool):
        module.result = result
    conv.scratch = winograd.scratch = lambda name, shape, dtype: guard(shape, dtype)
    winograd._plan, winograd._gradient_plan = map(guarded, (winograd._plan, winograd._gradient_plan))
    conv._correlations, conv._kernel_gradient = map(guarded, (conv._correlations, conv._kernel_gradient))
    conv._repeated, pool._geometry = map(guarded, (conv._repeated, pool._geometry))


class Case:
    """The numbers of one seed, and what is compared."""

    def __init__(self, seed, dtypes):
        self.rng = np.random.default_rng(seed)
        self.dtype = self.choose(dtypes)
        guard.at_end = self.choose((True, False))

    def choose(self, values):
        return values[self.rng.integers(len(values))]

    def up_to(self, most, least=0):
        return int(self.rng.integers(least, most + 1))

    def array(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def axes(self, pooling):
        """kernel, stride, dilation, pads and sizes of a window that fits; padding beyond the kernel now and then."""
        axes, rank = [], self.up_to(3, 1)
        for _ in range(rank):
            k, s, d = self.up_to(5, 1), self.up_to(4, 1), self.up_to(3, 1)
            most = k // 2 if pooling else self.choose((0, 2, 2 * k))
            pads = (self.up_to(most), self.up_to(most))
            n = d * (k - 1) + 1 - (0 if pooling else sum(pads))
            axes.append((k, s, d, pads, max(1, n) + self.up_to(12 if rank < 3 else 3)))
        return SimpleNamespace(**dict(zip(("k", "s", "d", "pads", "sizes"), zip(*axes, strict=True), strict=True)))

    def compare(self, name, *args, terms=None):
        """The forms, on the same arguments: `terms` is what was added up for each element of float results."""
        kernel = get(name)
        if not kernel.takes(*args):
            return None
        expected = kernel.plain(*args)
        ours = [guard.copy(a) if isinstance(a, np.ndarray) else a for a in args]
        got = kernel.compiled(*ours, out=None if self.choose((True, False)) else self.used(expected))
        for a, b in zip(args, ours, strict=True):
            if isinstance(a, np.ndarray):
                np.testing.assert_array_equal(a, b, f"{name} changed what it was given")
        for a, b in zip(*map(as_tuple, (expected, got)), strict=True):
            limit = 0 if terms is None or a.dtype.kind != "f" else 200 * np.finfo(a.dtype).eps * terms
            if not (np.abs(a - b) <= limit).all():
                raise ValueError(f"{name}: {np.abs(a - b).max()} apart")
        return expected

    def used(self, like):
        return tuple(map(self.used, like)) if isinstance(like, tuple) else guard(like.shape, like.dtype)


def as_tuple(arrays):
    return arrays if isinstance(arrays, tuple) else (arrays,)


def run_conv(case):
    a, rank_one = case.axes(pooling=False), (case.up_to(70, 2), 1, case.up_to(3, 1))
    grouped = case.up_to(5, 2), case.up_to(20, 1), case.up_to(40, 1)
    in_a_vector = 2, case.up_to(20, 1), case.choose((1, 2, 4, 8))  # channels of all groups fill one of some processor
    dense = 1, case.up_to(70, 1), case.up_to(70, 1)
    groups, c_in, c_out = case.choose((dense, dense, dense, rank_one, grouped, in_a_vector))
    x, w = case.array(case.up_to(5, 1), *a.sizes, groups * c_in), case.array(*a.k, c_in, groups * c_out)
    print(x.shape, w.shape, a.s, a.pads, a.d, groups, flush=True)
    window = conv_window("t", len(a.k), x.shape, w.shape, a.s, a.pads, a.d, groups, None)
    g = case.array(len(x), *window.out_sizes, w.shape[-1])
    small = case.choose((True, False))  # many blocks, bands and places, or one
    conv.BLOCK_BYTES = case.choose((1, 999, 9999)) if small else 1 << 18
    conv.PLACES, conv.BAND_BYTES = (case.choose((1, 13, 100)), case.choose((1, 3000))) if small else (1 << 12, 24 << 10)
    conv.tile = lambda *shape: 0
    compare_convolutions(case, x, w, g, window)


def compare_convolutions(case, x, w, g, window, neighbours=0):
    for name, left, right in (("conv", x, w), ("conv_input_grad", g, w), ("conv_kernel_grad", x, g)):
        terms = get(name).plain(np.abs(left), np.abs(right), window)
        case.compare(name, left, right, window, terms=terms + neighbours * terms.max(initial=0))


def run_winograd(case):
    pads, channels = [(case.up_to(2), case.up_to(2)) for _ in "hw"], (case.up_to(70, 1), case.up_to(70, 1))
    sizes = [max(1, 3 - sum(pair)) + case.up_to(12) for pair in pads]
    x, w = case.array(case.up_to(3, 1), *sizes, channels[0]), case.array(3, 3, *channels)
    print(x.shape, w.shape, pads, flush=True)
    window = conv_window("t", 2, x.shape, w.shape, 1, pads, 1, 1, None)
    tile, winograd.BLOCK_BYTES = case.choose((2, 4)), case.choose((1, 700 << 10))
    conv.tile = lambda *shape: tile
    compare_convolutions(case, x, w, case.array(len(x), *window.out_sizes, channels[1]), window, neighbours=1)


def run_pool(case):
    a, c = case.axes(pooling=True), case.up_to(70, 1)
    if case.up_to(9) == 0:
        rank, sizes = len(a.k), tuple(n + 17 for n in a.sizes[:2])  # 16 bits of argmax
        a.k, a.d, a.sizes = (17, 16, a.k[-1])[:rank], (1, 1, a.d[-1])[:rank], sizes + a.sizes[2:]
    x, b = case.array(case.up_to(3), *a.sizes, c), case.array(c)
    print(x.shape, a.k, a.s, a.pads, a.d, flush=True)
    window = pool_window("t", len(a.k), x.shape, a.k, a.s, a.pads, a.d, None)
    _, argmax = case.compare("max_pool", x, window)
    g = case.array(*argmax.shape)
    case.compare("pool_scatter", g, argmax, window, terms=np.abs(g).sum())
    for pads_count in (False, True):
        case.compare("avg_pool", x, window, pads_count, terms=np.abs(x).sum())
        case.compare("avg_pool_transpose", g, window, pads_count, terms=np.abs(g).sum())
    y, argmax = case.compare("bias_relu_max_pool", x, b, window)
    case.compare("bias_relu_max_pool_grad", g, y, argmax, window, terms=np.abs(g).sum())


def run_rows(case):
    shape = (*(case.up_to(12) for _ in range(case.up_to(2))), case.up_to(70))
    x, g, b, scale = case.array(*shape), case.array(*shape), case.array(shape[-1]), case.array(shape[-1])
    print(shape, flush=True)
    most = 1 + np.abs(x).sum() + np.abs(g).sum()
    case.compare("moments", x, terms=most**2)
    case.compare("standardize", x, b, scale)
    case.compare("standardize_grad", g, x, scale, terms=most**3)


if __name__ == "__main__":
    guard_everything()
    runs = {"conv": run_conv, "winograd": run_winograd, "pool": run_pool, "rows": run_rows}
    kinds = [kind for kind in sys.argv[3:] if kind in runs] or list(runs)
    dtypes = [np.dtype(name) for name in sys.argv[3:] if name not in runs] or [np.dtype("f4"), np.dtype("f8")]
    for seed in range(*map(int, sys.argv[1:3])):
        this, kind = Case(seed, dtypes), kinds[seed % len(kinds)]
        print(seed, kind, this.dtype, end=" ", flush=True)
        runs[kind](this)
