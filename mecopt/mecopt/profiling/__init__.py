"""Profiles: what the blocks of a model take on a machine, measured or estimated, and instances of them."""
