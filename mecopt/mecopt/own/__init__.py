"""Methods of one's own beside registered names: a function, a `Method`, or ``file.py:NAME``."""

from __future__ import annotations

from mecopt.own.given import Given, MethodLike, find, method_of

__all__ = ["Given", "MethodLike", "find", "method_of"]
