"""Benchmarks: ``python -m benchmarks`` prints medians and ratios against the peers that are installed."""
