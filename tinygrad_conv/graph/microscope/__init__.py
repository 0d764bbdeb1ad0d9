"""The microscope: one element of a convolution, a pooling or a dense layer, with every number that made it.

In order: `cells` (which inputs one output reads), `receptive` (the same through many layers), `scope` (an operation
with its arrays), `focus` (from a tensor to that operation), `explanation` (the terms as text), `slides` (the page),
`microscope`; and `dense`, the matrix that a convolution is.
"""

from .microscope import Explanation, Microscope, microscope

__all__ = ["Explanation", "Microscope", "microscope"]
