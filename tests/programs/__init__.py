"""Whole programs, drawn: each a step to compile and all that may change around it. See `grammar`."""
