"""Files: written whole or not at all, and checked before anything in them is believed.

=============  ==========================================================================
`writing`      the one way in which the library writes a file
`reading`      the one way in which it reads one
`arrays`       arrays by name, as npz
=============  ==========================================================================

What is promised, and how it is tested: ``docs/reliability.md``.
"""

from .arrays import write_arrays
from .reading import read
from .writing import PART, Content, folder_for, name_of, write

__all__ = ["PART", "Content", "folder_for", "name_of", "read", "write", "write_arrays"]
