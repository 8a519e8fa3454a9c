"""`mecopt.simulate`: rules on the same streams of tasks, run by run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt._version import __version__
from mecopt.errors import InputError, shown
from mecopt.own import method_file
from mecopt.scalars import number, whole
from mecopt.simulation import online_rule
from mecopt.simulation.keeping import Folder, Key
from mecopt.simulation.online_rule import Decide, Rule, Setting

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.simulation.arrivals import Stream

DISCIPLINES = ("fifo", "ps")
RuleLike = str | Rule | Decide
MOST_LAG_SLOTS = 1e6
SMALLEST_LOAD, LARGEST_LOAD = 1e-6, 100.0


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
        Registered names, ``file.py:NAME``, `Rule` objects, or functions of a `View` that return a node for
        every block. All of them meet the same tasks.
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
    from mecopt.simulation import arrivals as coming
    from mecopt.simulation.batch_means import LEAST_TASKS

    plan = _Plan(instance, arrivals, load, rate, staleness, discipline, tasks)
    if plan.count < LEAST_TASKS or plan.count > coming.MOST_TASKS:
        raise InputError(f"tasks: {plan.count:,}, expected {LEAST_TASKS} to {coming.MOST_TASKS:,}")
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


class _Plan:
    """What all runs share."""

    def __init__(
        self,
        source: Any,
        arrivals: str,
        load: float | None,
        rate: float | None,
        staleness: float,
        discipline: str,
        tasks: int | None,
    ) -> None:
        from mecopt.simulation import arrivals as coming
        from mecopt.simulation.capacity import load_one
        from mecopt.simulation.world import World
        from mecopt.sources import instance_of

        if discipline not in DISCIPLINES:
            raise InputError(f"discipline: {shown(discipline)}, expected {' or '.join(DISCIPLINES)}")
        staleness = number("staleness", staleness)
        if staleness > MOST_LAG_SLOTS:
            raise InputError(f"staleness: {staleness:g}, expected at most {MOST_LAG_SLOTS:g} slots")
        if load is not None and rate is not None:
            raise InputError("load and rate: both given, expected one of them")
        load = None if load is None else number("load", load)
        rate = None if rate is None else number("rate", rate)
        tasks = None if tasks is None else whole("tasks", tasks, 1)
        for name, value in (("load", load), ("rate", rate)):
            if value is not None and value < SMALLEST_LOAD:
                raise InputError(f"{name}: {value:g}, expected a finite number > 0")
        if load is not None and load > LARGEST_LOAD:
            raise InputError(f"load: {load:g}, expected at most {LARGEST_LOAD:g}")
        traced = arrivals.startswith(coming.TRACE)
        if not traced and arrivals not in coming.KINDS:
            kinds = ", ".join((*coming.KINDS, coming.TRACE + "FILE"))
            raise InputError(f"arrivals: {shown(arrivals)}, expected one of {kinds}")
        instance = instance_of(source)
        self.world = World.of(instance)
        self.trace = (
            coming.read_trace(arrivals.removeprefix(coming.TRACE), instance.task_count) if traced else None
        )
        self.capacity = load_one(self.world)
        if self.trace is not None:
            self.count = len(self.trace) if tasks is None else min(tasks, len(self.trace))
            own = len(self.trace) / self.trace.span_s
            given = rate if rate is not None else own if load is None else load * self.capacity.rate
            first = slice(self.count)
            time_s = self.trace.time_s[first] * (own / given)
            self.trace = coming.Stream.of(time_s, self.trace.task[first], self.trace.size[first])
        else:
            self.count = 200_000 if tasks is None else tasks
            given = rate if rate is not None else (0.7 if load is None else load) * self.capacity.rate
        self.rate, self.arrivals, self.discipline = float(given), arrivals, discipline
        self.lag_s = staleness * instance.slot_s
        self.settings = {
            "instance": instance.name,
            "instance_sha256": instance.sha256,
            "arrivals": arrivals if self.trace is None else f"trace {_digest(self.trace)}",
            "rate_per_s": self.rate,
            "load": self.rate / self.capacity.rate,
            "staleness_slots": float(staleness),
            "discipline": discipline,
            "tasks": self.count,
        }

    def stream(self, seed: int) -> Stream:
        from mecopt.simulation.arrivals import draw

        if self.trace is not None:
            return self.trace
        return draw(self.arrivals, self.world.templates, self.rate, self.count, seed)

    def setting(self) -> Setting:
        from mecopt.simulation.arrivals import sizes_of

        sizes, chances = sizes_of(self.arrivals)
        if self.trace is not None:
            sizes, counts = np.unique(self.trace.size, return_counts=True)
            chances = counts / counts.sum()
        kind = "trace" if self.trace is not None else self.arrivals
        return Setting(self.world, self.rate, self.lag_s, sizes, chances, kind, self.discipline)


class _Work:
    """Makes a run; the last stream and its bound are kept for the next rule."""

    def __init__(self, plan: _Plan, chosen: dict[str, Rule], rest: Callable[[], None]) -> None:
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
            self._prepared[name] = self.chosen[name].prepare(plan.setting())
        stream, bound = self._stream, self._bound
        run = simulate_stream(
            world,
            stream,
            self._prepared[name],
            lag_s=plan.lag_s,
            discipline=plan.discipline,
            seed=seed,
            rest=self.rest,
        )
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
        if isinstance(given, str) and method_file.names_a_file(given):
            own[name] = hashlib.sha256(Path(method_file.path_of(given)).read_bytes()).hexdigest()[:16]
    return own


def _digest(stream: Stream) -> str:
    digest = hashlib.sha256()
    for values in (stream.time_s, stream.task, stream.size):
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]
