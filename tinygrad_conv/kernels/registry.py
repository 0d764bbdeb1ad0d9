"""The kernels by name, and the one place that chooses the form in which each runs.

A kernel has one meaning and up to two forms: *plain*, in NumPy, which always works; and *compiled*, with Numba (the
extra ``fast``), which takes float32 and float64, and up to three spatial axes. `wanted` says which is wanted.

>>> y = get("bias_relu")(np.array([[1.0, -3.0]]), np.array([1.0, 1.0]))
>>> y.tolist()
[[2.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..errors import ArgumentError
from . import conv as _conv
from . import fused as _fused
from . import norm as _norm
from . import pool as _pool
from . import update as _update
from .threads import most, over_batch, worth
from .wanted import choice, failed, needs_numba, noted
from .window import Window

__all__ = [
    "KERNELS", "Kernel", "adam", "avg_pool", "avg_pool_transpose", "bias_relu", "bias_relu_grad",
    "bias_relu_max_pool", "bias_relu_max_pool_grad", "conv", "conv_input_grad", "conv_kernel_grad", "get", "max_pool",
    "maxima", "moments", "patches", "patches_transpose", "pool_gather", "pool_scatter", "rmsprop", "sgd",
    "standardize", "standardize_grad",
]  # fmt: skip

Array: TypeAlias = np.ndarray[Any, Any]


class Kernel:
    """A kernel: call it, and the form that is wanted runs.

    Attributes
    ----------
    name : str
    plain : callable
    module : str or None
        Where in `compiled` the compiled form is, under the same name; None if there is none.
    takes : callable
        Can the compiled form take these arguments?
    pays : callable
        Is it faster with them, as measured?
    batch : str or None
        How threads may share the work, an argument and a result each: "n" is cut along its first axis, "-" is whole,
        and a result "+" is the sum of what the shares give. None: they may not.
    work : callable
        How much work there is: about so many multiply-adds.
    """

    def __init__(
        self, plain: Callable[..., Any], module: str | None, takes: Callable[..., bool], pays: Callable[..., bool], *,
        batch: str | None = None, work: Callable[..., int] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.plain, self.module, self.takes, self.pays = plain.__name__, plain, module, takes, pays
        self.batch, self.work = batch, work or _elements
        self.__doc__ = plain.__doc__
        KERNELS[self.name] = self

    def __call__(self, *args: Any, out: Any = None, **options: Any) -> Any:
        wanted = choice()
        if wanted == "plain" or not self._compiles(wanted, args, options):
            if self.batch is None:
                return self.plain(*args, out=out, **options)
            return self._run(self.plain, args, options, out)
        try:
            result = self._run(self.compiled, args, options, out)
        except Exception as error:
            self._failed(error)
            return self._run(self.plain, args, options, out)
        noted(self.name)
        return result

    def bound(self, *args: Any, **options: Any) -> Callable[..., Any]:
        """What runs in a call with arguments like these, chosen once; the kernel itself where threads may share it."""
        if self.batch is not None and most(self.work(*args, **options)) > 1:
            return self
        if self.chosen(*args, **options) == "plain":
            return self.plain
        compiled = self.compiled

        def safely(*args: Any, out: Any = None, **options: Any) -> Any:
            try:
                return compiled(*args, out=out, **options)
            except Exception as error:
                self._failed(error)
                return self.plain(*args, out=out, **options)

        return safely

    def _failed(self, error: Exception) -> None:
        """The compiled form has: an error that is no fault of Numba's is raised again."""
        if isinstance(error, (ArgumentError, MemoryError)):
            raise error
        failed(self.name, error)

    def _run(self, form: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], out: Any) -> Any:
        """A form, in as many threads as pay."""
        count = worth(self.work(*args, **options), len(args[0])) if self.batch is not None else 1
        if self.batch is None or count < 2:
            return form(*args, out=out, **options)
        return over_batch(form, self.plain, self.batch, count, args, options, out)

    def chosen(self, *args: Any, **options: Any) -> str:
        """The form that would run with these arguments: "plain" or "compiled"."""
        wanted = choice()
        return "compiled" if wanted != "plain" and self._compiles(wanted, args, options) else "plain"

    def _compiles(self, wanted: str, args: Sequence[Any], options: dict[str, Any]) -> bool:
        if self.module is None or not (wanted == "compiled" or self.pays(*args, **options)):  # the quicker questions
            return False
        return self.takes(*args, **options)

    @property
    def compiled(self) -> Callable[..., Any]:
        """The compiled form. Raises MissingExtraError without Numba, ArgumentError if there is no such form."""
        if self.module is None:
            raise ArgumentError(f"{self.name}: expected a kernel with a compiled form, and it has none")
        needs_numba()
        return _compiled(self.module, self.name)

    def __repr__(self) -> str:
        return f"<kernel {self.name}: plain{' and compiled' if self.module else ''}>"


