"""Train the policies that ship with mecopt, and test each on episodes that its training never saw.

    python benchmarks/policies.py [--only TEXT] [--folder DIR]

Writes ``rl/mecopt_rl/policies/SETTING.LEARNER.safetensors`` and the card beside it. The card
tells the command, seeds and budget, and two gaps: on the validation episodes that chose the policy, and on
60 test episodes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from mecopt_rl.training.checkpoint import load_policy, save_policy
from mecopt_rl.training.loop import POLICY, Training, TrainingPlan
from mecopt_rl.training.seeds import TEST
from mecopt_rl.training.validation import Validation
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.observation import Encoder

FOLDER = Path(__file__).resolve().parent.parent / "rl" / "mecopt_rl" / "policies"
TEST_EPISODES = 60
# Larger batches, and rates and temperatures that end lower, for longer trainings.
LONG = {"environments": 240, "temperature_end": 0.0001, "learning_rate_end": 0.003}
# Independent branches get stuck the sooner the lower the temperature ends.
HARD = {"environments": 60, "temperature_end": 0.002}
# Setting, learner, episodes, changes to recipe `best`.
WORK: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    *((name, "markov-a3c", 400, {}) for name in ("camera-alexnet", "camera-vgg", "paper", "paper-near")),
    *((name, "mtl-a3c", 400, {}) for name in ("camera-alexnet", "camera-vgg", "paper", "paper-near")),
    ("paper-load", "markov-a3c", 400, {}),
    ("paper-deadline", "markov-a3c", 1000, {}),
    *((name, "mtl-a3c", 400, {}) for name in ("paper-load", "paper-deadline")),
    *((name, "mtl-a3c", 800, HARD) for name in ("camera-vgg-load", "camera-alexnet-deadline")),
    *((name, "markov-a3c", 4000, LONG) for name in ("camera-vgg-load", "camera-alexnet-deadline")),
    ("camera-alexnet-uint8", "markov-a3c", 1000, {}),
    ("camera-alexnet-uint8", "mtl-a3c", 800, HARD),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="train those whose name holds this text")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    for spec, learner, episodes, changes in WORK:
        name = f"{spec}.{learner}"
        if options.only in name:
            print(
                name,
                train(spec, learner, episodes, changes, options.folder / f"{name}.safetensors"),
                flush=True,
            )


def train(spec: str, learner: str, episodes: int, changes: dict[str, Any], target: Path) -> str:
    """Train one policy and store it; returns what came out."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        Training(TrainingPlan(spec, learner, changes=changes, episodes=episodes), folder).run()
        kept = load_policy(Path(folder) / POLICY)
    spent = time.process_time() - start
    gap = test_gap(spec, kept)
    card = {name: value for name, value in kept.card.items() if name != "format"}
    card["training"] |= {"cpu_seconds": round(spent, 1), "test_episodes": TEST_EPISODES, "test_gap": gap}
    save_policy(target, kept.network, card, dtype="float16")
    stored = test_gap(spec, load_policy(target))
    size = target.stat().st_size / 1e3
    return f"test gap {gap:.4%} (as stored {stored:.4%}), {spent:.0f} CPU s, {size:.0f} kB"


def test_gap(spec: str, policy: Any) -> float:
    """Return the gap on test episodes."""
    encoder = Encoder.from_json(policy.card["encoder"])
    return Validation(Episodes(spec), encoder, TEST_EPISODES, TEST).judge(policy.network).gap


if __name__ == "__main__":
    from common import clean_tree

    clean_tree()
    main()
