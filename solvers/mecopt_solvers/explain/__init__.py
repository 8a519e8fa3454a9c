"""`explain`: where time and energy go, what binds and what it costs, and why nothing is feasible.

What is public is listed here; docs/explain.md says what the figures mean.
"""

from mecopt_solvers.explain.account import explain
from mecopt_solvers.explain.conflict import Conflict, Relaxation
from mecopt_solvers.explain.deadlines import DeadlineValue, TaskRelaxation
from mecopt_solvers.explain.demands import Demand
from mecopt_solvers.explain.explanation import Busiest, Explanation, Infeasibility, Load
from mecopt_solvers.explain.forced import ForcedChoice
from mecopt_solvers.explain.limits import ExplainedLimit
from mecopt_solvers.explain.paths import Alternative
from mecopt_solvers.explain.solved_again import Clash, DemandValue
from mecopt_solvers.explain.spending import Spending, Spent

__all__ = [
    "Alternative",
    "Busiest",
    "Clash",
    "Conflict",
    "DeadlineValue",
    "Demand",
    "DemandValue",
    "ExplainedLimit",
    "Explanation",
    "ForcedChoice",
    "Infeasibility",
    "Load",
    "Relaxation",
    "Spending",
    "Spent",
    "TaskRelaxation",
    "explain",
]
