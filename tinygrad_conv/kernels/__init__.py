"""Inner loops on bare arrays: windows, convolution, pooling, and functions that NumPy lacks."""
