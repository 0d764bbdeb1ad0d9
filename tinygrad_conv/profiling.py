"""`profile`: where the time of a block goes, by primitive and by module, forward and backward apart.

A profile stands at the doors of `modes` as an `Observer` and times what goes through them. It prices each call by the
shapes it sees: FLOPs by the primitive's declaration, bytes by the arrays read and written. The *floor* is what the
machine needs for as many bytes or FLOPs, whichever takes longer, at the speeds measured by `machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from itertools import cycle
from math import prod
from threading import get_ident
from time import perf_counter
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from .arguments import checked
from .engine.bare import array_of
from .engine.modes import MODE, Observer, observed, observer
from .engine.node import Node
from .engine.primitive import Primitive
from .errors import ArgumentError, DeclarationError
from .kernels.blas import chosen

__all__ = ["Machine", "Profile", "Row", "Table", "machine", "profile"]

Array: TypeAlias = np.ndarray[Any, Any]
By: TypeAlias = Literal["primitive", "module"]
REST = "Python and overhead"
NO_MODULE = "(in no module)"


# ------------------------------------------------------------------------------------------------------------------
# The machine


@checked
@dataclass(frozen=True)
class Machine:
    """How fast this machine is, with the threads that BLAS has.

    Attributes
    ----------
    bandwidth : bytes read and written per second, copying an array that is too large for the caches
    flops : FLOPs per second of a large matrix product, in float32 and in float64

    >>> small = Machine(bandwidth=1e10, flops=(1e11, 5e10))
    >>> small.floor(flops=1e9, moved=1e6, itemsize=4)
    0.01
    """

    bandwidth: float
    flops: tuple[float, float]

    def floor(self, flops: float, moved: float, itemsize: int) -> float:
        """Seconds for this many FLOPs on numbers of `itemsize` bytes, or for as many bytes, whichever is more."""
        return max(moved / self.bandwidth, flops / self.flops[itemsize > 4])


@cache
def machine() -> Machine:
    """This machine's speeds: measured when first asked for, in a fraction of a second.

    >>> machine().bandwidth > 1e6, machine() is machine()
    (True, True)
    """
    source = np.ones(1 << 24, np.float32)  # 64 MiB
    target = source.copy()
    pieces = [partial(np.copyto, *piece) for piece in zip(np.split(target, 32), np.split(source, 32), strict=True)]
    single = np.ones((256, 256), np.float32)
    double = single.astype(np.float64)
    products = [_least([partial(np.matmul, a, a, np.empty_like(a))]) for a in (single, double)]
    return Machine(2 * source.nbytes / 32 / _least(pieces), (2 * 256**3 / products[0], 2 * 256**3 / products[1]))


def _least(functions: Sequence[Callable[[], Any]]) -> float:
    """Seconds that a call takes when nothing disturbs it: the least of as many as there is time for."""
    times = []
    end = perf_counter() + 0.1
    for function in cycle(functions):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
        if len(times) >= 3 and start > end:
            break
    return min(times)


# ------------------------------------------------------------------------------------------------------------------
# Tables


@checked
@dataclass(frozen=True)
class Row:
    """Calls of one kind, added up.

    Attributes
    ----------
    name : str
        The primitive, or the function of data or effect (an optimiser's step, say). Empty in a table by module.
    module : str
        The dotted path of the module; empty outside of modules, and in a table by primitive.
    direction : "forward", "backward", "effect", or "" for the rest
    rule_of : str
        Backward: the primitive whose rule made the call. Empty in a table by module.
    calls : int
    seconds : float
        Inside the calls; what a call itself calls is counted there.
    share : float
        Of the time of the block.
    flops, read, written : int
        Floating-point operations; bytes of the arrays read and written. A view moves nothing.
    floor : float or None
        The seconds these take at the machine's measured speeds; None where neither is known (effects).

    >>> import tinygrad_conv as tg
    >>> with tg.profile() as p:
    ...     y = tg.matmul(np.ones((4, 3)), np.ones((3, 2)))
    >>> row = p.table().rows[0]
    >>> row.name, row.calls, row.flops
    ('matmul', 1, 48)
    """

    name: str
    module: str
    direction: str
    rule_of: str
    calls: int
    seconds: float
    share: float
    flops: int
    read: int
    written: int
    floor: float | None

    @property
    def speed(self) -> float:
        """FLOPs per second."""
        return self.flops / self.seconds if self.seconds else 0.0

    @property
    def of_floor(self) -> float | None:
        """The floor's share of the time: 1 is as fast as it gets, and more is possible on data in the caches."""
        return None if self.floor is None or not self.seconds else self.floor / self.seconds


@checked
@dataclass(frozen=True)
class Table:
    """The rows of a profile, the slowest first, and last the rest, so that the shares add up to 1.

    Shows itself as a table when printed and in a notebook.

    >>> import tinygrad_conv as tg
    >>> with tg.profile() as p:
    ...     y = tg.exp(tg.ones(3)) + tg.exp(tg.zeros(3))
    >>> sorted((row.name, row.calls) for row in p.table().rows if row.calls)
    [('add', 1), ('exp', 2)]
    """

    by: By
    rows: tuple[Row, ...]
    total: float

    def _cells(self) -> Iterator[tuple[str, ...]]:
        """The header, the rows and the total, as text."""
        names = ("primitive", "pass", "rule of") if self.by == "primitive" else ("module", "pass")
        yield (*names, "calls", "time", "share", "FLOP/s", "read", "written", "floor")
        for row in self.rows:
            name = row.name if self.by == "primitive" or row.name == REST else row.module or NO_MODULE
            yield (
                name, *((row.direction, row.rule_of)[: len(names) - 1]), str(row.calls or ""),
                _amount(row.seconds, "s"), f"{row.share:.1%}", _amount(row.speed), _amount(row.read, "B"),
                _amount(row.written, "B"), "" if not row.of_floor else f"{row.of_floor:.0%}",
            )  # fmt: skip
        blank = ("",) * (len(names) - 1)
        calls = sum(row.calls for row in self.rows)
        yield ("total", *blank, f"{calls}", _amount(self.total, "s"), "100.0%" if self.total else "", *("",) * 4)

    def __str__(self) -> str:
        cells = list(self._cells())
        texts = 3 if self.by == "primitive" else 2  # columns of text are aligned to the left, numbers to the right
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(f"{cell:{'<' if k < texts else '>'}{widths[k]}}" for k, cell in enumerate(line)).rstrip()
            for line in cells
        ]
        rule = "-" * sum(widths, 2 * len(widths) - 2)
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        texts = 3 if self.by == "primitive" else 2
        rows = "".join(
            "<tr>" + "".join(
                f'<td style="text-align:{"left" if k < texts else "right"}">{escape(cell)}</td>'
                for k, cell in enumerate(line)
            ) + "</tr>"
            for line in body
        )  # fmt: skip
        return f"<table><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>{rows}</table>"