@cache
def _compiled(module: str, name: str) -> Callable[..., Any]:
    form: Callable[..., Any] = getattr(import_module(f"{__package__}.compiled.{module}"), name)
    return form


KERNELS: dict[str, Kernel] = {}


def get(name: str) -> Kernel:
    """The kernel of a name. Raises ArgumentError for an unknown one."""
    if name not in KERNELS:
        raise ArgumentError(f"get: expected one of {', '.join(sorted(KERNELS))}, got {name!r}")
    return KERNELS[name]


# ------------------------------------------------------------------------------------------------------------------
# What compiled forms take, and where they are faster: as measured with one thread on an x86-64 with AVX-512. Everywhere
# but where arrays are so small that the call is what costs, and where channels are too few for vector instructions.


def _floats(*arrays: Array) -> bool:
    """Arrays of one dtype, float32 or float64, in the machine's byte order?"""
    dtype = arrays[0].dtype
    for a in arrays:  # no generator, which takes as long as all that is asked
        if type(a) is not np.ndarray or (a.dtype is not dtype and a.dtype != dtype):
            return False
    return dtype.char in "fd" and dtype.isnative


def _few_axes(window: Window) -> bool:
    """As many as the compiled forms are written for?"""
    return window.rank <= 3


def _elements(x: Array, *rest: Any, **options: Any) -> int:
    """Visiting an element costs as much as some multiply-adds."""
    return 16 * x.size


def _conv_work(x: Array, w: Array, window: Window) -> int:
    return 8 * x.size + len(x) * prod(window.out_sizes) * w.size


def _conv_kernel_grad_work(x: Array, g: Array, window: Window) -> int:
    return 8 * x.size + g.size * prod(window.kernel) * int(x.shape[-1]) // window.groups


def _never(*args: Any, **options: Any) -> bool:
    return False


def _many(x: Array, *rest: Any, **options: Any) -> bool:
    """Enough work to make up for the call, and channels enough for vector instructions."""
    return _pool_pays(x) and x.shape[-1] >= 8


def _pool_pays(x: Array, *rest: Any, **options: Any) -> bool:
    return x.size >= 1024 and x.shape[-1] > 1


def _windows_pay(x: Array, window: Window, *rest: Any, **options: Any) -> bool:
    """Where many large windows overlap, one axis after the other is less work, and what the plain form does."""
    return _pool_pays(x) and prod(window.kernel) <= 25 * prod(window.stride)


def _conv_fits(a: Array, b: Array, window: Window) -> bool:
    return window.rank <= 3 and 0 < a.size < len(a) << 30 and b.size > 0 and _floats(a, b)


def _conv_pays(n: int, c_in: int, c_out: int, kernel: int, window: Window, depthwise: bool) -> bool:
    """For n images, `kernel` elements, and the channels of a group that each output reads (c_in) and makes (c_out)."""
    if n * prod(window.out_sizes) * kernel < 1 << 17:
        return False
    return depthwise or c_out >= 4 or c_in * prod(window.kernel) <= 100 * c_out


