"""Mixed-integer programs of an instance, the libraries that solve them, and what they return checked."""