def _amount(value: float, unit: str = "") -> str:
    """Three digits and a prefix: ``12.3 ms``; nothing for nothing.

    >>> _amount(0.0123, "s"), _amount(4.5e9), _amount(512, "B"), _amount(0)
    ('12.3 ms', '4.50 G', '512 B', '')
    """
    if not value:
        return ""
    prefixes = {1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k", 1.0: "", 1e-3: "m", 1e-6: "µ"}
    scale = next((scale for scale in prefixes if abs(value) >= 0.9995 * scale), 1e-6)
    number, prefix = value / scale, prefixes[scale]
    whole = prefix == "" and value == int(value)
    digits = 0 if whole or abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:.{digits}f} {prefix}{unit}".rstrip()


# ------------------------------------------------------------------------------------------------------------------
# The profile


class _Price(NamedTuple):
    """What is known of a call from its shapes."""

    shape: tuple[int, ...] = ()  # of the result
    flops: int = 0
    read: int = 0
    written: int = 0
    itemsize: int = 8


class _Kind(NamedTuple):
    """What makes calls alike: they are counted together."""

    name: str
    module: str
    direction: str
    rule_of: str
    price: _Price


class Profile:
    """The times of a block: see `profile`.

    Attributes
    ----------
    total : float
        Seconds in the block, so far if it is still open; if it was entered several times, of all of them.

    >>> import tinygrad_conv as tg
    >>> with Profile() as p:
    ...     y = tg.exp(np.ones(3))
    >>> p.total > 0
    True
    """

    def __init__(self) -> None:
        self._counts: dict[_Kind, list[Any]] = {}  # calls, seconds
        self._total = 0.0
        self._start: float | None = None  # when the block was entered, if it is open
        self._thread = 0
        self._outer: Observer | None = None  # who else observes, and does the work
        self._profiles: tuple[Profile, ...] = ()  # this one and those around it, which share its clock
        self._inner: list[float] = []  # per call that is running: seconds in the calls inside of it
        self._block: Any = None

    # -- the block -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Profile:
        if self._start is not None:
            raise ArgumentError(
                "profile: expected a profile that is not in use, got one whose block is open; use another tg.profile()"
            )
        outer = observer()
        if isinstance(outer, _Doors):
            around = outer._profile
            self._outer, self._profiles, self._inner = around._outer, (self, *around._profiles), around._inner
        else:
            self._outer, self._profiles, self._inner = outer, (self,), []
        self._thread = get_ident()
        self._block = observed(_Doors(self))
        self._block.__enter__()
        self._start = perf_counter()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._total, self._start = self.total, None
        self._block.__exit__(*exc)
        self._block, self._outer, self._profiles = None, None, ()  # which hold the profile itself

    @property
    def total(self) -> float:
        return self._total + (0.0 if self._start is None else perf_counter() - self._start)

    # -- counting --------------------------------------------------------------------------------------------------

    def _timed(
        self, name: str, direction: str | None, work: Callable[[], Any], price: Callable[[Any], _Price]
    ) -> Any:  # fmt: skip
        if get_ident() != self._thread:  # a thread that runs in a copy of the block's context
            return work()
        inner, paid = self._inner, _Price()
        inner.append(0.0)
        start = perf_counter()
        try:
            result = work()
        except BaseException:
            self._count(name, direction, perf_counter() - start, paid)
            raise
        took = perf_counter() - start
        try:
            paid = price(result)
        finally:
            self._count(name, direction, took, paid)
        return result

    def _count(self, name: str, direction: str | None, took: float, price: _Price) -> None:
        own = took - self._inner.pop()
        if self._inner:
            self._inner[-1] += took
        mode = MODE.get()
        node = mode.backward
        if node is None or direction == "effect":
            kind = _Kind(name, mode.path, direction or "forward", "", price)
        else:  # a checkpoint that runs again says in which module it is
            kind = _Kind(name, mode.path if mode.replaying else node.path, "backward", _label(node), price)
        for profile in self._profiles:
            if profile._start is not None:
                count = profile._counts.setdefault(kind, [0, 0.0])
                count[0] += 1
                count[1] += own

    # -- what was found --------------------------------------------------------------------------------------------

    @checked
    def table(self, by: By = "primitive") -> Table:
        """The calls added up by primitive or by module, forward and backward apart.

        Raises ArgumentError for another `by`.

        >>> import tinygrad_conv as tg
        >>> with tg.profile() as p:
        ...     y = tg.exp(tg.ones(3))
        >>> p.table().rows[0].calls
        1
        """
        total, found = self.total, dict[tuple[str, str, str, str], list[tuple[_Price, int, float]]]()
        for kind, (calls, seconds) in self._counts.items():
            if by == "primitive":
                key = kind.name, "", kind.direction, kind.rule_of
            else:
                key = "", kind.module, kind.direction, ""
            found.setdefault(key, []).append((kind.price, calls, seconds))
        rows = [_row(key, counted, total) for key, counted in found.items()]
        rows.sort(key=lambda row: -row.seconds)
        rest = total - sum(row.seconds for row in rows)
        rows.append(Row(REST, "", "", "", 0, rest, rest / total if total else 0.0, 0, 0, 0, None))
        return Table(by, tuple(rows), total)

    @checked
    def seconds_of(self, node: Node, rule_of: Node | None = None) -> float | None:
        """Seconds per call of the operation that a node stands for, in its module and of its shape but for the batch.

        `rule_of` is the node whose rule made it, if it belongs to a gradient. None if no such operation ran.

        >>> import tinygrad_conv as tg
        >>> with tg.profile() as p:
        ...     y = tg.exp(tg.Tensor([1.0], requires_grad=True))
        >>> p.seconds_of(y.node) > 0
        True
        """
        if rule_of is None:
            wanted = _label(node), node.path, "forward", ""
        else:
            wanted = _label(node), rule_of.path, "backward", _label(rule_of)
        calls, total = 0, 0.0
        for kind, (n, seconds) in self._counts.items():
            shape = kind.price.shape
            if kind[:4] == wanted and len(shape) == len(node.shape) and shape[1:] == node.shape[1:]:
                calls, total = calls + n, total + seconds
        return total / calls if calls else None

    def __str__(self) -> str:
        speeds = machine()
        return (
            f"{self.table('primitive')}\n\n{self.table('module')}\n\n"
            "floor: the share of the time that as many bytes and FLOPs would take at this machine's "
            f"{_amount(speeds.bandwidth, 'B/s')} and {_amount(speeds.flops[0], 'FLOP/s')} (float32)\n{chosen()}"
        )

    def _repr_html_(self) -> str:
        return f"{self.table('primitive')._repr_html_()}<br>{self.table('module')._repr_html_()}"


