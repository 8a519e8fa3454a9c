"""Methods that solve instances; found by mecopt through its entry points."""
