"""An example that imports another library runs where that library's tests do: `-m peer`, or `-m keras`."""

import re
from importlib.util import find_spec

import pytest

LIBRARY = re.compile(r"^import (?:.*, )?(torch|jax|autograd|mygrad|keras)\b", re.M)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            for name in LIBRARY.findall("".join(example.source for example in item.dtest.examples)):
                item.add_marker("keras" if name == "keras" else "peer")
                item.add_marker(pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
