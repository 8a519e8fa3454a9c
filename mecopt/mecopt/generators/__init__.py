"""How instances are made: parameters, named settings, draws. The public face is `mecopt.generation`."""
