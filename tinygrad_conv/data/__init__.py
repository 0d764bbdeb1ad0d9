"""MNIST, embedded or in full, and batches of any arrays, also of some that do not fit in memory.

>>> from tinygrad_conv import data
>>> (x_train, y_train), (x_test, y_test) = data.mnist()
>>> x_train.shape, y_train.shape
((10000, 28, 28), (10000,))
>>> len(data.batches(x_train, y_train, batch_size=128))
79
"""

from tinygrad_conv.data._mnist import MNIST, mnist
from tinygrad_conv.data.batching import Dataset, batches
from tinygrad_conv.data.idx import read_idx, write_idx
from tinygrad_conv.data.shards import Shards
from tinygrad_conv.data.streaming import stream

__all__ = ["MNIST", "Dataset", "Shards", "batches", "mnist", "read_idx", "stream", "write_idx"]
