"""Views in compiled steps: of what programs make, of arguments and of parameters, read on, returned, or both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.plan import programs

OPERATIONS = {
    "exp": lambda x, y: tg.exp(x * 0.25), "double": lambda x, y: x * 2.0, "product": lambda x, y: x * y[:1].sum(),
    "relu": lambda x, y: tg.relu(x), "sum": lambda x, y: x.sum(axis=0, keepdims=True),
    "first": lambda x, y: x[:1], "last": lambda x, y: x[-1:], "backwards": lambda x, y: x[::-1],
    "turned": lambda x, y: x.T, "flat": lambda x, y: x.reshape(-1, 1), "wide": lambda x, y: x.reshape(1, -1),
    "repeated": lambda x, y: tg.broadcast_to(x[:1], (2, x.shape[1])), "column": lambda x, y: x[:, :1],
}  # fmt: skip


@pytest.mark.parametrize("least", [1, programs.LEAST_CALLS])
@given(
    row=st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 8)), min_size=1, max_size=7),
    returned=st.sets(st.integers(0, 7), min_size=1, max_size=3), learns=st.booleans(),
    form=st.sampled_from(["plain", "auto"]),
)  # fmt: skip
@settings(max_examples=60)
def test_rows_of_views_and_operations(least, row, returned, learns, form):
    """Each operation is of one of the values so far; some of all values are returned."""
    w = tg.nn.Parameter(np.linspace(-1, 1, 12).reshape(4, 3))

    def step(x):
        values = [x, w * 1.0 if learns else w.detach()]
        for name, k in row:
            values.append(OPERATIONS[name](values[k % len(values)], values[-1]))
        out = [values[k % len(values)] for k in sorted(returned)]
        if learns:
            w.zero_grad()
            sum((value * value).sum() for value in values).backward()
            return [*(value.detach() for value in out), w.grad]
        return out

    compiled, held = tg.compile(step), []
    with pytest.MonkeyPatch.context() as patch, tg.use_kernels(form):
        patch.setattr(programs, "LEAST_CALLS", least)
        for k in range(4):
            x = np.linspace(-1, 2, 12).reshape(4, 3) + k
            expected = [np.array(part) for part in step(tg.Tensor(x))]
            held.append((compiled(x), expected))
    assert compiled.plans, compiled.reasons
    for got, expected in held:  # all at the end: a later call writes over none of an earlier one
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12 if form == "auto" else 0, atol=1e-12 if form == "auto" else 0)


def test_a_view_is_taken_after_what_it_is_a_view_of():
    step = tg.compile(lambda x: (tg.exp(x) * 2)[:1])
    assert [step(np.zeros(3)).tolist() for _ in range(3)] == [[2.0]] * 3


@pytest.mark.parametrize("last", ["reshape", "column"])
def test_fit_of_a_model_that_ends_in_a_view(last):
    class Model(tg.keras.Model):
        def __init__(self):
            self.dense = tg.keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)[:, 0] if last == "column" else tg.reshape(self.dense(x), (-1, 2, 1))

    x = np.linspace(-1, 1, 24).reshape(8, 3)
    y = x[:, 0] if last == "column" else x[:, :2, None]

    def trained(**options):
        tg.keras.utils.set_random_seed(0)
        model = Model()
        model.compile("sgd", "mse", **options)
        history = model.fit(x, y, batch_size=4, epochs=4, verbose=0, shuffle=False)
        return history.history["loss"]

    np.testing.assert_allclose(trained(), trained(run_eagerly=True), rtol=1e-5)
