"""PPO of Stable-Baselines3 with its default hyperparameters: on `make_vec_env`, and on `make_sb3_env`.

Run: ``python benchmarks/ppo.py`` (some three minutes of CPU time); writes reports/ppo/.
"""

from __future__ import annotations

import csv
import os
import time
import warnings
from typing import Any

import numpy as np
import torch
from common import ROOT, clean_tree, machine, table
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from mecopt_rl.sb3 import NodesPolicy, make_sb3_env
from mecopt_rl.world.env import Partition
from mecopt_rl.world.sb3_env import PartitionVecEnv

OUT = ROOT / "reports" / "ppo"
LEARNT = "camera-vgg-load"


class Still(PartitionVecEnv):
    """An environment that costs nothing: every step gives what the first one gave."""

    def step_wait(self) -> Any:
        """Return the same once more, without an end."""
        if not hasattr(self, "same"):
            observations, rewards, ends, _ = super().step_wait()
            self.same = observations, rewards, np.zeros_like(ends), [{} for _ in range(self.num_envs)]
        return self.same


def rows() -> list[dict[str, Any]]:
    """Measure one way after the other."""
    usual = {"env_kwargs": {"spec": LEARNT}}
    still = Still(make_sb3_env(LEARNT, 16).vector)
    return [
        measured("make_vec_env, 1 (its default)", "MlpPolicy", make_vec_env(Partition, 1, **usual)),
        measured("make_vec_env, 16", "MlpPolicy", make_vec_env(Partition, 16, **usual)),
        measured("make_sb3_env, 16", "MlpPolicy", make_sb3_env(LEARNT, 16)),
        measured("make_sb3_env, 16", NodesPolicy, make_sb3_env(LEARNT, 16)),
        measured("one that costs nothing, 16", "MlpPolicy", still),
        measured("one that costs nothing, 16", NodesPolicy, still),
        measured("make_sb3_env, 64", "MlpPolicy", make_sb3_env(LEARNT, 64), trained=False),
        measured("make_sb3_env, 256", "MlpPolicy", make_sb3_env(LEARNT, 256), trained=False),
        measured("make_sb3_env, 256", NodesPolicy, make_sb3_env(LEARNT, 256), trained=False),
    ]


def measured(label: str, policy: Any, env: Any, trained: bool = True) -> dict[str, Any]:
    """Time one rollout of PPO, and the training on it unless told."""
    model, spent = PPO(policy, env, seed=0, device="cpu"), 0.0
    real = model.train

    def train() -> None:
        nonlocal spent
        start = time.process_time()
        if trained:
            real()
        spent += time.process_time() - start

    model.train = train  # type: ignore[method-assign]
    env.reset()
    for _ in range(3):  # compile
        env.step(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))
    start = time.process_time()
    model.learn(model.n_steps * env.num_envs)
    whole, count = time.process_time() - start, model.num_timesteps
    found = {
        "environment": label,
        "policy": policy if isinstance(policy, str) else policy.__name__,
        "decisions": count,
        "collecting_per_s": round(count / (whole - spent)),
        "training_per_s": round(count / spent) if trained else None,
        "in_all_per_s": round(count / whole) if trained else None,
        "load": round(os.getloadavg()[0], 2),
    }
    print(found, flush=True)
    return found


def main() -> None:
    """Run everything and write the report."""
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    found = rows()
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "ppo.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    names = ("collecting_per_s", "training_per_s", "in_all_per_s")
    cells = [
        [row["environment"], row["policy"], *(_times(row[name], found[0][name]) for name in names)]
        for row in found
    ]
    loads = [row["load"] for row in found]
    page = [
        "# PPO of Stable-Baselines3",
        "",
        f"`python benchmarks/ppo.py`. Decisions per CPU second on `{LEARNT}`, one rollout of 2,048 steps",
        "with the default hyperparameters (two layers of 64, batches of 64, 10 epochs), one thread; in",
        "brackets times the first row. *Collecting* is the network's choices, environment and buffer,",
        "*training* the 10 epochs alone, *in all* both. The epochs are 0.16 minibatches a decision whatever",
        "the environment, so training bounds what a faster one can gain: one that costs nothing, whose every",
        "step is that of the first, stands beside.",
        "`NodesPolicy` (`mecopt_rl.sb3`) is `MlpPolicy` with the blocks decided at once and Adam's step in",
        "one call: the same figures. With 64 and 256 episodes only collecting was timed.",
        "",
        table(["environment", "policy", "collecting", "training", "in all"], cells),
        "",
        f"- one run a row; load average of the machine (two cores) {min(loads):g} to {max(loads):g}, which",
        "  slows all rows alike: ratios are worth more than rates",
        *machine("torch", "numpy", "numba", "gymnasium", "stable-baselines3"),
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    print("\n".join(page))


def _times(rate: int | None, base: int) -> str:
    return "" if rate is None else f"{rate:,} ({rate / base:.1f})"


if __name__ == "__main__":
    clean_tree()
    main()
