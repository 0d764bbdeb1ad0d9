"""`Optimizer`: any optimiser, with gradients averaged over ranks before each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

import numpy as np

from .. import nn
from ..arguments import Checked, Size, described, one_of
from ..engine.modes import effect, mode
from ..engine.tensor import Tensor, wrap
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from ..kernels.threads import blas_on_one
from .agreeing import agree, generators_of, share, trained
from .norms import is_synchronized
from .sending import Sending
from .totals import Array, buckets, rows_of
from .world import world

__all__ = ["Optimizer"]

Reduction: TypeAlias = Annotated[str, one_of("mean", "ordered")]
NOTES = 8  # numbers, at most, that travel with the gradients


class Optimizer(Checked):
    """An optimiser whose steps take the average of all ranks' gradients. Alone it is the optimiser itself.

    When it is made, all ranks are compared (program, versions, parameters), and take over rank 0's weights, state of
    the optimiser and random numbers.

    Parameters
    ----------
    optimizer : an optimiser of `tg.optim`, or one of `keras.optimizers` that has its parameters
    model : Module, optional
        With its frozen weights and layers' own generators shared, and running statistics averaged. Needed where it has
        such.
    reduction : "mean" or "ordered"
        "mean" sums as MPI likes: the same within rounding as one process. "ordered" cuts each batch into `shards`
        parts and adds their gradients in one fixed order: the same to the bit on any number of ranks, 1 as well, if
        that is a power of two and at most `shards`. Each part is computed by itself, so it is slower.
    shards : int, a power of two

    Attributes
    ----------
    noted : tuple of float
        The means of the last batch that `note` was told of, over all parts and ranks.

    Raises
    ------
    GraphError
        Ranks that do not train the same thing: says what differs, on which rank, and both.
    ArgumentError
        `shards` or the number of ranks does not fit.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([1.0])
    >>> optimizer = tg.distributed.Optimizer(tg.optim.SGD([w], lr=0.5))
    >>> for x in np.ones((2, 4, 1)):
    ...     optimizer.zero_grad()
    ...     for part in optimizer.parts(x):
    ...         (w * part).mean().backward()
    ...     optimizer.step()
    >>> w.tolist()
    [0.0]
    """

    _ignored = None

    def __init__(
        self, optimizer: Any, model: nn.Module | None = None, reduction: Reduction = "mean", shards: Size = 8
    ) -> None:
        inner = getattr(optimizer, "inner", optimizer)  # of the Keras-shaped front's
        if not hasattr(inner, "params") or isinstance(optimizer, Optimizer):
            raise DTypeError(
                f"distributed.Optimizer: expected an optimizer of tg.optim with its parameters, got "
                f"{described(optimizer)}; use tg.optim.Adam(net.parameters())"
            )
        self.optimizer, self.model, self.reduction = optimizer, model, reduction
        self._world, self._inner = world(), inner
        size = self._world.size
        if reduction == "ordered" and (shards & shards - 1 or size & size - 1 or size > shards):
            raise ArgumentError(
                "distributed.Optimizer: expected shards and ranks to be powers of two, and at most as many ranks as "
                f"shards, got shards={shards} and {size} ranks: use shards=8 and 1, 2, 4 or 8 ranks"
            )
        if reduction == "ordered" and model is not None and any(map(is_synchronized, model.modules())):
            raise ArgumentError(
                'distributed.Optimizer: expected batch norm of each part with reduction="ordered", got a synchronized '
                'one: use reduction="mean", or leave tg.distributed.synchronize out'
            )
        self._shards = shards if reduction == "ordered" else size
        self.is_alone = self._shards == 1
        self._done = self._steps = self._examples = 0  # parts since the last step; steps; of the batch
        self._averaged = False
        self.noted: tuple[float, ...] = ()
        self._notes: tuple[float, ...] = ()  # on the part that is being computed
        if self.is_alone:
            return
        self._buffers: list[Tensor] = []
        if model is not None:
            self._buffers += [buffer for buffer in model.buffers() if buffer.dtype.kind in "fc"]
        self._tensors: list[Tensor] = [*self._buffers, *inner.params]  # backward ends with the first parameters
        self._generators = generators_of(model)
        if self._world.comm is not None:
            names, more = _names(self._tensors, model), (reduction, self._shards)
            agree(self._world, "distributed.Optimizer", trained(optimizer, names, self._tensors, model, more))
            self.share()
        # Besides gradients: the weight of the parts, were gradients changed after they were sent, how many notes there
        # are, these, and who has a gradient of each parameter.
        self._said = np.zeros(3 + NOTES + len(inner.params))
        self._buckets = buckets([(self._said.shape, self._said.dtype), *((t.shape, t.dtype) for t in self._tensors)])
        self._part: list[Array | None] = []  # the last one
        first = 1 + len(self._buffers)
        numbers = {param.node: first + k for k, param in enumerate(inner.params) if param.node is not None}
        self._sending = Sending(self._world, self._buckets, numbers)

    @property
    def params(self) -> list[Tensor]:
        """The parameters."""
        params: list[Tensor] = self._inner.params
        return params

    @property
    def lr(self) -> float:
        """The learning rate of the next step; assigning a number or a schedule changes it."""
        return float(self.optimizer.lr)

    @lr.setter
    def lr(self, value: Any) -> None:
        self.optimizer.lr = value

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return int(self._inner.steps)

    def zero_grad(self) -> None:
        """Forget the accumulated gradients."""
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """A copy of the optimiser's state, which is the same on all ranks.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = tg.distributed.Optimizer(tg.optim.SGD([w], lr=0.5))
        >>> optimizer.state_dict()
        {'steps': 0, 'lr': 0.5}
        """
        state: dict[str, Any] = self._inner.state_dict()
        return state

    def load_state_dict(self, state: Any) -> None:
        """Take over what `state_dict` gave.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = tg.distributed.Optimizer(tg.optim.SGD([w], lr=0.5))
        >>> optimizer.load_state_dict({"steps": 7, "lr": 0.1})
        >>> optimizer.lr
        0.1
        """
        self._inner.load_state_dict(state)

    def share(self) -> None:
        """Give all ranks rank 0's weights, state of the optimiser and random numbers, as at the start.

        Call it on all ranks after rank 0 has loaded a checkpoint.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = tg.distributed.Optimizer(tg.optim.SGD([w], lr=0.5))
        >>> optimizer.share()  # alone there is nobody to share with
        """
        if self._world.comm is None:
            return
        known = {id(tensor) for tensor in self._tensors}
        kept = () if self.model is None else (*self.model.parameters(), *self.model.buffers())
        frozen = [tensor for tensor in kept if id(tensor) not in known]  # and counters, which are no mean
        share(self._world, [*self._tensors, *frozen], self._inner, self._generators)

    # -- a step ----------------------------------------------------------------------------------------------------

    def parts(self, *arrays: Any) -> Iterator[Any]:
        """What of a batch this rank computes: rows of each array, one part after another, usually just one.

        All ranks are given the same batch. The gradients of each part's mean loss are weighed by its number of
        examples, so that together they are those of the batch's mean loss. A batch with fewer examples than ranks
        leaves some ranks without a part. While a part is computed, random numbers are its own: no two parts have the
        same dropout.

        Yields tuples of arrays; bare arrays if one was given.

        Raises ShapeError for lengths that differ, GraphError where a batch was begun already, and no step made.
        """
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1 or 0 in lengths:
            raise ShapeError(f"parts: expected arrays of one length, at least 1, got {[len(a) for a in arrays]}")
        if self.is_alone:
            yield arrays[0] if len(arrays) == 1 else arrays
            return
        if self._done:
            raise GraphError("parts: expected step() after each batch, got another batch: call step() in between")
        n, self._averaged = lengths.pop(), False
        self._examples = n
        own, rank = self._shards // self._world.size, self._world.rank
        if any(param.node is not None and param.node.grad is not None for param in self.params):
            raise GraphError("parts: expected no gradients before a batch, got some: call zero_grad() before")
        before = [buffer._array for buffer in self._buffers]
        for k in range(rank * own, (rank + 1) * own):
            rows = rows_of(k, self._shards, n)
            for buffer, array in zip(self._buffers, before, strict=True):
                buffer._array = array
            weight = (rows.stop - rows.start) / n
            if weight:
                with _started(self._generators, self.steps, k), self._while_computed(weight):
                    part = tuple(array[rows] for array in arrays)
                    yield part[0] if len(part) == 1 else part
            self._add(weight)

    @contextmanager
    def _while_computed(self, weight: float) -> Iterator[None]:
        """A part of an ordered sum is rounded in one way: on one thread, and as a step is written, since replays of a
        compiled one may be rounded differently than its first call. Of another, gradients are sent as they come."""
        if self.reduction == "ordered":
            with blas_on_one(), mode(as_written=True):
                yield
        elif len(self._buckets) == 1:
            yield
        else:
            with self._sending.during(weight):
                yield

    def note(self, *numbers: float) -> None:
        """Means over the part that is being computed, such as its loss; after `step`, `noted` has those of the batch.

        >>> import numpy as np
        >>> import tinygrad_conv as tg
        >>> optimizer = tg.distributed.Optimizer(tg.optim.SGD([tg.nn.Parameter([1.0])]))
        >>> for part in optimizer.parts(np.arange(4.0)):
        ...     optimizer.note(part.mean())
        >>> optimizer.step()
        >>> optimizer.noted
        (1.5,)
        """
        if len(numbers) > NOTES:
            raise ArgumentError(f"note: expected at most {NOTES} numbers, got {len(numbers)}")
        self._notes = tuple(map(float, numbers))

    @effect
    def average(self) -> None:
        """Replace all gradients by their average over ranks, as `step` does; for what looks at them before a step.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([3.0, 4.0])
        >>> optimizer = tg.distributed.Optimizer(tg.optim.SGD([w], lr=1.0))
        >>> (w * w).sum().backward()
        >>> optimizer.average()
        >>> tg.optim.clip_grad_norm(optimizer.params, 1.0)
        Tensor(10.)
        >>> optimizer.step()
        """
        if self._averaged:
            return
        if self.is_alone:
            self.noted, self._notes = self._notes, ()
            return
        if not self._done:
            if self.reduction == "ordered":
                raise GraphError(
                    'step: expected parts with reduction="ordered", got a gradient of a whole batch: write '
                    "for xs, ys in optimizer.parts(x, y): ...; loss.backward()"
                )
            self._add(1 / self._world.size)
        self._steps += 1
        if self._world.comm is not None:
            of = f" with {self._examples} examples" if self._examples else ""
            self._world.meet(f"makes step {self._steps}{of}")
        totals = self._totals()
        if totals[0][1]:  # on some rank
            self._sending.add(self._part, self._weight)
            totals = self._totals()
        self._done, self._examples, self._averaged = 0, 0, True
        (weight, _, count, *notes), arrays = totals[0][: 3 + NOTES], totals[1:]
        self.noted = tuple(map(float, notes[: round(count)]))
        if abs(weight - 1) > 1e-6:
            raise GraphError(
                f"step: expected the parts of a whole batch, got {weight:.4g} of one: go through all of parts(x, y)"
            )
        for tensor, array in zip(self._tensors, arrays, strict=True):
            if array.dtype != tensor.dtype:
                array = array.astype(tensor.dtype)
            if (node := tensor.node) is None:
                tensor._array = array
            else:
                node.grad = wrap(array, None)
        for param, having in zip(self.params, totals[0][3 + NOTES :], strict=True):
            if not having and param.node is not None:  # nobody has used it, so the optimiser leaves it alone
                param.node.grad = None

    def step(self) -> None:
        """Average the gradients, unless `average` has, and make the optimiser's step with them."""
        self.average()
        self.optimizer.step()
        self._begin_anew()

    @effect
    def _begin_anew(self) -> None:
        self._averaged = False

    def _totals(self) -> list[Any]:
        """The sums over all ranks."""
        if self._world.comm is not None and self.reduction == "mean":
            self._sending.finish()
        elif self._world.comm is not None:
            for bucket in self._buckets:
                bucket.over_ranks(self._world)
        totals: list[Any] = [None] * (1 + len(self._tensors))
        for bucket in self._buckets:
            bucket.take(totals)
        return totals

    def _add(self, weight: float) -> None:
        """What this rank has computed is one part of the batch; its gradients are forgotten here."""
        self._said.fill(0)
        self._said[: 3 + len(self._notes)] = 1, self._sending.is_stale(), len(self._notes), *self._notes
        self._part, self._weight = [self._said, *(buffer._array for buffer in self._buffers)], weight
        for place, param in enumerate(self.params, 3 + NOTES):
            node: Any = param.node
            self._part.append(None if node.grad is None else node.grad._array)
            self._said[place] = node.grad is not None
            node.grad = None
        self._sending.add(self._part, weight)
        self._done, self._notes = self._done + 1, ()

    def _assumed(self, named: Set[str]) -> Set[str]:
        """The attributes on which what a compiled step does depends."""
        return {"optimizer", "_inner"}

    def __repr__(self) -> str:
        return f"distributed.Optimizer({self.optimizer!r}, reduction={self.reduction!r}, {self._world.size} ranks)"


@contextmanager
def _started(generators: Sequence[np.random.Generator], step: int, part: int) -> Iterator[None]:
    """In this block random numbers are those of a part of a step; afterwards they go on as if none had been drawn.

    So all ranks draw the same orders of examples later, those of a process alone. The generators stay the same objects,
    as compiled steps ask.
    """
    before = [generator.bit_generator.state for generator in generators]
    for generator in generators:
        kind: Any = type(generator.bit_generator)
        generator.bit_generator.state = kind([int(generator.bit_generator.random_raw()), step, part]).state
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.bit_generator.state = state


def _names(tensors: Sequence[Tensor], model: nn.Module | None) -> list[str]:
    known = {} if model is None else {id(t): name for name, t in (*model.named_parameters(), *model.named_buffers())}
    return [known.get(id(tensor)) or tensor.name or str(number) for number, tensor in enumerate(tensors)]
