"""Vectors, for compiled functions: some neighbouring elements of an array in one register.

What a loop's vector instructions would be is left to no optimiser: it cannot know that arrays lie apart, nor that
channels are few. Each function takes `valid`: None where all lanes of a vector have an element, or how many do; behind
those nothing is read or written.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

from .jit import VECTOR_BYTES

__all__ = [
    "Vector", "add", "add_to", "equals", "fetch", "full", "item", "lanes", "lanes_of", "load", "load_lanes",
    "load_like", "multiply", "positive", "select", "store", "store_lanes", "total", "wins", "zero_or_more",
]  # fmt: skip


intrinsic: Any = extending.intrinsic  # whose results take other arguments than they are made from


class Vector(types.Type):  # type: ignore[misc, unused-ignore]
    """As many elements of a dtype as floats of the array they are worked with fill a register."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc, unused-ignore]
    def __init__(self, manager: Any, kind: Vector) -> None:
        element = ir.IntType(1) if kind.dtype == types.boolean else manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


def lanes_of(dtype: Any) -> int:
    """How many elements of a dtype a vector has."""
    return VECTOR_BYTES * 8 // int(dtype.bitwidth)


def _broadcast(builder, x, count):
    undefined = ir.Constant(ir.VectorType(x.type, count), ir.Undefined)
    first = builder.insert_element(undefined, x, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), count), None))


def _mask(builder, valid, count):
    numbers = ir.Constant(ir.VectorType(ir.IntType(64), count), list(range(count)))
    return builder.icmp_signed("<", numbers, _broadcast(builder, valid, count))


def _memory(context, builder, array, values, count):
    """Where the vector at an index of an array lies, and its kind."""
    start = context.make_array(array)(context, builder, values[0]).data
    kind = ir.VectorType(start.type.pointee, count)
    return builder.bitcast(builder.gep(start, [values[1]]), kind.as_pointer()), kind, array.dtype.bitwidth // 8


def _masked(builder, verb, kind, *arguments):
    """Call of llvm.masked.load or store."""
    element = (
        f"i{kind.element.width}"
        if isinstance(kind.element, ir.IntType)
        else {"float": "f32"}.get(str(kind.element), "f64")
    )
    returned = kind if verb == "load" else ir.VoidType()
    function = ir.FunctionType(returned, [a.type for a in arguments])
    name = f"llvm.masked.{verb}.v{kind.count}{element}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def load_lanes(context, builder, array, values, count, valid):
    """The instructions of `load`, for `count` lanes: `values` are an array, an index, and `valid`."""
    place, kind, size = _memory(context, builder, array, values, count)
    if valid is types.none:
        return builder.load(place, align=size)
    mask, align = _mask(builder, values[2], count), ir.Constant(ir.IntType(32), size)
    return _masked(builder, "load", kind, place, align, mask, ir.Constant(kind, None))


def store_lanes(context, builder, array, values, vector, valid):
    """The instructions of `store`."""
    place, kind, size = _memory(context, builder, array, values, vector.type.count)
    if valid is types.none:
        builder.store(vector, place, align=size)
    else:
        mask, align = _mask(builder, values[2], kind.count), ir.Constant(ir.IntType(32), size)
        _masked(builder, "store", kind, vector, place, align, mask)


@intrinsic
def lanes(typing, a):
    """How many elements of an array of floats a vector has."""
    count = lanes_of(a.dtype)
    return types.intp(a), lambda context, builder, signature, values: context.get_constant(types.intp, count)


@intrinsic
def item(typing, a, at):
    """a[at]; a negative index does not count from the end, which would have to be asked."""

    def generate(context, builder, signature, values):
        start = context.make_array(a)(context, builder, values[0]).data
        return context.unpack_value(builder, a.dtype, builder.gep(start, [values[1]]))

    return a.dtype(a, at), generate


