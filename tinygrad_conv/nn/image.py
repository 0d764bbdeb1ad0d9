"""`Image`: what layers on images (N, *spatial, C) have in common, whichever end the channels are at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import ArgumentError, ShapeError
from ..kernels.spatial import IntOrInts, Padding, ints_of, padding_of
from .core import Reshape
from .fixes import Add, Edit, Exchange, Feed, Set, Shape
from .layer import Layer

AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


def check_window(what: str, rank: int, padding: Padding, **sizes: IntOrInts) -> None:
    """Raise ArgumentError or DTypeError unless these are sizes, one or one per axis, and a padding."""
    for name, value in sizes.items():
        ints_of(what, name, value, rank)
    padding_of(what, padding, rank)


class Image(Layer):
    """Base of the layers with spatial axes, of which there are `rank`."""

    rank: int
    data_format: str | None = None
    in_channels: int | None = None
    padding: Any = 0
    dilation: Any = 1

    @property
    def first(self) -> bool:
        """Do channels come before the spatial axes?"""
        return self.data_format == "channels_first"

    def wants(self, shape: Shape) -> int | None:
        return self.in_channels

    def channels(self, shape: Shape) -> int:
        """The number of channels of an input. Raises ShapeError when it is not of this rank."""
        if len(shape) != self.rank + 2:
            axes = f"N, C, {AXES[self.rank]}" if self.first else f"N, {AXES[self.rank]}, C"
            raise ShapeError(f"got {len(shape)} axes, it expects {self.rank + 2} ({axes})")
        return int(shape[1 if self.first else -1])

    def image(self, shape: Shape, sizes: tuple[int, ...], channels: int) -> Shape:
        """The shape of a batch of images of these sizes and channels."""
        return (shape[0], channels, *sizes) if self.first else (shape[0], *sizes, channels)

    def create(self, channels: int) -> None:
        """Make the weights now, for so many input channels; they depend on no image size."""
        self.build(self.image((None,), (1 << 30,) * self.rank, channels))

    def settle(self, shape: Shape) -> None:
        self.in_channels = self.channels(shape)

    @contextmanager
    def in_own_words(self, what: str) -> Iterator[None]:
        """Let an error of `kernels.geometry` read as what follows the layer's name."""
        try:
            yield
        except (ShapeError, ArgumentError) as error:
            text = str(error).removeprefix(f"{what}: ")
            raise type(error)(re.split(r" \(x \(|[;:] use ", text)[0]) from None

    def image_fixes(self, shape: Shape) -> Iterator[Edit]:
        """What mends axes that are missing, or in another order."""
        wanted = self.in_channels
        if len(shape) == self.rank + 1:
            one = Feed("x[None]", (1, *shape))
            grey = Feed("x[:, None]", (shape[0], 1, *shape[1:])) if self.first else Feed("x[..., None]", (*shape, 1))
            yield from (one, grey) if shape[-1] == wanted or (shape[0] is not None and shape[-1] == 3) else (grey, one)
            target = self.image((None,), shape[1:], 1)[1:]
            yield Add(f"Reshape({target})", Reshape(target))
        elif len(shape) == 2:
            for channels in (wanted,) if wanted else (1, 3):
                side = round((shape[1] / channels) ** (1 / self.rank))
                target = self.image((None,), (side,) * self.rank, channels)[1:]
                if side**self.rank * channels == shape[1]:
                    yield Add(f"Reshape({target})", Reshape(target))
        elif self._looks_swapped(shape):
            order = (0, self.rank + 1, *range(1, self.rank + 1)) if self.first else (0, *range(2, self.rank + 2), 1)
            yield Feed(f"x.transpose{order}", tuple(shape[axis] for axis in order))

        yield from self._other_ranks(len(shape) - 2)

    def _other_ranks(self, rank: int) -> Iterator[Edit]:
        """The same layer for so many spatial axes, if there is one."""
        name = type(self).__name__.replace(f"{self.rank}D", f"{rank}D")
        kinds: Sequence[type[Layer]] = type(self).__mro__[1].__subclasses__()
        yield from (Exchange(kind) for kind in kinds if kind.__name__ == name and rank != self.rank)

    def _looks_swapped(self, shape: Shape) -> bool:
        """Are the channels, most likely, at the other end?"""
        if len(shape) != self.rank + 2:
            return False
        here, there = (shape[1], shape[-1]) if self.first else (shape[-1], shape[1])
        return there == self.in_channels or (self.in_channels is None and there in (1, 3) and here > 3)

    def fitting(self, name: str, sizes: tuple[int, ...], shape: Shape) -> Iterator[Edit]:
        """A window of at most the image's size, or enough padding."""
        spatial = shape[2:] if self.first else shape[1:-1]
        dilation = ints_of("", "dilation", self.dilation, self.rank)
        pad = self.padding if isinstance(self.padding, int) else 0
        largest = tuple(
            max(1, min(k, (n + 2 * pad - 1) // d + 1)) for n, k, d in zip(spatial, sizes, dilation, strict=True)
        )
        needed = max(math.ceil((d * (k - 1) + 1 - n) / 2) for n, k, d in zip(spatial, sizes, dilation, strict=True))
        if max(largest) > 1:
            yield Set(name, largest[0] if len(set(largest)) == 1 else largest)
        if needed > 0:
            yield Set("padding", needed)
        yield Set("padding", "same")
