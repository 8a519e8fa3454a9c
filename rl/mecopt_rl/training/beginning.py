"""A training that begins with the weights of a policy: `mecopt train --from POLICY`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mecopt.errors import InputError
from mecopt_rl.learners.learner import Learner, LearnerKind
from mecopt_rl.training.checkpoint import StoredPolicy, load_policy
from mecopt_rl.training.curriculum import Curriculum
from mecopt_rl.training.rounds import OneShape
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.world.observation import Encoder

COPIES = ("network.", "target.")  # of the weights, in what a learner calls its state


@dataclass(frozen=True, eq=False)
class Beginning:
    """The policy that a training begins with."""

    policy: StoredPolicy
    sha256: str  # of its file

    @classmethod
    def of(cls, plan: TrainingPlan, kind: LearnerKind[Any, Any]) -> Beginning | None:
        """Read the policy that a plan names, None where it names none.

        Raises
        ------
        InputError
            If it is no policy, another learner's, or one that is told prices.
        """
        if plan.start is None:
            return None
        policy = load_policy(plan.start)
        if policy.learner != kind.name:
            raise InputError(f"a policy of {policy.learner}, expected one of {kind.name}", plan.start)
        if "prices" in policy.card:
            raise InputError("a policy that is told prices, expected one of `mecopt train`", plan.start)
        return cls(policy, hashlib.sha256(Path(plan.start).read_bytes()).hexdigest())

    def settings(self, plan: TrainingPlan, kind: LearnerKind[Any, Any]) -> Any:
        """Return the settings that the policy was trained with, those changed that the plan changes."""
        if plan.recipe is not None:
            return kind.settings(plan.recipe, plan.changes)
        given = {**self.policy.card["settings"], **plan.changes}
        return kind.settings(str(self.policy.card["recipe"]), given)

    def show(self, curriculum: Curriculum) -> None:
        """Let the episodes be seen as the policy saw its own: the same parts on the same scale.

        Raises
        ------
        InputError
            If they have another number of servers or blocks.
        """
        if not isinstance(curriculum, OneShape):
            return  # what it sees has no scale
        encoder, own = Encoder.from_json(self.policy.card["encoder"]), curriculum.encoder
        if (encoder.servers, encoder.blocks) != (own.servers, own.blocks):
            raise InputError(
                f"trained for {encoder.servers} servers and {encoder.blocks} blocks, the episodes have "
                f"{own.servers} and {own.blocks}",
                self.policy.path,
            )
        curriculum.encoder = encoder

    def give(self, learner: Learner) -> None:
        """Give a learner the weights, and every copy of them that it keeps.

        Raises
        ------
        InputError
            If its settings make another network.
        """
        weights = self.policy.network.state_dict()
        try:
            learner.network.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"its weights do not fit these settings: {reason}", self.policy.path) from None
        state = dict(learner.state())
        for prefix in COPIES:
            state |= {
                prefix + name: tensor.clone() for name, tensor in weights.items() if prefix + name in state
            }
        with torch.no_grad():
            learner.load_state(state)
