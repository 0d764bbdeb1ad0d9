"""Parts of programs in which a compiled step is not yet the step itself. To be emptied, and deleted."""

STEPS: set[str] = set()
FITS: set[str] = set()