@intrinsic
def fetch(typing, a, at):
    """Have the cache line of a[at] fetched from memory; there may be no such element."""

    def generate(context, builder, signature, values):
        start = context.make_array(a)(context, builder, values[0]).data
        place = builder.bitcast(builder.gep(start, [values[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, *(ir.Constant(number, k) for k in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(a, at), generate


@intrinsic
def load(typing, a, at, valid):
    """The elements of an array of floats from `at` on, 0 where there is none."""

    def generate(context, builder, signature, values):
        return load_lanes(context, builder, a, values, lanes_of(a.dtype), valid)

    return Vector(a.dtype, lanes_of(a.dtype))(a, at, valid), generate


@intrinsic
def load_like(typing, a, at, valid, v):
    """As `load`, of an array of another dtype: as many elements as v has."""

    def generate(context, builder, signature, values):
        return load_lanes(context, builder, a, values, v.lanes, valid)

    return Vector(a.dtype, v.lanes)(a, at, valid, v), generate


@intrinsic
def store(typing, a, at, valid, v):
    """a[at:...] = v."""

    def generate(context, builder, signature, values):
        store_lanes(context, builder, a, values, values[3], valid)
        return context.get_dummy_value()

    return types.void(a, at, valid, v), generate


@intrinsic
def add_to(typing, a, at, valid, v):
    """a[at:...] += v, an array of float64."""

    def generate(context, builder, signature, values):
        old = load_lanes(context, builder, a, values, v.lanes, valid)
        new = values[3] if v.dtype == a.dtype else builder.fpext(values[3], old.type)
        store_lanes(context, builder, a, values, builder.fadd(old, new), valid)
        return context.get_dummy_value()

    return types.void(a, at, valid, v), generate


@intrinsic
def full(typing, x, v):
    """x in as many lanes as v has."""

    def generate(context, builder, signature, values):
        return _broadcast(builder, values[0], v.lanes)

    return Vector(x, v.lanes)(x, v), generate


def _pairwise(returned, compute):
    """A function of two vectors of one kind."""

    @intrinsic
    def function(typing, v, w):
        kind = Vector(types.boolean, v.lanes) if returned == "mask" else v
        return kind(v, w), lambda context, builder, signature, values: compute(builder, *values)

    return function


add = _pairwise("vector", lambda builder, v, w: builder.fadd(v, w))
multiply = _pairwise("vector", lambda builder, v, w: builder.fmul(v, w))
equals = _pairwise("mask", lambda builder, v, w: builder.icmp_signed("==", v, w))
# Is w greater than v? A NaN in w is greater than any number, and nothing than a NaN in v.
wins = _pairwise(
    "mask", lambda builder, w, v: builder.and_(builder.fcmp_ordered("ord", v, v), builder.fcmp_unordered(">", w, v))
)


@intrinsic
def select(typing, mask, v, w):
    """v where the mask holds, else w."""
    return v(mask, v, w), lambda context, builder, signature, values: builder.select(*values)


@intrinsic
def zero_or_more(typing, v):
    """v, or 0 where it is less; a NaN stays."""

    def generate(context, builder, signature, values):
        zero = ir.Constant(values[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", values[0], zero), zero, values[0])

    return v(v), generate


@intrinsic
def positive(typing, v):
    """1 where v is greater than 0, else 0."""

    def generate(context, builder, signature, values):
        zero = ir.Constant(values[0].type, None)
        one = ir.Constant(values[0].type, [1.0] * v.lanes)
        return builder.select(builder.fcmp_ordered(">", values[0], zero), one, zero)

    return v(v), generate


@intrinsic
def total(typing, v):
    """The sum of a vector's elements."""

    def generate(context, builder, signature, values):
        element = values[0].type.element
        kind = ir.FunctionType(element, [element, values[0].type])
        name = f"llvm.vector.reduce.fadd.v{v.lanes}f{v.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(element, 0.0), values[0]], fastmath=("reassoc",))

    return v.dtype(v), generate
