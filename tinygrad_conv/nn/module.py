"""`Parameter`, `Buffer` and `Module`: where a model keeps its weights, and how they are found.

A module is a plain Python object. Nothing is registered: parameters, buffers and inner modules are found by looking at
its attributes (and into lists, tuples and dictionaries among them) at the moment they are asked for. So a subclass
need not call ``super().__init__()``, and a list of layers is just a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from copy import deepcopy
from typing import Any, ClassVar, TypeVar
from weakref import ref

import numpy as np

from ..arguments import Checked, as_array
from ..engine.guards import FIXED
from ..engine.modes import MODE, clears, observer
from ..engine.node import next_index
from ..engine.tensor import Array, Tensor, cast, ops
from ..errors import ArgumentError, DTypeError, GraphError, NotDefinedError, ShapeError

__all__ = ["Buffer", "Module", "Parameter"]

_DEEP = 80  # Python's pickle calls itself a dozen times for each module in a module

M = TypeVar("M", bound="Module")


class Parameter(Tensor):
    """A tensor that is learned: a module finds it among its attributes, and an optimiser changes it.

    Parameters
    ----------
    data : array, nested list or Tensor
        The first values, copied.
    dtype : dtype, optional
    name : str, optional
    requires_grad : bool
        False freezes it.

    Raises
    ------
    DTypeError
        Integers, or data that are not numbers.

    >>> import tinygrad_conv as tg
    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Array, dtype: Any = None, name: str | None = None, requires_grad: bool = True) -> None:
        super().__init__(data, dtype=dtype, name=name)
        self._array = _own(self._array)
        self.requires_grad = requires_grad


