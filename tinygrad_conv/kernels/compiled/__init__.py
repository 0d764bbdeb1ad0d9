"""Compiled forms of the kernels: Numba, imported when one is first called.

A form has the name, the arguments and the meaning of its plain form; `registry` chooses between the two.
"""
