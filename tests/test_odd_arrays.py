"""Arrays that are laid out oddly give every operation the same numbers as plain ones: byte-swapped, read-only, with any
strides, at odd addresses, of float16. Empty and 0-d arrays do as NumPy's do. Or an operation says that it cannot."""

import traceback
import warnings

import numpy as np
import pytest
from numpy_cases import CASES

import tinygrad_conv as tg
from tinygrad_conv.errors import TinygradConvError

OPERATIONS = pytest.mark.parametrize("group", CASES)


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:]
    out = raw.view(x.dtype).reshape(x.shape) if x.size else x
    out[...] = x
    return out


FORMS = {
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": read_only,
    "unaligned": unaligned,
    "transposed": lambda x: np.array(x.T, order="C").T,
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x,
    "negative strides": lambda x: np.array(x[::-1])[::-1] if x.ndim else x,
}


def formed(form, args):
    """The arguments with each of their arrays in another form."""
    if isinstance(args, np.ndarray):
        return form(args) if args.dtype.kind in "fciu" else args
    return type(args)(formed(form, arg) for arg in args) if type(args) in (list, tuple) else args


def outcome(function, *args):
    """Arrays, or the library's error."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = function(*args)
        except TinygradConvError as error:
            return error
        except (IndexError, ValueError) as error:
            if any("tinygrad_conv" in frame.filename for frame in traceback.extract_tb(error.__traceback__)):
                raise
            return error  # of the case itself, which is not written for such arrays
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(part.numpy() if isinstance(part, tg.Tensor) else part) for part in parts]


def check_same(case, found, wanted, rtol=1e-9):
    assert isinstance(found, list) == isinstance(wanted, list), (case.name, found, wanted)
    for one, other in zip(found, wanted, strict=True) if isinstance(found, list) else ():
        assert one.dtype.newbyteorder("=") == other.dtype or rtol > 1e-6
        with np.errstate(all="ignore"):
            other = other.astype(one.dtype) if rtol > 1e-6 else other  # float16 ends at 65504 and at 6e-8
        atol = rtol * np.abs(other[np.isfinite(other)]).max(initial=0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol, err_msg=case.name)


def gradients(case, args):
    """Those of the sum of the squares."""
    inputs = [tg.Tensor(a, requires_grad=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a for a in args]
    assert all(t.dtype.isnative for t in inputs if isinstance(t, tg.Tensor))
    y = case.ours(*inputs)
    sum(tg.square(part).sum() for part in (y if isinstance(y, (tuple, list)) else [y])).backward()
    return [t.grad for t in inputs if isinstance(t, tg.Tensor) and t.grad is not None]


def check_forms(function, case, args):
    """A library's error is no wrong number: other libraries' memory has to be of this machine's order, for example."""
    wanted = outcome(function, *args)
    for form in FORMS.values():
        found = outcome(function, *formed(form, args))
        if isinstance(found, list):
            check_same(case, found, wanted)


def of_group(group):
    return [case for case in CASES[group] if case.name != "dropout"]  # which draws other numbers at each call


@OPERATIONS
def test_forms(group):
    for case in of_group(group):
        check_forms(case.ours, case, case.args)
        if case.gradient:
            check_forms(lambda *args, case=case: gradients(case, args), case, case.args)


@OPERATIONS
def test_empty_and_0d(group):
    for case in of_group(group):
        for small in (lambda x: x.reshape(-1)[0].reshape(()) if x.size else x, lambda x: x[:0] if x.ndim else x):
            check_forms(case.ours, case, formed(small, case.args))


@OPERATIONS
def test_float16(group):
    """On numbers that float16 holds: the same within its precision, but for what is free, or the largest number."""
    for case in of_group(group):
        if "partition" in case.name or case.name.startswith("nan_to_num"):
            continue
        args = formed(lambda x: x.astype("float16") if x.dtype == "float64" else x, case.args)
        found = outcome(case.ours, *args)
        wanted = outcome(case.ours, *formed(lambda x: x.astype("float64") if x.dtype == "float16" else x, args))
        if isinstance(found, list):
            check_same(case, found, wanted, rtol=0.02)
