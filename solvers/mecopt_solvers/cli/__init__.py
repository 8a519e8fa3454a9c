"""Commands of the package `mecopt_solvers`, found by entry points."""
