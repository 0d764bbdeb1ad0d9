"""``tg.fft``: discrete Fourier transforms, under NumPy's names."""

from .ops.fourier import *
from .ops.fourier import __all__ as __all__
