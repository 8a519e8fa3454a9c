"""What `mecopt.warm_up` does for a learner: trains one for a moment, and lets it decide."""

from __future__ import annotations

import os
import tempfile

import mecopt
from mecopt_rl.learners.learner import kind
from mecopt_rl.training.loop import POLICY, Training
from mecopt_rl.training.training_plan import TrainingPlan

# Without masks and with them; any-size takes no couplings in training.
SPECS = ("camera-vgg:slots=12,servers=2", "crowd:slots=4,servers=2,batch=3")


def warm_up(learner: str) -> None:
    """Compile the loops of training and deciding."""
    for spec in SPECS if kind(learner).couplings else SPECS[:1]:
        with tempfile.TemporaryDirectory() as folder:
            changes = {"environments": 4}
            plan = TrainingPlan(spec, learner, None, changes, 8, round_episodes=4, validation_episodes=2)
            Training(plan, folder).run()
            policy = os.path.join(folder, POLICY)
            if os.path.exists(policy):
                mecopt.solve(mecopt.generate(spec), learner, policy=policy)
