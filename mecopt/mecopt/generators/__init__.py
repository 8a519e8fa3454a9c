"""How instances are made: parameters, named settings, draws. The public face is `mecopt.generation`."""

LARGEST_SETTING = 1 << 20  # bytes of a file that holds a setting; an instance may take more
