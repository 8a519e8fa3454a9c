"""`explain`: where time and energy go, what binds and what it costs, and why nothing is feasible.

What is public is listed here; docs/explain.md says what the figures mean.
"""

from solvers.explain.conflict import Conflict, Relaxation
from solvers.explain.deadlines import DeadlineValue, TaskRelaxation
from solvers.explain.explanation import Explanation, Infeasibility
from solvers.explain.forced import ForcedChoice
from solvers.explain.limits import Limit
from solvers.explain.paths import Alternative
from solvers.explain.report import explain
from solvers.explain.spending import Spending, Spent

__all__ = [
    "Alternative",
    "Conflict",
    "DeadlineValue",
    "Explanation",
    "ForcedChoice",
    "Infeasibility",
    "Limit",
    "Relaxation",
    "Spending",
    "Spent",
    "TaskRelaxation",
    "explain",
]
