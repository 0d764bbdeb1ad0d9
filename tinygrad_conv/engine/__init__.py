"""The engine: what a student of automatic differentiation reads, each file one idea, in this order.

============  ======================================================================================
`source`      the user's line that errors and pictures name
`modes`       what operations do besides computing, and the doors where an observer stands
`guards`      buffers that user code can reach, and how a change of one is noticed
`node`        what the graph remembers of one operation, or of a leaf, and the gradient kept there
`methods`     which operators and methods of NumPy's arrays a tensor has
`tensor`      `Tensor`: an array, and a node
`bare`        values without their graph
`operation`   what runs when an operation is called
`rules`       what a rule reads, and how it becomes a function
`primitive`   how an operation is declared: the kinds, and the rules that follow from them
`plain`       functions whose result is data
`walk`        backward and forward over the graph
`backward`    `Tensor.backward`, whole or step by step
`trees`       nested lists, tuples and dictionaries
`trace`       one run of a function on variables of its own
`transforms`  grad, vjp, jvp, jacobian, hessian, hvp
`checkpoint`  computing again instead of keeping
============  ======================================================================================
"""
