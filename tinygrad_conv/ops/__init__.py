"""Every operation, by family. Primitives are declared one block each; the rest is composed of them.

=================  ==========================================================
`creation`         zeros, ones, ranges
`spacing`          evenly spaced values between two ends
`elementwise`      arithmetic, functions of one number, comparisons
`functions`        further functions of one and two numbers
`reductions`       sums, extremes, moments along axes
`scans`            running sums and products
`indexing`         picking elements and putting them back
`choosing`         choosing between arrays, applying functions along axes
`shape`            moving elements
`joining`          arrays put together and taken apart
`sorting`          sorted elements, medians and quantiles
`sets`             distinct elements, sets, counts
`padding`          elements added around
`statistics`       weighted averages, moments without NaN, covariances
`linalg`           products of matrices and of arrays
`products`         further products of vectors and matrices
`determinants`     determinants, cofactors
`decompositions`   Cholesky, QR, singular values
`eigenvalues`      eigenvalues and eigenvectors
`complex`          parts of complex numbers
`fourier`          Fourier transforms (``tg.fft``)
`calculus`         differences, integrals, interpolation
`polynomials`      polynomials as vectors of coefficients
`activations`      relu and its relatives, softmax
`convolution`      conv in 1, 2 and 3 dimensions, and its transposes
`windows`          windows as elements of their own, im2col
`pooling`          max and average pooling
`adaptive`         pooling to a given size, and back from maxima
`resizing`         images of another size
`losses`           what training minimises
`normalization`    batch, layer, group and instance norm; dropout; embedding
=================  ==========================================================
"""

from types import ModuleType

from ..engine import tensor
from ..engine.backward import backward
from . import (
    activations,
    adaptive,
    calculus,
    choosing,
    complex,
    convolution,
    creation,
    decompositions,
    determinants,
    eigenvalues,
    elementwise,
    fourier,
    functions,
    indexing,
    joining,
    leaving,
    linalg,
    losses,
    methods,
    normalization,
    padding,
    polynomials,
    pooling,
    products,
    reductions,
    resizing,
    scans,
    sets,
    shape,
    sorting,
    spacing,
    statistics,
    windows,
)
from .activations import *
from .adaptive import *
from .calculus import *
from .choosing import *
from .complex import *
from .convolution import *
from .creation import *
from .decompositions import *
from .determinants import *
from .eigenvalues import *
from .elementwise import *
from .functions import *
from .indexing import *
from .joining import *
from .linalg import *
from .losses import *
from .normalization import *
from .padding import *
from .polynomials import *
from .pooling import *
from .products import *
from .reductions import *
from .resizing import *
from .scans import *
from .sets import *
from .shape import *
from .sorting import *
from .spacing import *
from .statistics import *
from .windows import *

FAMILIES: tuple[ModuleType, ...] = (
    creation, spacing, elementwise, functions, complex, reductions, scans, indexing, choosing, shape, joining, padding,
    sorting, sets, statistics, linalg, products, determinants, decompositions, eigenvalues, fourier, calculus,
    polynomials, activations, convolution, windows, pooling, adaptive, resizing, losses, normalization,
)  # fmt: skip

__all__ = [name for family in FAMILIES if family is not fourier for name in family.__all__]  # its are in `tg.fft`

# Operators and methods of `Tensor`, and the engine, look operations up by name.
vars(tensor.ops).update(
    {name: globals()[name] for name in __all__}, backward=backward,
    refuse_array=leaving.refuse_array, refuse_number=leaving.refuse_number,
)  # fmt: skip

methods.put_in_place()
