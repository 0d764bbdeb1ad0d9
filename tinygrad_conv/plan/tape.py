"""`Tape`: all that a step computes, written down while it runs.

A tape stands at the doors of `modes` as an `Observer`. Every call of a primitive, of a function of data and of an
effect becomes a `Call` between `Slot`s, and every array that came from somewhere else is told apart: an argument of the
step, a tensor that lives on (a parameter: read again at every replay), or a constant.

What cannot be written down ends the tape, with the reason and the user's line: a value that leaves the library, where
what is done with it, such as an `if`, will not be seen.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from ..engine.bare import array_of
from ..engine.guards import fingerprint, owner_of
from ..engine.modes import CLEARED, MODE, observed
from ..engine.node import Node, next_index
from ..engine.primitive import Primitive
from ..engine.source import describe_source, user_source, whose
from ..engine.tensor import Tensor, ndarray, wrap
from .calls import COPY, Call, Found, Kind, Origin, Path, Seen, Slot, Wrapped, copying, kind_of, parts, replaced
from .places import Contents, Place
from .reach import Reach
from .signature import is_array
from .values import is_plain

__all__ = ["Tape"]


LARGE = 1 << 16  # bytes: an array that operations read, and that nobody would compare at each call


class Tape:
    """The recording of one run of a step.

    Attributes
    ----------
    calls : in the order in which they ran
    arguments : the slots of the step's arrays, in order
    reach : what the step's Python code can read
    tensors : those that live on and that the step can look at, as it found them
    lent : which argument a tensor stands for, by its id, where the caller has one too
    leaves : the nodes of some of them, whose gradients it read or set
    gradients : what kind of gradient these had at first, where it was read before it was forgotten
    broken : why this run cannot be replayed, or None
    unknown : why not, unless it was the first and made what it was done to
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.calls: list[Call] = []
        self.constants: list[Slot] = []
        self.arguments: list[Slot] = []
        self.tensors: dict[int, Found] = {}
        self.leaves: set[Node] = set()
        self.gradients: dict[Node, Kind | None] = {}
        self.broken: str | None = None
        self.unknown: str | None = None
        self._start = next_index()  # nodes with a larger index were made during the step
        self._cleared: set[Node] = set()
        self._changed = ""
        self._prints: list[tuple[Slot, bytes | int]] = []
        self.lent: dict[int, int] = {}
        self._lent: list[tuple[Tensor, Tensor, ndarray]] = []
        self._count = count()
        self._memories = count()
        self._known: dict[int, Slot] = {}  # by the id of an array, as long as it lives
        self._memory: dict[int, int] = {}  # by the id of the array that owns it
        self._alive: list[Any] = []  # watches over these, and what cannot be watched
        self._pinned: set[int] = set()  # the ids of the latter
        self._look()

    # -- slots -----------------------------------------------------------------------------------------------------

    def _slot(self, origin: Origin, array: Any, **more: Any) -> Slot:
        slot = Slot(next(self._count), origin, Seen(array, self._memory_of(array)), **more)
        if origin == "constant":
            slot.value = array
            self.constants.append(slot)
            if isinstance(array, ndarray):
                self._prints.append((slot, fingerprint(array)))
        self._know(array, slot)
        return slot

    def _know(self, array: Any, slot: Slot) -> None:
        self._known[id(array)] = slot
        self._watch(array, self._known)

    def _memory_of(self, array: Any) -> int:
        owner = owner_of(array)
        memory = self._memory.get(id(owner))
        if memory is None:
            memory = self._memory[id(owner)] = next(self._memories)
            self._watch(owner, self._memory)
        return memory

    def _watch(self, array: Any, table: dict[int, Any]) -> None:
        """Take an array out of a table when it dies: another may get its id."""
        if isinstance(array, ndarray):
            self._alive.append(ref(array, partial(_forget, table, id(array))))
        else:
            self._alive.append(array)
            self._pinned.add(id(array))

    def arguments_of(self, leaves: Sequence[Any]) -> list[Any]:
        """What the step is called with: for arrays, and tensors that nobody follows, tensors of their own."""
        own: dict[int, Tensor] = {}
        given: list[Any] = []
        for leaf in leaves:
            if is_array(leaf):
                tensor = leaf if isinstance(leaf, Tensor) else Tensor(leaf)
                view = tensor._array.view()
                self.arguments.append(self._slot("argument", view))
                if id(leaf) not in own:
                    own[id(leaf)] = wrap(view, None)
                    own[id(leaf)].name, own[id(leaf)]._no_graph = tensor.name, tensor._no_graph
                    if tensor is leaf:
                        self._lent.append((tensor, own[id(leaf)], view))
                        self.lent[id(own[id(leaf)])] = len(given)
                leaf = own[id(leaf)]
            given.append(leaf)
        return given

    def give_back(self, changed: bool) -> None:
        """The step has returned: tensors that it was called with become what it made of those that it had for them.

        `changed` : did it change lists or dictionaries among its arguments?
        """
        for tensor, own, view in self._lent:
            if own._array is not view or own.node is not None or own.name != tensor.name:
                if own._array is not view:
                    tensor._array = own._array
                tensor.node, tensor.name = own.node, own.name
                changed = True
        if changed:
            self._changed = self._changed or "it changes an argument"
        self._lent.clear()

    def known(self, array: Any) -> Slot | None:
        """The slot of an array, if it has one."""
        return self._known.get(id(array))

    def slot_of_array(self, array: ndarray) -> Slot:
        """The slot of an array; one not seen before is a constant."""
        slot: Slot = self._operand(array)
        return slot

    def _look(self) -> None:
        """Tensors that the step can read are as they are now, before it does anything with them."""
        while new := [tensor for key, tensor in self.reach.tensors.items() if key not in self.tensors]:
            for tensor in new:
                self.tensors[id(tensor)] = Found.of(tensor)
                for hook in (tensor.node.hooks or {}).values() if tensor.node is not None else ():
                    self.reach.add("a hook", hook)

    def _reach(self, label: str, value: Any) -> None:
        """Something that the step comes by in another way than by its names."""
        self.reach.add(label, value)
        self._look()

    def _find(self, tensor: Tensor) -> None:
        if id(tensor) not in self.tensors:
            self._reach("a tensor", tensor)

    def slot_of(self, tensor: Tensor) -> Slot:
        """The slot of a tensor's array; a tensor not seen before is read now, as at every replay."""
        slot = self._known.get(id(tensor._array))
        if slot is None:
            self._find(tensor)
            slot = self._load(_read, tensor, tensor._array)
        return slot

    def _load(self, read: Callable[[Any], Any], of: Any, array: Any) -> Slot:
        slot = self._slot("tensor", array)
        self._alive.append(array)  # held to the end, so that no update in place makes it another value
        self.calls.append(Call("load", read.__name__.strip("_"), read, (of,), {}, [slot], [()]))
        return slot

    def _operand(self, value: Any) -> Any:
        """What a call reads: a slot for an array or a tensor, anything else as it is."""
        if isinstance(value, Tensor):
            return self.slot_of(value)
        if not isinstance(value, (ndarray, np.generic)):
            return value
        slot = self._known.get(id(value))
        if slot is None:
            slot = self._slot("constant", value, checked=isinstance(value, np.generic), source=user_source(4))
        return slot

    def _lasting(self, value: Any) -> Any:
        """What an effect is given: computed arrays and tensors as slots, lasting objects as they are."""
        if isinstance(value, Tensor):
            slot = self._known.get(id(value._array))
            if slot is None:
                self._find(value)
            return value if id(value) in self.tensors else Wrapped(slot)  # type: ignore[arg-type]
        return self._operand(value)

    def _note(self, call: Call, result: Any, *, constants: bool = True) -> None:
        if constants and self._is_constant(call):
            for _, leaf in _leaves(result):
                self.constant(array_of(leaf))
            return
        mode = MODE.get()
        call.path = mode.path
        if mode.backward is not None:
            call.path, call.backward = mode.backward.path, mode.backward.shown
            call.source = mode.backward.source
        for path, leaf in _leaves(result):
            array = array_of(leaf)
            if isinstance(array, (ndarray, np.generic)) and id(array) not in self._known:
                call.outputs.append(self._slot("call", array))
                call.results.append((*path, -1) if isinstance(leaf, Tensor) else path)
        self.calls.append(call)

    # -- the doors -------------------------------------------------------------------------------------------------

    def run(self, primitive: Primitive, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any]) -> Any:
        with observed(None):  # what a forward function is made of is its own affair
            y = primitive.forward(*values, **params)
        array = y[0] if primitive.has_residual else y
        if type(array) is not ndarray and any(isinstance(arg, Tensor) for arg in args):
            array = np.asarray(array)
            y = (array, y[1]) if primitive.has_residual else array
        if self.broken is None:
            if whose(primitive.forward.__code__.co_filename) != "library":
                self._reach(primitive.name, primitive.operation)  # its rules run later, and are Python of others
            operands = tuple(map(self._operand, args))
            named = {name: replaced(value, self._operand) for name, value in params.items() if name != "shapes"}
            if any(array is value for value in values):  # the identity: nothing to do
                return y
            call = Call(
                "primitive", primitive.name, primitive.forward, operands, named, primitive=primitive,
                source=user_source(3),
            )  # fmt: skip
            self._note(call, y)
        return y

    def compute(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        operands = tuple(replaced(arg, self._operand) for arg in args)
        named = {name: replaced(value, self._operand) for name, value in kwargs.items()}
        args = [replaced(arg, array_of) for arg in args]
        kwargs = {name: replaced(value, array_of) for name, value in kwargs.items()}
        with observed(None):
            result = function(*args, **kwargs)
        if self.broken is None:
            self._note(Call("compute", _name(function), function, operands, named, source=user_source(3)), result)
        return result

    def effect(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        args = [tuple(arg) if isinstance(arg, Iterator) else arg for arg in args]  # a replay goes through it again
        given = tuple(replaced(arg, self._lasting) for arg in args)
        named = {name: replaced(value, self._lasting) for name, value in kwargs.items()}
        node = args[0] if args and isinstance(args[0], Node) else None
        if node is not None and self._is_own(node):
            return function(*args, **kwargs)  # nobody sees its gradient later: what is done to it is like all else
        objects = [of for of in parts((args, kwargs)) if not (isinstance(of, (Tensor, Node, ndarray)) or is_plain(of))]
        for of in objects:
            if not self.reach.includes(of):
                self._use(f"something is done to a {type(of).__name__} that it makes, or that only it knows,")
        places = self.reach.places_of(objects)
        self._changed = self._changed or self._by_itself(places)
        tensors = [value for value in args if isinstance(value, Tensor) and id(value) not in self.tensors]
        before = [(value, value._array) for value in tensors]
        with observed(None):
            result = function(*args, **kwargs)
        for place in places:
            place.settle()
        if any(value._array is not array for value, array in before):
            self._use("a tensor is changed that it makes, or is given,")
        if self.broken is None:
            self._note(Call("effect", _name(function), function, given, named, source=user_source(3)), result)
        if node is not None:
            self.leaves.add(node)
        if function in CLEARED:
            nodes = (of if isinstance(of, Node) else of.node for of in CLEARED[function](args[0]))
            self._cleared.update(node for node in nodes if node is not None)
        return result

    def _use(self, why: str) -> None:
        """Something is done that another call would do to another object."""
        self.unknown = self.unknown or f"{why} at {describe_source(user_source(4))}"

    def _by_itself(self, places: Sequence[Place]) -> str:
        """What the step's Python code changed in some places since the last effect, if anything."""
        for place in places:
            if place.changed():
                return place.CHANGED.format(label=place.label) + self.reach.line(place.label)
        return ""

    def _is_own(self, node: Node) -> bool:
        """Was a node made during the step, so that nobody sees its gradient later?"""
        return node.index > self._start

    def _is_constant(self, call: Call) -> bool:
        """Does a call depend on nothing but constants that were made from shapes?"""
        slots = list(call.inputs)
        of_shapes = all(slot.origin == "constant" and slot.checked for slot in slots)
        return call.kind in ("primitive", "compute") and bool(slots) and of_shapes

    def constant(self, array: Any) -> None:
        if isinstance(array, (ndarray, np.generic)) and id(array) not in self._known:
            self._slot("constant", array)

    def made(self, array: Any) -> None:
        self._operand(array)

    def same(self, array: Any, original: Any) -> None:
        self._know(array, self._operand(original))

    def copied(self, array: Any, original: Any) -> None:
        self._note(copying(self._operand(original)), array, constants=False)

    def touch(self, tensor: Tensor) -> None:
        self.slot_of(tensor)

    def gradient(self, node: Node) -> None:
        if self._is_own(node):
            return
        self.leaves.add(node)
        gradient = node.grad
        if node not in self._cleared:
            self.gradients.setdefault(node, None if gradient is None else kind_of(gradient._array))
        if gradient is not None and self.known(gradient._array) is None:
            self._load(_read_gradient, node, gradient._array)

    def enter(self, module: Any) -> None:
        if not self.reach.includes(module):
            self._reach("a layer", module)

    def escape(self, why: str) -> None:
        if self.broken is None and (self.reach.prints or not why.startswith("a printed text")):
            self.broken = f"{why} at {describe_source(user_source(3))}"

    # -- the end ---------------------------------------------------------------------------------------------------

    def changed(self) -> str:
        """What the step changed in a way that a replay would not, if anything."""
        if why := self._changed or self._by_itself(self.reach.places):
            return why
        for found in self.tensors.values():
            if not found.is_followed_alike():
                return f"it changes requires_grad or hooks of a tensor of shape {found.tensor.shape}"
        for slot, print_ in self._prints:
            if fingerprint(slot.value) != print_:
                return f"it changes an array after it used it, at {describe_source(slot.source)}"
        for node in self.leaves:
            graph = None if node.grad is None else node.grad.node
            if graph is not None and graph.primitive is not None and not graph.freed:
                return f"it leaves a gradient of shape {node.shape} with its graph"
        return ""

    def kept(self, outputs: Sequence[Slot]) -> list[Call]:
        """The calls whose results somebody still holds, though the step has ended and they are no outputs.

        They are state that the step keeps in Python, such as a list that it appends to: a replay would not.
        """
        known = {slot.seen.memory for slot in outputs}
        effects = [call for call in self.calls if call.kind == "effect"]
        known |= {slot.seen.memory for call in effects for slot in (*call.inputs, *call.outputs)}
        copies = [call for call in self.calls if call.primitive is COPY]  # such as a layer's weights
        known |= {call.outputs[0].seen.memory for call in copies if call.args[0].origin == "constant"}
        for collect in (False, True):
            if collect:
                gc.collect()
            alive = {
                slot for key, slot in self._known.items()
                if slot.origin == "call" and slot.seen.memory not in known and key not in self._pinned
            }  # fmt: skip
            if not alive:
                return []
        return [call for call in self.calls if not alive.isdisjoint(call.outputs)]

    def reads(self, place: Place) -> bool:
        """Are the numbers in a place those of a large array that a replay reads itself, so that they may change?"""
        if not isinstance(place, Contents) or place.of.nbytes < LARGE:
            return False
        return any(
            owner_of(slot.value) is owner_of(place.of) for slot in self.constants if isinstance(slot.value, ndarray)
        )

    def fresh(self) -> list[Slot]:
        """The constants that nobody else holds, which are arrays."""
        return [slot for slot in self.constants if slot.checked and isinstance(slot.value, ndarray)]

    def unproven(self) -> list[Slot]:
        """The arrays that were made during the step, so that they may be others next time."""
        return [slot for slot in self.constants if not slot.checked and not self._lasts(slot.value)]

    def _lasts(self, array: ndarray) -> bool:
        """Can the step read an array, or the one that it is a view of, next time as well?"""
        of: Any = array
        while isinstance(of, ndarray):
            if self.reach.includes(of):
                return True
            of = of.base
        return False


def _forget(table: dict[int, Any], key: int, _: Any) -> None:
    table.pop(key, None)


def _read(tensor: Tensor) -> Any:
    return tensor._array


def _read_gradient(node: Node) -> Any:
    return node.grad._array


def _leaves(result: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(result, (tuple, list)):
        for k, item in enumerate(result):
            yield from _leaves(item, (*path, k))
    else:
        yield path, result


def _name(function: Callable[..., Any]) -> str:
    inner = getattr(function, "func", function)  # of a partial
    if inner is not function and getattr(function, "args", None):
        inner = function.args[0]  # type: ignore[attr-defined]
    return getattr(inner, "__qualname__", type(inner).__name__).split(".<locals>.")[-1]
