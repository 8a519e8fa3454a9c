"""`mecopt.simulate`: rules on the same streams of tasks, run by run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt._version import __version__
from mecopt.errors import InputError, MecoptError, MethodError, said
from mecopt.scalars import whole
from mecopt.simulation import online_rule
from mecopt.simulation.keeping import Folder, Key
from mecopt.simulation.online_plan import OnlinePlan
from mecopt.simulation.online_rule import Decide, Rule

if TYPE_CHECKING:
    from mecopt.instance import Instance

RuleLike = str | Rule | Decide


@dataclass(frozen=True, eq=False)
class Simulation:
    """Finished runs of a simulation.

    Attributes
    ----------
    settings : dict
        What all runs share: instance, load and rate, arrivals, staleness, discipline, tasks.
    runs : list of dict
        One a rule and seed. Estimates are lists of value, low and high of the 95 % interval.
    """

    settings: dict[str, Any]
    runs: list[dict[str, Any]]

    def table(self) -> list[dict[str, Any]]:
        """Return a row a rule: means over its seeds, with intervals over seeds where there are several."""
        from mecopt.simulation.batch_means import estimate

        rows = []
        for name in dict.fromkeys(run["policy"] for run in self.runs):
            own = [run for run in self.runs if run["policy"] == name]
            row: dict[str, Any] = {"policy": name, "seeds": len(own)}
            for figure in ("mean_s", "p50_s", "p95_s", "p99_s", "energy_j", "deadline_misses"):
                given = [run[figure] for run in own]
                if given[0] is None:
                    row[figure] = None
                elif len(own) == 1:
                    row[figure] = given[0]
                else:
                    row[figure] = estimate(np.array([value[0] for value in given])).as_list()
            regrets = np.array([run["regret"] for run in own])
            row["regret"] = estimate(regrets).as_list()
            row["bound_s"] = float(np.mean([run["bound_s"] for run in own]))
            row["status"] = max((run["status"] for run in own), key=("stable", "unsure", "unstable").index)
            rows.append(row)
        return rows


def simulate(
    instance: Instance | str | os.PathLike[str],
    policy: RuleLike | Iterable[RuleLike],
    *,
    load: float | None = None,
    rate: float | None = None,
    arrivals: str = "poisson",
    staleness: float = 0.0,
    discipline: str = "fifo",
    tasks: int | None = None,
    seeds: int = 1,
    out: str | os.PathLike[str] | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Simulation:
    """Let tasks arrive one by one, and see what rules that decide where they run make of it.

    The tasks of the instance are templates: each arrival is like one of them, drawn evenly. Servers, device
    processors and radios serve one after the other; a rule sees backlogs `staleness` slots old.

    Parameters
    ----------
    instance : Instance, path, name or spec
    policy : rule or several
        Registered names, ``file.py:NAME``, files of trained policies, `Rule` objects, or functions of a
        `View` that return a node for every block. All of them meet the same tasks.
    load : float, optional
        Share of the rate at which some resource is always busy, though tasks leave on their devices what
        they would without waiting and spread the rest evenly over the servers. 0.7 by default; a trace
        keeps its own times without it.
    rate : float, optional
        Tasks a second, in place of a load.
    arrivals : str
        "poisson", "bursty", "heavy" (sizes), "both", or "trace:FILE".
    staleness : float
        Age of what is seen of the servers, in slots.
    discipline : {"fifo", "ps"}
        How servers serve: one after the other, or all at once (processor sharing).
    tasks : int, optional
        Number of arrivals; 200,000, or the whole trace, by default.
    seeds : int
        Runs of each rule, with seeds 0 to seeds - 1.
    out : path, optional
        Folder that keeps every run as soon as it is finished; those in it are not made again.
    rest : callable
        Called now and then.

    Returns
    -------
    Simulation

    Raises
    ------
    InputError
        If an argument is out of range, or the instance asks for what the simulator does not know.
    MethodError
        If a rule of one's own raises, or returns what is no placement.
    """
    plan = OnlinePlan(instance, arrivals, load, rate, staleness, discipline, tasks)
    seeds = whole("seeds", seeds, 1)
    chosen = _named(policy)
    if plan.trace is not None:
        seeds = 1  # the same tasks again would be no other run
    wanted: list[Key] = [(name, seed) for seed in range(seeds) for name in chosen]
    work = _Work(plan, {name: rule for name, (rule, _) in chosen.items()}, rest)
    if out is None:
        return Simulation(plan.settings, [work(key) for key in wanted])
    folder = Folder(out, plan.settings | {"mecopt_version": __version__}, _codes(chosen))
    folder.finish_all(wanted, work)
    folder.write_table()
    return Simulation(plan.settings, [folder.row(key) for key in wanted])


class _Work:
    """Makes a run; the last stream and its bound are kept for the next rule."""

    def __init__(self, plan: OnlinePlan, chosen: dict[str, Rule], rest: Callable[[], None]) -> None:
        self.plan, self.chosen, self.rest = plan, chosen, rest
        self._prepared: dict[str, Any] = {}
        self._seed: int | None = None

    def __call__(self, key: Key) -> dict[str, Any]:
        from mecopt.simulation.batch_means import summary
        from mecopt.simulation.bound import bound_of
        from mecopt.simulation.engine import simulate_stream

        name, seed = key
        plan, world = self.plan, self.plan.world
        if self._seed != seed:
            self._stream = plan.stream(seed)
            self._bound = bound_of(world, self._stream, plan.capacity.price)
            self._seed = seed
        if name not in self._prepared:
            self._prepared[name] = self._prepare(name)
        stream, bound = self._stream, self._bound
        try:
            run = simulate_stream(
                world,
                stream,
                self._prepared[name],
                lag_s=plan.lag_s,
                discipline=plan.discipline,
                seed=seed,
                rest=self.rest,
            )
        except MethodError as error:
            raise MethodError(f"rule {name!r}: {error}") from error.__cause__
        figures = summary(world, run, stream.time_s, stream.task, stream.size)
        least = bound.queueing_s
        return {
            "policy": name,
            "seed": seed,
            **figures,
            "bound_s": least,
            "unloaded_s": bound.unloaded_s,
            "regret": (figures["all_mean_s"] - least) / max(least, 1e-12),
            "mecopt_version": __version__,
        }

    def _prepare(self, name: str) -> Any:
        """Prepare a rule, which may be anybody's code.

        Raises
        ------
        MethodError
            If it raises.
        """
        try:
            return self.chosen[name].prepare(self.plan.setting())
        except (KeyboardInterrupt, MecoptError):
            raise
        except BaseException as error:
            raise MethodError(f"rule {name!r} raised while it was prepared: {said(error)}") from error


def _named(policy: RuleLike | Iterable[RuleLike]) -> dict[str, tuple[Rule, RuleLike]]:
    given: Sequence[RuleLike] = (
        [policy] if isinstance(policy, (str, Rule)) or callable(policy) else list(policy)
    )
    if not given:
        raise InputError("policy: none given, expected at least one rule")
    found: dict[str, tuple[Rule, RuleLike]] = {}
    for one in given:
        rule = online_rule.find(one)
        if rule.name in found:
            raise InputError(f"policy: {rule.name!r} is given twice, expected each rule once")
        found[rule.name] = (rule, one)
    return found


def _codes(chosen: dict[str, tuple[Rule, RuleLike]]) -> dict[str, str]:
    """Return digests of the code of rules in files, so that runs of other code are not taken for theirs."""
    own = {}
    for name, (_, given) in chosen.items():
        file = online_rule.file_of(given)
        if file is not None:
            own[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return own
