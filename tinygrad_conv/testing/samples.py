"""Samples: what a primitive is called with when it is checked, as its declaration says."""

from __future__ import annotations

from ..engine.primitive import Primitive
from .draw import Draw, Sample

__all__ = ["draw_sample", "primitive_sample"]


def draw_sample(primitive: Primitive, draw: Draw) -> Sample:
    """Arguments and keywords for one primitive, as its declaration says; at first in all of its boundary classes."""
    return draw.first_of(_declared, primitive)


def primitive_sample(primitive: Primitive, draw: Draw) -> Sample:
    """What is checked: a drawn sample; a primitive that publishes a rule for ties gets tied inputs half of the time."""
    return draw.first_of(_tied, primitive)


def _declared(draw: Draw, primitive: Primitive) -> Sample:
    if primitive.samples is not None:
        args, params = primitive.samples(draw)
        return args, params
    if primitive.kind == "elementwise" or primitive.broadcasts:
        args, params = draw.elementwise_sample(primitive.domain)
        return args, params
    if len(primitive.inputs) == 1:
        return draw.plain_sample()
    raise AssertionError(f"{primitive.name}: declare samples=, a function that draws its arguments")


def _tied(draw: Draw, primitive: Primitive) -> Sample:
    draw.ties = bool(primitive.tie) and draw.boolean()
    return _declared(draw, primitive)
