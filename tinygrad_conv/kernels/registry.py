"""The kernels by name, and the one place that chooses the form in which each runs.

A kernel has one meaning and up to two forms: *plain*, in NumPy, which always works; and *compiled*, with Numba (the
extra ``fast``), which takes float32 and float64, and up to three spatial axes. `use_kernels` says which is wanted:

============  ==========================================================================================
"auto"        the compiled form, where there is one that takes the arguments and is faster with them
"plain"       the plain form
"compiled"    the compiled form, wherever there is one that takes the arguments; for tests of it
============  ==========================================================================================

The environment variable ``TINYGRAD_CONV_KERNELS`` says what holds where nobody says anything; "auto" if it is not set.
Numba is imported when a compiled form is first run, which compiles it, and keeps the code for the next process. If it
cannot be imported, or fails to compile a form, "auto" warns once and is "plain" from then on; "compiled" raises.

>>> y = get("bias_relu")(np.array([[1.0, -3.0]]), np.array([1.0, 1.0]))
>>> y.tolist()
[[2.0, 0.0]]
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..arguments import checked
from ..blocks import Block
from ..errors import ArgumentError, MissingExtraError
from . import conv as _conv
from . import fused as _fused
from . import norm as _norm
from . import pool as _pool
from . import update as _update
from .threads import over_batch, worth
from .window import Window

__all__ = [
    "KERNELS", "Kernel", "adam", "avg_pool", "avg_pool_transpose", "bias_relu", "bias_relu_grad",
    "bias_relu_max_pool", "bias_relu_max_pool_grad", "conv", "conv_input_grad", "conv_kernel_grad", "get", "max_pool",
    "moments", "patches", "patches_transpose", "pool_gather", "pool_scatter", "rmsprop", "sgd",
    "standardize", "standardize_grad", "use_kernels",
]  # fmt: skip

Array: TypeAlias = np.ndarray[Any, Any]

CHOICES = ("auto", "plain", "compiled")

# ------------------------------------------------------------------------------------------------------------------
# The choice


def _checked(choice: str, what: str) -> str:
    if choice not in CHOICES:
        raise ArgumentError(f"{what}: expected one of {', '.join(map(repr, CHOICES))}, got {choice!r}")
    if choice == "compiled" and not _installed():
        raise MissingExtraError("compiled kernels need numba: pip install 'tinygrad-conv[fast]'")
    return choice


@cache
def _installed() -> bool:
    from importlib.util import find_spec  # here, so that importing the library stays quick

    return find_spec("numba") is not None


@cache
def _from_environment() -> str:
    return _checked(os.environ.get("TINYGRAD_CONV_KERNELS") or "auto", "TINYGRAD_CONV_KERNELS")


_failures: list[str] = []  # of Numba, in this process

_SETTING: ContextVar[use_kernels | None] = ContextVar("tinygrad_conv_kernels", default=None)


def choice() -> str:
    """What is wanted here and now: "auto", "plain" or "compiled"; without a Numba that works, "plain" for "auto"."""
    setting = _SETTING.get()
    wanted = _from_environment() if setting is None else setting.choice
    return "plain" if not _installed() or (_failures and wanted == "auto") else wanted


def failed(name: str, error: Exception) -> None:
    """What is compiled for `name` could not be made: Numba is too old, too new, or not whole. Warns once, or raises."""
    reason = (str(error).splitlines() or [""])[0]
    message = (
        f"{name}: expected a numba that compiles it, got {type(error).__name__}: {reason}: "
        "pip install -U 'tinygrad-conv[fast]', or use_kernels(\"plain\")"
    )
    if choice() == "compiled":
        raise MissingExtraError(message) from error
    _failures.append(message)
    if len(_failures) == 1:
        warnings.warn(f"{message}. Plain kernels run instead, which are slower.", RuntimeWarning, stacklevel=3)


class use_kernels(Block):  # noqa: N801  (used like a function)
    """Say which form of the kernels runs: from now on, in a block, or in a decorated function.

    It holds for this thread and async task only. A bare call ``tg.use_kernels("plain")`` takes effect at once,
    until the next one; after a block, what held before holds again.

    Parameters
    ----------
    choice : "auto", "plain" or "compiled"
        Compiled where that is faster; nowhere; or wherever it is possible.

    Attributes
    ----------
    ran : set of str
        The kernels of which the compiled form ran.

    Raises ArgumentError for another choice, MissingExtraError for "compiled" without Numba; a kernel raises it in the
    block if Numba is installed and does not work.

    >>> import tinygrad_conv as tg
    >>> with tg.use_kernels("plain") as forms:
    ...     y = tg.max_pool2d(np.ones((1, 4, 4, 1)), 2)
    >>> forms.ran
    set()
    """

    variable, entered = _SETTING, ContextVar("tinygrad_conv_kernels_before", default=None)
    said: ContextVar[Any] = ContextVar("tinygrad_conv_kernels_said", default=None)  # what a bare call here has entered

    @checked
    def __init__(self, choice: str) -> None:
        self.choice = _checked(choice, "use_kernels")
        self.ran: set[str] = set()
        last = self.entered.get()
        if last is not None and last is self.said.get():  # a bare call before this one: nobody will leave it
            self.entered.set(last[2])
        super().__enter__()
        self.said.set(self.entered.get())

    def _value(self, before: use_kernels | None) -> use_kernels:
        return self

    def _is_said(self) -> bool:
        """Was this the last bare call of this thread and task? It is one no more."""
        last = self.entered.get()
        if last is None or last is not self.said.get() or last[0] is not self:
            return False
        self.said.set(None)
        return True

    def __enter__(self) -> use_kernels:
        return self if self._is_said() else super().__enter__()

    def __call__(self, f: Any) -> Any:
        if self._is_said():
            self.__exit__()
        return super().__call__(f)


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
        if self.chosen(*args, **options) == "plain":
            return self._run(self.plain, args, options, out)
        try:
            result = self._run(self.compiled, args, options, out)
        except (ArgumentError, MemoryError):
            raise  # no fault of Numba's
        except Exception as error:
            failed(self.name, error)
            return self._run(self.plain, args, options, out)
        setting = _SETTING.get()
        if setting is not None:
            setting.ran.add(self.name)
        return result

    def _run(self, form: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], out: Any) -> Any:
        """A form, in as many threads as pay."""
        count = worth(self.work(*args, **options), len(args[0])) if self.batch is not None else 1
        if self.batch is None or count < 2:
            return form(*args, out=out, **options)
        return over_batch(form, self.plain, self.batch, count, args, options, out)

    def chosen(self, *args: Any, **options: Any) -> str:
        """The form that would run with these arguments: "plain" or "compiled"."""
        wanted = choice()
        if wanted == "plain" or self.module is None:
            return "plain"
        pays = wanted == "compiled" or self.pays(*args, **options)  # the quicker question first
        return "compiled" if pays and self.takes(*args, **options) else "plain"

    @property
    def compiled(self) -> Callable[..., Any]:
        """The compiled form. Raises MissingExtraError without Numba, ArgumentError if there is no such form."""
        if self.module is None:
            raise ArgumentError(f"{self.name}: expected a kernel with a compiled form, and it has none")
        _checked("compiled", self.name)
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
    return all(
        type(a) is np.ndarray and a.dtype.char in "fd" and a.dtype == arrays[0].dtype and a.dtype.isnative
        for a in arrays
    )


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
pool_gather = Kernel(
    _pool.pool_gather,
    "pool",
    lambda x, argmax, window: _floats(x) and _few_axes(window),
    _pool_pays,
    batch="n,n -> n",
)
pool_scatter = Kernel(
    _pool.pool_scatter,
    "pool",
    lambda g, argmax, window: _floats(g) and _few_axes(window),
    _pool_pays,
    batch="n,n -> n",
)
avg_pool = Kernel(
    _pool.avg_pool, "pool", lambda x, window, count_include_pad=False: _floats(x) and _few_axes(window), _windows_pay,
    batch="n -> n",
)  # fmt: skip
avg_pool_transpose = Kernel(
    _pool.avg_pool_transpose, "pool", lambda g, window, count_include_pad=False: _floats(g) and _few_axes(window),
    _windows_pay, batch="n -> n",
)  # fmt: skip

bias_relu = Kernel(_fused.bias_relu, "fused", _floats, _many, batch="n,- -> n")
bias_relu_grad = Kernel(_fused.bias_relu_grad, "fused", _floats, _many, batch="n,n -> n,+")
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


def _updates(p: Array, g: Array, *rest: Any) -> bool:
    """Can all of the arrays be written in place as flat ones?"""
    arrays = [a for a in (p, g, *rest) if isinstance(a, np.ndarray)]
    return _floats(*arrays) and all(a.flags.c_contiguous for a in arrays[2:])


def _large(p: Array, *rest: Any) -> bool:
    return p.size >= 512


def _larger(p: Array, *rest: Any) -> bool:
    return p.size >= 1 << 14


sgd = Kernel(_update.sgd, "update", _updates, _larger)
adam = Kernel(_update.adam, "update", _updates, _large)
rmsprop = Kernel(_update.rmsprop, "update", _updates, _large)