class Buffer(Tensor):
    """A tensor that a module keeps but does not learn, such as a running mean; saved with the parameters.

    >>> Buffer([0.0, 0.0]).requires_grad
    False
    """

    __slots__ = ()

    def __init__(self, data: Array, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(data, dtype=dtype, name=name)
        self._array = _own(self._array)


def _own(array: Any) -> Any:
    """A copy, which user code cannot reach."""
    own = np.array(array)
    by = observer()
    if by is not None:
        by.copied(own, array)
    return own


class Module(Checked):
    """A part of a model: subclasses keep parameters and modules as attributes and define `forward`.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope = Parameter([2.0])
    ...         self.offset = Parameter([1.0])
    ...     def forward(self, x):
    ...         return x * self.slope + self.offset
    >>> line = Line()
    >>> line(tg.Tensor([3.0]))
    Tensor([7.], from=add)
    >>> [name for name, _ in line.named_parameters()]
    ['slope', 'offset']
    >>> line
    Line()  # 2 parameters
    """

    _training: bool = True  # what `train` and `eval` said last
    _called_on: ClassVar[bool] = False  # does a `__call__` of another base do more, as that of the Keras-shaped front?
    name: str | None = None  # what the module is called in its `Sequential`; elsewhere the attribute's name counts
    _kinds: ClassVar[tuple[type[Parameter], type[Buffer]]] = Parameter, Buffer  # what its layers' weights are made as
    # Caches. They hold modules weakly: what holds itself stays until the cycle collector runs.
    _paths: dict[int, tuple[ref[Module], str]] | None = None  # the names of modules inside, as far as asked for
    _entered: Any = None  # the modes outside and inside of the last call, which the next often repeats
    _ignored: ClassVar[frozenset[str]] = frozenset(("_paths", "_entered"))  # attributes that decide nothing

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; to be defined by subclasses."""
        raise NotDefinedError(f"{type(self).__name__}: define forward(self, x)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`, with the module's path noted so that the graph and error messages know it."""
        token = self._enter()
        try:
            return self.forward(*args, **kwargs)
        finally:
            MODE.reset(token)

    def _enter(self) -> Any:
        """Note that the module is running now; what undoes it."""
        mode, entered = MODE.get(), self._entered
        if entered is None or entered[0] is not mode:
            outer = mode.module and mode.module()
            path = "" if outer is None else outer._path_of(self, mode.path)
            calls = mode.calls if mode.watch is None else (*mode.calls, (next_index(), path))
            entered = mode, mode._with({"module": ref(self), "path": path, "calls": calls})
            if mode.observer is None and mode.watch is None and mode.generators is None:  # which would be held
                self._entered = entered
        if mode.observer is not None:
            mode.observer.enter(self)
        return MODE.set(entered[1])

    def _path_of(self, child: Module, path: str) -> str:
        """The dotted path of a module called while this one (at `path`) runs."""
        entry = (self._paths or {}).get(id(child))
        if entry is None or entry[0]() is not child:
            names = ((name, m) for modules in (self.named_children, self.named_modules) for name, m in modules())
            found = (name for name, m in names if m is child)  # directly inside, most often
            entry = ref(child), next(found, child.name or type(child).__name__)
            known = {key: known for key, known in (self._paths or {}).items() if known[0]() is not None}
            self._paths = {**known, id(child): entry}
        return f"{path}.{entry[1]}" if path else entry[1]

    def _assumed(self, named: Set[str]) -> Set[str]:
        """The attributes on which what a compiled step does depends, if its code names these: what holds a tensor or a
        module, besides. Classes of which the library knows more say more."""
        return {name.split(".")[0] for name, _ in items(self)} | named | {"forward", "_training"}

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: all attributes but the caches."""
        return {name: value for name, value in vars(self).items() if name not in ("_paths", "_entered")}

    def __copy__(self) -> Module:
        out: Module = type(self).__new__(type(self))
        return _filled(out, self.__getstate__())

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        inside = [module for module in self.modules() if type(module).__deepcopy__ is Module.__deepcopy__]
        for module in inside:  # all before any attribute, so that no copy waits for an inner one
            memo.setdefault(id(module), type(module).__new__(type(module)))
        for module in inside:
            _filled(memo[id(module)], deepcopy(module.__getstate__(), memo))
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        depth = max(depth for _, _, depth, _ in self._walk())
        if depth > _DEEP:
            raise GraphError(
                f"pickle: expected modules at most {_DEEP} deep in each other, got {depth}; save state_dict() instead, "
                "and load it into a model that was built anew"
            )
        return super().__reduce_ex__(protocol)

    # -- what is inside --------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for each module held as an attribute, or in a list, tuple or dictionary among them.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> [name for name, _ in net.named_children()]
        ['0', '1']
        """
        return ((name, item) for name, item in items(self) if isinstance(item, Module))

    def children(self) -> Iterator[Module]:
        """The modules directly inside.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> [type(module).__name__ for module in net.children()]
        ['Dense', 'Dense']
        """
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted path, module) for this module (path "") and all inside it, each once, outer ones first.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> [path for path, _ in net.named_modules()]
        ['', '0', '1']
        """
        return ((path, module) for path, module, _, _ in self._walk(prefix))

    def _walk(
        self, path: str = "", again: dict[str, str] | None = None
    ) -> Iterator[tuple[str, Module, int, list[tuple[str, Any]]]]:
        """The same with the depth of each, and what it holds: tensors and modules, by name.

        Other paths to a module that was there before are noted in `again`, with the first one.
        """
        seen: dict[int, str] = {}
        left = [(path, self, 0)]
        while left:
            path, module, depth = left.pop()
            if id(module) in seen:
                if again is not None:
                    again[path] = seen[id(module)]
            else:
                seen[id(module)] = path
                held = items(module)
                yield path, module, depth, held
                if children := module._children_in(held):
                    start = f"{path}." if path else ""
                    left += [(start + name, child, depth + 1) for name, child in children][::-1]

    def _children_in(self, held: list[tuple[str, Any]]) -> Iterable[tuple[str, Module]]:
        """`named_children`, without another look where a class has no names of its own for them."""
        if type(self).named_children is not Module.named_children:
            return self.named_children()
        return [pair for pair in held if isinstance(pair[1], Module)]

    def modules(self) -> Iterator[Module]:
        """This module and all inside it.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> [type(module).__name__ for module in net.modules()]
        ['Sequential', 'Dense', 'Dense']
        """
        return (module for _, module in self.named_modules())

    def _named(self, kind: type[Tensor]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, _, _, held in self._walk():
            for name, item in held:
                if isinstance(item, kind) and id(item) not in seen:
                    seen.add(id(item))
                    yield f"{path}.{name}" if path else name, item

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted path, parameter), each parameter once however often it is shared.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> {path: parameter.shape for path, parameter in net.named_parameters()}
        {'0.weight': (3, 2), '0.bias': (2,), '1.weight': (2, 1), '1.bias': (1,)}
        """
        return self._named(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, once.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> [parameter.size for parameter in net.parameters()]
        [6, 2, 2, 1]
        """
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(dotted path, buffer), each once.

        >>> import tinygrad_conv as tg
        >>> layer = tg.nn.BatchNorm()
        >>> layer.build((None, 3))
        >>> [name for name, _ in layer.named_buffers()]
        ['running_mean', 'running_var']
        """
        return self._named(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """Every buffer, once.

        >>> import tinygrad_conv as tg
        >>> layer = tg.nn.BatchNorm()
        >>> layer.build((None, 3))
        >>> [buffer.shape for buffer in layer.buffers()]
        [(3,), (3,)]
        """
        return (buffer for _, buffer in self.named_buffers())

    def count_parameters(self) -> int:
        """How many numbers the parameters hold.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential([tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2)], seed=0)
        >>> net.count_parameters()
        11
        """
        return sum(parameter.size for parameter in self.parameters())

    # -- modes -----------------------------------------------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Training behaviour, or inference? As the call that runs says, else as `train` and `eval` said last."""
        said = MODE.get().training
        return self._training if said is None else said

    @training.setter
    def training(self, mode: bool) -> None:
        self._training = mode

    def train(self: M, mode: bool = True) -> M:
        """Training behaviour (dropout drops, batch norm uses the batch) here and in all modules inside.

        >>> import tinygrad_conv as tg
        >>> drop = tg.nn.Dropout(0.5, seed=0)
        >>> drop.eval()(tg.ones(4)).tolist(), drop.train().training
        ([1.0, 1.0, 1.0, 1.0], True)
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Inference behaviour, here and in all modules inside.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dropout(0.5).eval()(tg.ones(3))
        Tensor([1., 1., 1.])
        """
        return self.train(False)

    @clears(lambda self: self.parameters())
    def zero_grad(self) -> None:
        """Forget the accumulated gradient of every parameter.

        >>> import tinygrad_conv as tg
        >>> layer = tg.nn.Dense(1, in_features=2)
        >>> layer([[1.0, 2.0]]).sum().backward()
        >>> layer.zero_grad()
        >>> layer.weight.grad is None
        True
        """
        for parameter in self.parameters():
            parameter.zero_grad()

    # -- state -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of every parameter and buffer by its dotted path, as NumPy arrays.

        >>> import tinygrad_conv as tg
        >>> {name: array.shape for name, array in tg.nn.Dense(2, in_features=3).state_dict().items()}
        {'weight': (3, 2), 'bias': (2,)}
        """
        return {name: np.array(tensor._array) for name, tensor in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.named_parameters()
        yield from self.named_buffers()

    def load_state_dict(self, state: Mapping[str, Array], strict: bool = True) -> None:
        """Take over the values that `state_dict` gave.

        Parameters
        ----------
        state : mapping from dotted paths to arrays, which are copied
        strict : bool
            False lets paths be missing, or unexpected; shapes must fit all the same.

        Raises
        ------
        ArgumentError
            Missing or unexpected paths. Nothing is changed.
        ShapeError
            An array of another shape than the model's. Nothing is changed.
        ArgumentError, DTypeError
            Numbers that the model's dtype cannot hold, such as complex ones, or 1e300 for float32. Nothing is changed.

        >>> import tinygrad_conv as tg
        >>> one, other = tg.nn.Dense(2, in_features=3), tg.nn.Dense(2, in_features=3)
        >>> other.load_state_dict(one.state_dict())
        >>> bool((one.weight.data == other.weight.data).all())
        True
        """
        take_over("load_state_dict", type(self).__name__, dict(self._state()), state, strict)

    # -- description -----------------------------------------------------------------------------------------------

    def _brief(self) -> str:
        """The constructor call, in one line."""
        return f"{type(self).__name__}()"

    def _repr_html_(self) -> str:
        return str(ops.shown_module(self))

    def __repr__(self) -> str:
        counts = _counts(self)
        lines: list[str] = []
        around: list[Iterator[tuple[str, Module]]] = [iter([("", self)])]
        while around:
            indent = "  " * (len(around) - 1)
            for name, child in around[-1]:
                start = f"{indent}({name}): " if name else indent
                if child is not self and type(child).__repr__ is not Module.__repr__:  # a class with a way of its own
                    lines += f"{start}{child!r}".replace("\n", f"\n{indent}").splitlines()
                    continue
                count = f"  # {counts[id(child)]:,} parameters" if counts[id(child)] else ""
                if inner := list(child.named_children()):
                    lines.append(f"{start}{type(child).__name__}({count}")
                    around.append(iter(inner))
                    break
                lines.append(start + child._brief() + count)
            else:
                around.pop()
                if around:
                    lines.append(f"{'  ' * (len(around) - 1)})")
        return "\n".join(lines)


def take_over(what: str, of: str, own: Mapping[str, Tensor], state: Mapping[str, Array], strict: bool = True) -> None:
    """Give tensors the values that `state` has for them, all or none; raises what `load_state_dict` says."""
    put(own, fitting(what, of, own, state, strict))


def put(own: Mapping[str, Tensor], arrays: Mapping[str, Array]) -> None:
    """Give tensors what `fitting` found for them."""
    for name, array in arrays.items():
        own[name]._array = array


def fitting(
    what: str, of: str, own: Mapping[str, Tensor], state: Mapping[str, Array], strict: bool = True
) -> dict[str, Array]:
    """New arrays for tensors, with the values that `state` has for them; raises what `load_state_dict` says."""
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    if strict and (missing or unexpected):
        parts = [
            f"{kind} {_listed(names)}" for kind, names in (("missing", missing), ("unexpected", unexpected)) if names
        ]
        unbuilt = "" if own else "; the model has no weights yet: build it or call it once before loading"
        raise ArgumentError(
            f"{what}: expected the paths of {of}, got {' and '.join(parts)}{unbuilt}; strict=False loads what fits"
        )
    shapes = {name: np.shape(state[name]) for name in own if name in state}
    wrong = [name for name, shape in shapes.items() if shape != own[name].shape]
    if wrong:  # found out before an array is read: it may lie in a file, and be as large as that says
        pairs = "; ".join(f"{name}: {own[name].shape} and {shapes[name]}" for name in wrong[:6])
        raise ShapeError(f"{what}: expected the model's shapes, got others ({pairs})")
    read = {name: np.array(_plain(what, name, state[name])) for name in shapes}
    return {name: cast(f"{what}: {name}", array, own[name].dtype) for name, array in read.items()}


def _filled(module: Module, state: Any) -> Module:
    """A module that has no attributes yet, with those that `__getstate__` gave."""
    if hasattr(module, "__setstate__"):
        module.__setstate__(state)
    else:
        vars(module).update(state)
    return module


def _counts(top: Module) -> dict[int, int]:
    """By the id of each module inside: how many numbers its parameters hold, and those of all inside it, each once."""
    found: dict[int, dict[int, int]] = {}
    around: list[dict[int, int]] = []
    for _, module, depth, held in top._walk():
        del around[depth:]
        found[id(module)] = {}
        around.append(found[id(module)])
        for _, item in held:
            if isinstance(item, Parameter):
                for sizes in around:
                    sizes[id(item)] = item.size
    return {key: sum(sizes.values()) for key, sizes in found.items()}


def items(module: Module) -> list[tuple[str, Any]]:
    """(name, value) of every attribute, and of what lists, tuples and dictionaries among them hold."""
    found: list[tuple[str, Any]] = []
    for name, value in module.__dict__.items():
        kind = type(value)
        if kind in _BARE or (kind is tuple and _BARE.issuperset(map(type, value))):  # as most are
            continue
        if isinstance(value, (Tensor, Module)):
            found.append((name, value))
        elif isinstance(value, (list, tuple, dict)) and value and name not in ("_paths", "_entered"):
            if kind is list and all(isinstance(item, Module) for item in value):  # as most are
                found += [(f"{name}.{k}", item) for k, item in enumerate(value)]
            else:
                found += unpacked(name, value)
    return found


_BARE = FIXED | {np.random.Generator, *(type(np.dtype(code)) for code in "efdFD")}  # hold neither tensors nor modules


def unpacked(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(name, tensor or module) of a value: itself, or what is in a list, tuple or dictionary."""
    if isinstance(value, (Tensor, Module)):
        yield name, value
        return
    names, around, open_ = [name], [(_named(value), id(value))], {id(value)}
    while around:
        for key, item in around[-1][0]:
            if isinstance(item, (Tensor, Module)):
                yield ".".join((*names, str(key))), item
            elif isinstance(item, (list, tuple, dict)) and id(item) not in open_:  # else it holds itself
                names.append(str(key))
                around.append((_named(item), id(item)))
                open_.add(id(item))
                break
        else:
            names.pop()
            open_.remove(around.pop()[1])


def _named(value: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of a list, tuple or dictionary, by number or key; of anything else none."""
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, (list, tuple)) else iter(())


def _plain(what: str, name: str, value: Any) -> Any:
    array = value._array if isinstance(value, Tensor) else as_array(value, f"{what}: {name}")
    if array.dtype.kind not in "fiubc":
        raise DTypeError(f"{what}: expected numbers for {name!r}, got dtype {array.dtype}")
    return array


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