class _Doors:
    """What stands at the doors for a profile, and passes all on to the observer around it."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def run(self, primitive: Primitive, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any]) -> Any:
        """Time a primitive."""
        if self._profile._outer is None:
            work = partial(primitive.forward, *values, **params)
        else:
            work = partial(self._profile._outer.run, primitive, args, values, params)

        def price(result: Any) -> _Price:
            y = result[0] if primitive.has_residual else result
            flops = _flops(primitive, values, np.shape(y), params)
            return _Price(np.shape(y), flops, *_moved((values, params), result), getattr(y, "itemsize", 8))

        return self._profile._timed(primitive.name.lstrip("_"), None, work, price)

    def compute(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Time a function of data."""
        values = [array_of(value) for value in args]
        named = {name: array_of(value) for name, value in kwargs.items()}
        if self._profile._outer is None:
            work = partial(function, *values, **named)
        else:
            work = partial(self._profile._outer.compute, function, args, kwargs)

        def price(result: Any) -> _Price:
            return _Price(np.shape(result), 0, *_moved((values, named), result))

        return self._profile._timed(_name(function, values), None, work, price)

    def effect(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Time a change of state."""
        if self._profile._outer is None:
            work = partial(function, *args, **kwargs)
        else:
            work = partial(self._profile._outer.effect, function, args, kwargs)
        return self._profile._timed(_name(function, args), "effect", work, lambda result: _Price())

    def __getattr__(self, door: str) -> Any:
        """What is only told, such as that an array was made, is told to the observer around this one."""
        return _nothing if self._profile._outer is None else getattr(self._profile._outer, door)


def _nothing(*told: Any) -> None:
    """What somebody who is not there does with what he is told."""


def profile() -> Profile:
    """Time a block: ``with tg.profile() as p: ...``, then ``print(p)``.

    Every call of a primitive, of a function of data and of an effect (an optimiser's step, say) is timed, and what is
    left is "Python and overhead", so that the shares add up to the time of the block. Operations of a backward pass
    are counted apart, with the primitive whose rule made them and the module which that belongs to.

    Returns
    -------
    Profile
        A context manager. ``p.total`` is the time of the block in seconds, ``p.table("primitive")`` and
        ``p.table("module")`` have its `rows`, and printing shows both tables. A block inside a block is counted in
        both, the same profile may be entered again afterwards and goes on counting, and a block that ends in an
        exception has counted what ran until then.

    Holds for this thread, and for this async task with those started inside the block. While it is on, backward runs on
    tensors, so that each operation of a rule is seen: about 10 microseconds per operation, counted as overhead. Off, it
    costs nothing.

    Raises
    ------
    ArgumentError
        A profile that is entered while its own block is open.
    DeclarationError
        A primitive's `flops` cannot be called with the shapes it got.

    >>> import tinygrad_conv as tg
    >>> x = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    >>> with tg.profile() as p:
    ...     tg.tanh(x @ x.T).sum().backward()
    >>> sorted((row.name, row.calls, row.flops) for row in p.table().rows if row.direction == "forward")
    [('matmul', 1, 4), ('permute_dims', 1, 0), ('sum', 1, 1), ('tanh', 1, 10)]
    >>> round(sum(row.share for row in p.table("module").rows), 6)
    1.0
    """
    return Profile()


def _row(key: tuple[str, str, str, str], counted: Iterable[tuple[_Price, int, float]], total: float) -> Row:
    calls, seconds, flops, read, written, floor = 0, 0.0, 0, 0, 0, 0.0
    speeds = machine() if key[2] != "effect" else None
    for price, n, took in counted:
        calls, seconds, flops = calls + n, seconds + took, flops + n * price.flops
        read, written = read + n * price.read, written + n * price.written
        if speeds is not None:
            floor += n * speeds.floor(price.flops, price.read + price.written, price.itemsize)
    name, module, direction, rule_of = key
    return Row(
        name, module, direction, rule_of, calls, seconds, seconds / total if total else 0.0, flops, read, written,
        None if speeds is None else floor,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Names and prices


def _name(function: Callable[..., Any], args: Sequence[Any]) -> str:
    """``greater`` for a function, also behind a `partial`; ``SGD.step`` for a method, by the class of its object."""
    if isinstance(function, partial):
        function = function.args[0] if function.args and callable(function.args[0]) else function.func
    name = getattr(function, "__name__", type(function).__name__)
    is_method = bool(args) and getattr(type(args[0]), name, None) is not None and "." in function.__qualname__
    return f"{type(args[0]).__name__}.{name}" if is_method else name.lstrip("_")


def _label(node: Node) -> str:
    return node.shown


def _flops(primitive: Primitive, values: Sequence[Any], shape: tuple[int, ...], params: dict[str, Any]) -> int:
    if not callable(primitive.flops):
        return int(primitive.flops) * prod(shape)
    shapes = [np.shape(value) for value in values]
    try:
        return int(primitive.flops(*shapes, shape, **{**primitive.defaults, **params}))
    except (TypeError, ValueError, IndexError) as error:
        raise DeclarationError(
            f"@{primitive.kind} {primitive.name}: expected flops(<input shapes>, y, **params) to give a number, "
            f"got {type(error).__name__}: {error} for {', '.join(map(str, shapes))} to {shape}"
        ) from error


def _moved(given: Any, result: Any) -> tuple[int, int]:
    """Bytes that a call reads and writes: none if its result is a view."""
    read, written = _arrays_in(given, []), _arrays_in(result, [])
    if written:
        y = written[0]
        for array in read:
            if array is y or (y.base is not None and np.may_share_memory(array, y)):
                return 0, 0
    return sum(map(_bytes, read)), sum(map(_bytes, written))


def _bytes(array: Array) -> int:
    """What an array takes in memory: an axis that was broadcast is there once."""
    if array.flags.forc or not array.size:
        return array.nbytes
    distinct = [n for n, step in zip(array.shape, array.strides, strict=True) if step]
    return int(prod(distinct, start=array.itemsize))


def _arrays_in(tree: Any, found: list[Array]) -> list[Array]:
    """The arrays in nested tuples, lists and dictionaries, added to those found."""
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else (tree,):
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, (tuple, list, dict)):
            _arrays_in(value, found)
    return found
