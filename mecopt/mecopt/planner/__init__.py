"""Planning again and again: `Planner` for programs, JSON lines for pipes."""

from mecopt.planner.plan import Plan
from mecopt.planner.planner import Planner

__all__ = ["Plan", "Planner"]
