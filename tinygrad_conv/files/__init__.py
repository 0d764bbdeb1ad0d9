"""Files: written whole or not at all, and checked before anything in them is believed.

=============  ==========================================================================
`writing`      the one way in which the library writes a file
`reading`      the one way in which it opens one that it reads
`packed`       gzip and xz, unpacked as far as one asks
`arrays`       arrays by name, as npz
`safetensors`  the same as safetensors
`hdf5`         arrays by path, as Keras keeps weights
`records`      JSON, each value of a declared kind
`generators`   where a random generator is, as text
`every`        how often a checkpoint is written
`holding`      a folder that one process has for itself
`targets`      what words of the command line name: code in a file, a shape
=============  ==========================================================================

What is promised, and how it is tested: ``docs/reliability.md``.
"""

from .arrays import Header, arrays_in, write_arrays
from .every import Every
from .generators import put_generator, where_is
from .hdf5 import datasets_in, is_of_keras, is_zipped, write_datasets
from .holding import holding
from .packed import unpacking
from .reading import Expected, exactly
from .records import parsed, record, value
from .safetensors import tensors_in, write_tensors
from .writing import UNFINISHED, Content, folder_for, name_of, unfinished, write

__all__ = [
    "UNFINISHED", "Content", "Every", "Expected", "Header", "arrays_in", "datasets_in", "exactly", "folder_for",
    "holding", "is_of_keras", "is_zipped", "name_of", "parsed", "put_generator", "record", "tensors_in", "unfinished",
    "unpacking", "value", "where_is", "write", "write_arrays", "write_datasets", "write_tensors",
]  # fmt: skip
