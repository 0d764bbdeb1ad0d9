"""The engine: what a student of automatic differentiation reads, each file one idea.

`modes` (what operations do besides computing), `tensor` (a value and its place in the graph), `bare` (values without
one), `operation` (what runs when an operation is called), `primitive` (how one is declared), `autodiff` (the walks, and
what is built on them).
"""
