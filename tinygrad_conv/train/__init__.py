"""What the command line does: train a network on MNIST, report on the run, and ask it about image files.

=============  ==========================================================================
`recipes`      the models and their settings
`run`          a model in training, to be resumed to the bit
`job`          a run from the command's options to its last line
`outputs`      what a run leaves in its folder: weights, graph, pictures
`results`      what a network said about the test images, counted
`report`       all that on one page
`images`       image files as MNIST's digits
`predict`      which digit is this?
`ship`         the weights that `predict` uses by default
=============  ==========================================================================
"""
