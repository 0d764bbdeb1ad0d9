"""Compiled steps: what is replayed is what the step itself gives, to the bit; what cannot be replayed says so."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import CompileWarning
from tinygrad_conv.testing import Draw
from tinygrad_conv.testing.checks import draw_sample

LIBRARY = {n: p for n, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")}


def numbers(result):
    """The arrays of a result, as bytes with shape and dtype."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [(part.shape, part.dtype, np.asarray(part).tobytes()) for part in parts]


def turned(x):
    """Other values of the same kind: every axis flipped."""
    out = np.empty_like(x, subok=False)
    out[...] = np.flip(x)
    return out


def same_as_eager(step, *batches, plan=True):
    """A compiled step and the step itself agree on all batches, the first one recorded, and none is changed later."""
    compiled = tg.compile(step)
    kept = []
    for batch in (batches[0], *batches, *batches[::-1]):
        expected, got = numbers(step(*map(tg.Tensor, batch))), compiled(*batch)
        assert numbers(got) == expected
        kept.append((got, expected))
    for got, expected in kept:
        assert numbers(got) == expected, "a later call wrote over an earlier result"
    if plan:
        assert compiled.plans, compiled.reasons
    return compiled


@pytest.mark.parametrize("name", LIBRARY)
@given(data=st.data())
@settings(max_examples=20)
def test_every_primitive_and_its_rules(name, data):
    seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
    args, params = draw_sample(LIBRARY[name], Draw(lambda low, high: data.draw(st.integers(low, high)), seed))
    operation = LIBRARY[name].operation
    active = [k for k, x in enumerate(args) if x.dtype.kind == "f"]

    def step(g, *xs):
        def f(*chosen):
            given = list(xs)
            for k, x in zip(active, chosen, strict=True):
                given[k] = x
            return operation(*given, **params)

        y, pull = tg.vjp(f, *[xs[k] for k in active])
        return y, *pull(g)

    y = np.asarray(operation(*args, **params))
    g = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    same_as_eager(step, (g, *args), (turned(g), *map(turned, args)))
