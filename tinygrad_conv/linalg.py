"""``tg.linalg``: linear algebra under NumPy's names, which are the Array API's too."""

from .ops.overrides import name_of, operations

globals().update(
    {
        name.rpartition(".")[2]: f
        for name, f in ((name_of(of), f) for of, f in operations().items())
        if "linalg." in name
    }
)
