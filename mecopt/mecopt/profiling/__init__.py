"""Profiles: what the blocks of a model take on a machine, measured there or estimated, and instances from them."""
