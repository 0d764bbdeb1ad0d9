"""``python -m tinygrad_conv`` is ``tinygrad-conv``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
