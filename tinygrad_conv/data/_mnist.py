"""MNIST: the embedded sample and the full set. (Underscored, as ``data.mnist`` is the function.)"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_conv.arguments import FloatDType, Path, checked
from tinygrad_conv.data.fetch import Source, cache_folder, from_anywhere, from_folder
from tinygrad_conv.errors import ArgumentError

# In the order of MNIST's fields. The sample is made by examples/make_mnist_sample.py.
FULL = (
    Source(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        (60000, 28, 28),
    ),
    Source(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        (60000,),
    ),
    Source(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        (10000, 28, 28),
    ),
    Source(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        (10000,),
    ),
)
SAMPLE = (
    Source(
        "train-images-idx3-ubyte",
        "4a9c0a3f919025e3acb3317ef8bd4b489e537e5a41a51add6f20689ac218431e",
        (10000, 28, 28),
    ),
    Source(
        "train-labels-idx1-ubyte",
        "155e21a5f6dbf9226f5c03a68ec4ce9c98df812fb8bc45008ad7ee19aee40e30",
        (10000,),
    ),
    Source(
        "t10k-images-idx3-ubyte",
        "423dd7d4656f3f213c4376e8849d9b5cc8f783eb303475a41bcc094cf86afc46",
        (2000, 28, 28),
    ),
    Source("t10k-labels-idx1-ubyte", "7a47e8791328b4fef18bbbc8de73a30e0228951273d374db72435a5777a8f6a7", (2000,)),
)
SAMPLE_FOLDER = os.path.join(os.path.dirname(__file__), "sample")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


@checked
@dataclass(frozen=True, eq=False, repr=False)
class MNIST:
    """Images of handwritten digits, ``uint8 (N, 28, 28)`` from 0 to 255, and labels, ``uint8 (N,)``, 0 to 9.

    Unpacks in Keras' style, ``(x_train, y_train), (x_test, y_test) = mnist()``.

    >>> (x_train, y_train), (x_test, y_test) = mnist()
    >>> x_test.shape, x_test.dtype, y_test[:3]
    ((2000, 28, 28), dtype('uint8'), array([9, 0, 1], dtype=uint8))
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        yield self.train_images, self.train_labels
        yield self.test_images, self.test_labels

    def __repr__(self) -> str:
        return f"MNIST({len(self.train_images)} training and {len(self.test_images)} test images)"

    def arrays(
        self, dtype: FloatDType = "float32"
    ) -> tuple[tuple[NDArray[Any], NDArray[np.int64]], tuple[NDArray[Any], NDArray[np.int64]]]:
        """What a model eats: ``(x_train, y_train), (x_test, y_test)``.

        Args:
            dtype: the floating dtype of the images.

        Returns:
            Images of shape ``(N, 28, 28, 1)`` from 0.0 to 1.0, and labels ``int64 (N,)`` from 0 to 9.

        Raises:
            DTypeError: ``dtype`` is not a floating one.

        >>> (x_train, y_train), (x_test, y_test) = mnist().arrays()
        >>> x_train.shape, x_train.dtype, float(x_train.min()), float(x_train.max())
        ((10000, 28, 28, 1), dtype('float32'), 0.0, 1.0)
        >>> y_train[:8]
        array([1, 3, 4, 2, 9, 5, 6, 0])
        """
        train, test = (
            (np.divide(images[..., None], 255, dtype=dtype), labels.astype(np.int64)) for images, labels in self
        )
        return train, test


@checked
def mnist(
    full: bool = False,
    *,
    data_dir: Path | None = None,
    mirrors: str | Sequence[str] | None = None,
) -> MNIST:
    """The MNIST digits: by default a sample that comes with the package, or all 70,000.

    The sample has 10,000 training and 2,000 test images, each class in the proportion it has in the whole.

    Each of the four IDX files of the full set, plain or gzipped, is looked for in ``data_dir`` and nowhere
    else if that is given; otherwise in the folder that the environment variable ``TINYGRAD_CONV_DATA`` names,
    then in the cache folder; then it is downloaded into the cache. Every file is held against its SHA-256.

    Args:
        full: all 60,000 training and 10,000 test images.
        data_dir: a folder that has the four files (only with ``full``).
        mirrors: addresses to download from, each tried when the one before it failed (only with ``full``). By
            default those in the environment variable ``TINYGRAD_CONV_MIRRORS``, separated by spaces, or else
            a built-in list.

    Returns:
        An ``MNIST``, which unpacks to ``(x_train, y_train), (x_test, y_test)``: images ``uint8 (N, 28, 28)``
        from 0 to 255 and labels ``uint8 (N,)`` from 0 to 9.

    Raises:
        DataError: a file is missing, truncated, corrupt or another one, or no mirror could be reached.
        MissingExtraError: a download is needed and pooch is not installed.
        ArgumentError: ``data_dir`` or ``mirrors`` without ``full=True``.

    >>> mnist()
    MNIST(10000 training and 2000 test images)
    >>> (x_train, y_train), (x_test, y_test) = mnist()
    >>> x_test.shape, y_test[:5]
    ((2000, 28, 28), array([9, 0, 1, 4, 6], dtype=uint8))
    """
    if not full:
        if data_dir is not None or mirrors is not None:
            raise ArgumentError(
                "mnist: expected data_dir= and mirrors= only for the full set, got full=False;"
                " call mnist(full=True, ...)"
            )
        return MNIST(*from_folder(SAMPLE, SAMPLE_FOLDER))
    if data_dir is not None:
        return MNIST(*from_folder(FULL, os.path.expanduser(data_dir)))
    named = os.environ.get("TINYGRAD_CONV_DATA")
    folders = [os.path.expanduser(named)] if named else []
    folders.append(os.path.join(cache_folder(), "mnist"))
    if mirrors is None:
        mirrors = os.environ.get("TINYGRAD_CONV_MIRRORS", "").split() or MIRRORS
    elif isinstance(mirrors, str):
        mirrors = mirrors.split()
    return MNIST(*from_anywhere(FULL, folders, mirrors))
