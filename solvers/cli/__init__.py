"""Commands of the package `solvers`, found by entry points."""
