"""An example that imports another library runs where that library's tests do: with `-m peer`, if it is installed."""

import re
from importlib.util import find_spec

import pytest

PEER = re.compile(r"^import (torch|jax|autograd|mygrad)\b", re.M)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            for peer in PEER.findall("".join(example.source for example in item.dtest.examples)):
                item.add_marker("peer")
                item.add_marker(pytest.mark.skipif(find_spec(peer) is None, reason=f"{peer} is not installed"))
