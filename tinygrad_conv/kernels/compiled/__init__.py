"""Compiled forms of the kernels: Numba, imported when one is first called.

A form has the name, the arguments and the meaning of its plain form; `registry` chooses between the two. What the
modules here import of each other is only Python, never a compiled function: Numba's cache does not see a change in
another file.
"""
