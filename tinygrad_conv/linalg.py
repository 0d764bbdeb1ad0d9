"""``tg.linalg``: linear algebra under NumPy's names, which are the Array API's too."""

from .ops.overrides import name_of, operations

for _function, _operation in operations().items():
    _where, _, _name = name_of(_function).rpartition(".")
    if _where == "linalg":
        globals()[_name] = _operation