def _conv_forward_pays(x: Array, w: Array, window: Window) -> bool:
    groups = window.groups
    return _conv_pays(len(x), w.shape[-2], w.shape[-1] // groups, w.size, window, groups == x.shape[-1] >= 4)


def _conv_input_grad_pays(g: Array, w: Array, window: Window) -> bool:
    groups = window.groups
    depthwise = w.shape[-2] == 1 and groups >= 4
    return _conv_pays(len(g), w.shape[-1] // groups, w.shape[-2], w.size, window, depthwise)


def _conv_kernel_grad_pays(x: Array, g: Array, window: Window) -> bool:
    groups = window.groups
    c_in, c_out = x.shape[-1] // groups, g.shape[-1] // groups
    elements = prod(window.kernel) * c_in * g.shape[-1]
    return _conv_pays(len(x), c_in, c_out, elements, window, groups == x.shape[-1] >= 4)


conv = Kernel(_conv.conv, "conv", _conv_fits, _conv_forward_pays, batch="n,- -> n", work=_conv_work)
conv_input_grad = Kernel(
    _conv.conv_input_grad, "conv", _conv_fits, _conv_input_grad_pays, batch="n,- -> n", work=_conv_work
)
conv_kernel_grad = Kernel(
    _conv.conv_kernel_grad, "conv", _conv_fits, _conv_kernel_grad_pays, batch="n,n -> +", work=_conv_kernel_grad_work
)
patches = Kernel(_conv.patches, None, _never, _never, batch="n -> n")
patches_transpose = Kernel(_conv.patches_transpose, None, _never, _never, batch="n -> n")

max_pool = Kernel(
    _pool.max_pool, "pool", lambda x, window: _floats(x) and _few_axes(window), _windows_pay, batch="n -> n,n"
)
maxima = Kernel(
    _pool.maxima, "pool", lambda x, window: _floats(x) and _few_axes(window),
    lambda x, window: _windows_pay(x, window) or (window.whole and x.size >= 1024), batch="n -> n",
)  # fmt: skip
pool_gather = Kernel(_pool.pool_gather, None, _never, _never, batch="n,n -> n")
pool_scatter = Kernel(
    _pool.pool_scatter,
    "pool",
    lambda g, argmax, window: _floats(g) and _few_axes(window),
    _pool_pays,
    batch="n,n -> n",
)
avg_pool = Kernel(
    _pool.avg_pool, "pool", lambda x, window, count_include_pad=False: _floats(x) and _few_axes(window),
    lambda x, window, count_include_pad=False: not window.whole and _windows_pay(x, window), batch="n -> n",
)  # fmt: skip
avg_pool_transpose = Kernel(
    _pool.avg_pool_transpose, "pool", lambda g, window, count_include_pad=False: _floats(g) and _few_axes(window),
    _windows_pay, batch="n -> n",
)  # fmt: skip

bias_relu = Kernel(_fused.bias_relu, None, _never, _never, batch="n,- -> n")
bias_relu_grad = Kernel(_fused.bias_relu_grad, None, _never, _never, batch="n,n -> n,+")
bias_relu_max_pool = Kernel(
    _fused.bias_relu_max_pool,
    "pool",
    lambda z, b, window: _floats(z, b) and _few_axes(window),
    _pool_pays,
    batch="n,- -> n,n",
)
bias_relu_max_pool_grad = Kernel(
    _fused.bias_relu_max_pool_grad, "pool", lambda g, y, argmax, window: _floats(g, y) and _few_axes(window),
    _pool_pays, batch="n,n,n -> n,+",
)  # fmt: skip

moments = Kernel(_norm.moments, "norm", lambda x: x.size > 0 and _floats(x), _many)
standardize = Kernel(_norm.standardize, "norm", _floats, _many, batch="n,-,- -> n")
standardize_grad = Kernel(
    _norm.standardize_grad, "norm", lambda *arrays: arrays[0].size > 0 and _floats(*arrays), _many
)

sgd = Kernel(_update.sgd, None, _never, _never)
adam = Kernel(_update.adam, None, _never, _never)
rmsprop = Kernel(_update.rmsprop, None, _never, _never)
