"""Carry a plan out: hand parts of a model to agents, send inputs through, compare with the prediction."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt import scalars
from mecopt.arrays import Floats
from mecopt.deployment.agent import Agent
from mecopt.deployment.client import AgentError, Client, Credentials
from mecopt.deployment.outcome import Deployment, medians
from mecopt.deployment.replanning import Measured, as_measured, drifts, planned
from mecopt.deployment.stages import Stretch, stretches
from mecopt.errors import InputError, MecoptError
from mecopt.schedule import node_names

if TYPE_CHECKING:
    from mecopt.deployment.whole import WholeModel
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation

Arrays = Mapping[str, NDArray[Any]]

WINDOW = 4  # inputs under way in a pipeline
LEAST_WAIT_S, WAIT_FACTOR = 5.0, 10.0  # an input that takes longer than this is stuck
LOOK_EVERY_S = 0.25
WARM_UP = 2  # inputs that are sent first and not counted
COMPARISONS = 20  # of clocks; the quickest counts


@dataclass
class Running:
    """One plan on its agents."""

    run: str
    plan: list[Stretch]
    clients: dict[str, Client]  # of the nodes of the plan
    offsets: dict[str, float] = field(default_factory=dict)  # seconds that a node's clock is ahead of ours
    clock_error_s: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    times: dict[tuple[int, int], tuple[float, float, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Ask every agent for its times and whether something went wrong.

        Raises
        ------
        AgentError
            If an agent is gone, or one of them has failed.
        """
        failed: dict[str, str] | None = None
        for node, client in self.clients.items():
            state, _ = client.call("State", {"run": self.run, "seen": self.seen.get(node, 0)}, limit_s=3.0)
            for one in state["records"]:
                ahead = self.offsets[node]
                key = (int(one["input"]), int(one["stage"]))
                self.times[key] = tuple(float(one[name]) - ahead for name in ("arrived", "started", "ended"))  # type: ignore[assignment]
            self.seen[node] = self.seen.get(node, 0) + len(state["records"])
            failed = failed or state["failure"]
        if failed is not None:
            lost = failed["node"] in self.clients and not _answers(self.clients[failed["node"]])
            raise AgentError(failed["node"], failed["text"], lost=lost)

    def measured(self) -> Measured:
        """Return the medians of what is known by now."""
        found = self.table(max((number for number, _ in self.times), default=-1) + 1)
        transfers = medians(found[0, :, 1:] - found[2, :, :-1])
        return Measured(np.append(0.0, transfers), medians(found[2] - found[1]))

    def table(self, inputs: int) -> Floats:
        """Return arrivals, starts and ends, (3, inputs, stretches); NaN where they are not known."""
        found: Floats = np.full((3, inputs, len(self.plan)), np.nan)
        for (number, stage), times in self.times.items():
            if 0 <= number < inputs:
                found[:, number, stage] = times
        return found

    def stuck(self, number: int, limit_s: float) -> AgentError:
        """Say where an input is that did not come through."""
        at = max((stage for one, stage in self.times if one == number), default=-1)
        here = self.plan[min(at + 1, len(self.plan) - 1)]
        before = self.plan[at].node if at >= 0 else here.node
        where = f"{before} to {here.node}" if before != here.node else here.node
        return AgentError(
            here.node, f"input {number} did not get through ({where}) in {limit_s:.1f} s", lost=True
        )

    def end(self) -> None:
        """Tell the agents that the run is over, as far as they are there."""
        for client in self.clients.values():
            with contextlib.suppress(MecoptError):
                client.call("End", {"run": self.run}, limit_s=2.0)
            client.close()


def _answers(client: Client) -> bool:
    try:
        client.call("Hello", {}, limit_s=2.0)
    except AgentError:
        return False
    return True


def deploy(
    instance: Instance,
    placement: Sequence[Sequence[int]] | NDArray[Any],
    model: str | WholeModel,
    agents: Mapping[str, str],
    inputs: int | Sequence[Arrays] = 10,
    *,
    task: int = 0,
    pipeline: bool = False,
    replan: bool = False,
    shapes: Mapping[tuple[str, str], tuple[float, float]] | None = None,
    credentials: Credentials | None = None,
    seed: int = 0,
    limit_s: float | None = None,
    tolerance: float = 0.2,
) -> Deployment:
    """Run a task's model by its placement on agents, and compare what it takes with what was predicted.

    Parameters
    ----------
    instance : Instance
    placement : array_like of shape (tasks, longest model)
    model : str or Whole
        Model file of `mecopt import`, or an ONNX file.
    agents : mapping of node to ``host:port``
        Of every node of the placement; without one of ``device`` this process stands for it.
    inputs : int or sequence of mapping
        How many random ones, or tensors by the names of the model's inputs.
    task : int
    pipeline : bool
        Let inputs overlap; else one at a time.
    replan : bool
        Where a node is lost, solve again without it from what was measured, and go on.
    shapes : mapping of (from, to) to (rate_bps, latency_s), optional
        Links to be made slower than they are.
    credentials : Credentials, optional
    seed : int
        Of random inputs.
    limit_s : float, optional
        Longest time for one input. [default: ten times what is predicted, at least 5 s]
    tolerance : float
        Nodes and links that are further from what the instance says, a fraction, are named in `events`.

    Raises
    ------
    InputError
        If the placement, the model, the agents or the inputs do not fit the instance; behind TLS, if the
        device has no agent.
    AgentError
        If an agent is gone, stalls or fails, and `replan` is off or does not help.
    """
    from mecopt.deployment.whole import WholeModel
    from mecopt.judge import evaluate

    whole = model if isinstance(model, WholeModel) else WholeModel.of(model)
    judged = evaluate(instance, placement)
    agents, shapes = _called(instance, task, agents, shapes or {})
    _check(judged, task, whole, agents)
    if credentials is not None and credentials.authority and node_names(instance)[0] not in agents:
        raise InputError("agents: none for device: behind TLS others reach it by an agent of its own alone")
    given = (
        [whole.checked(one) for one in inputs]
        if not isinstance(inputs, int) and scalars.scalar(inputs) is None
        else whole.random(scalars.whole("inputs", inputs, 1), seed)
    )
    with _Nodes(dict(agents), instance, credentials or Credentials(), shapes) as nodes:
        return _carried_out(judged, task, whole, nodes, given, pipeline, replan, limit_s, tolerance)


def _called(
    instance: Instance,
    task: int,
    agents: Mapping[str, str],
    shapes: Mapping[tuple[str, str], tuple[float, float]],
) -> tuple[dict[str, str], dict[tuple[str, str], tuple[float, float]]]:
    """Return both with the task's device under the name `device`, whichever of its two names was given.

    Raises
    ------
    InputError
        If a link is shaped between nodes that are none.
    """
    names = node_names(instance)
    own = instance.devices[instance.tasks.device[task]].name if 0 <= task < instance.task_count else names[0]

    def name(node: str) -> str:
        return names[0] if node == own and node not in names else node

    links = {(name(start), name(to)): shape for (start, to), shape in shapes.items()}
    unknown = next((node for link in links for node in link if node not in names), None)
    if unknown is not None:
        raise InputError(f"shapes: {unknown!r} is no node, expected {', '.join(names)}")
    return {name(node): address for node, address in agents.items()}, links


class _Nodes:
    """The agents' addresses; this process stands for a device that has none."""

    def __init__(
        self,
        addresses: dict[str, str],
        instance: Instance,
        credentials: Credentials,
        shapes: Mapping[tuple[str, str], tuple[float, float]],
    ) -> None:
        self.addresses, self.credentials, self.shapes = addresses, credentials, shapes
        self.device = node_names(instance)[0]
        self.own: Agent | None = None

    def __enter__(self) -> _Nodes:
        if self.device not in self.addresses:
            self.own = Agent()
            self.addresses[self.device] = self.own.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.own is not None:
            self.own.stop()

    def running(self, plan: list[Stretch]) -> Running:
        """Return a run of a plan, which has not begun yet."""
        used = dict.fromkeys(one.node for one in plan)
        clients = {node: Client(node, self.addresses[node], self.credentials) for node in used}
        return Running(uuid.uuid4().hex, plan, clients)

    def begin(self, running: Running, whole: WholeModel) -> None:
        """Hand the parts out and let the agents begin.

        Raises
        ------
        AgentError
            If one is gone or refuses.
        """
        plan, clients = running.plan, running.clients
        parts = [whole.part(one.first, one.last) if one.first >= 0 else None for one in plan]
        names = [None if part is None else hashlib.sha256(part).hexdigest() for part in parts]
        for one, part, name in zip(plan, parts, names, strict=True):
            client = clients[one.node]
            if part is not None and not client.call("Has", {"parts": [name]})[0]["parts"]:
                client.upload(str(name), part)
        stages = [
            {
                "node": one.node,
                "part": name,
                "outputs": whole.crossing(one.last + 1) if one.first >= 0 else [],
            }
            for one, name in zip(plan, names, strict=True)
        ]
        for node, client in clients.items():
            running.offsets[node], error = _compared(client)
            running.clock_error_s = max(running.clock_error_s, 2 * error)
        for node, client in clients.items():
            links = {
                to: {"rate_bps": rate, "latency_s": latency}
                for (start, to), (rate, latency) in self.shapes.items()
                if start == node
            }
            client.call(
                "Begin",
                {
                    "run": running.run,
                    "node": node,
                    "stages": stages,
                    "everywhere": list(whole.everywhere),
                    "peers": {other: self.addresses[other] for other in clients if other != node},
                    "links": links,
                },
            )


def _compared(client: Client) -> tuple[float, float]:
    """Compare clocks: return how far the agent's is ahead, and by how much that may be wrong."""
    best = (np.inf, 0.0)
    for _ in range(COMPARISONS):
        before = time.perf_counter()
        now = float(client.call("Clock", {})[0]["now"])
        after = time.perf_counter()
        best = min(best, (after - before, now - 0.5 * (before + after)))
    return best[1], 0.5 * best[0]


def _check(judged: Evaluation, task: int, whole: WholeModel, agents: Mapping[str, str]) -> None:
    instance = judged.instance
    if not 0 <= task < instance.task_count:
        raise InputError(f"task {task}: expected 0 to {instance.task_count - 1}")
    if judged.dropped[task]:
        raise InputError(f"task {task} is left out by the placement, so there is nothing to run")
    model = instance.models[instance.tasks.model[task]]
    if len(model.phases) > 1 or model.phases[0].repeat > 1:
        raise InputError(f"model {model.name!r} has phases; a run sends every input through once")
    whole.check_blocks(model)
    names = node_names(instance)
    unknown = sorted(agents.keys() - set(names))
    if unknown:
        raise InputError(f"agents: {unknown[0]!r} is no node, expected {', '.join(names)}")
    twice = sorted(node for node, at in agents.items() if list(agents.values()).count(at) > 1)
    if twice:
        raise InputError(f"agents: {' and '.join(twice)} have one address, expected an agent for each")
    used = {names[node] for node in judged.placement[task] if node > 0}
    missing = sorted(used - agents.keys())
    if missing:
        raise InputError(f"agents: none for {', '.join(missing)}, where the placement runs blocks")
    if not np.isfinite(judged.task_delay_s[task]):
        raise InputError(
            f"task {task}: the placement goes over a missing link, or a server with too much to do"
        )


def _carried_out(
    judged: Evaluation,
    task: int,
    whole: WholeModel,
    nodes: _Nodes,
    inputs: Sequence[Arrays],
    pipeline: bool,
    replan: bool,
    limit_s: float | None,
    tolerance: float,
) -> Deployment:
    events: list[str] = []
    outputs: dict[int, Arrays] = {}
    while True:
        plan = stretches(judged, task)
        running = nodes.running(plan)
        limit = limit_s or max(LEAST_WAIT_S, WAIT_FACTOR * float(judged.task_delay_s[task]))
        try:
            nodes.begin(running, whole)
            _through(running, whole, inputs, outputs, WINDOW if pipeline else 1, limit)
            break
        except AgentError as error:
            events.append(str(error))
            if not (replan and error.lost) or error.node == nodes.device:
                raise
            nodes.addresses.pop(error.node, None)
            now = as_measured(judged.instance, task, plan, running.measured())
            running.times.clear()
            judged, task = planned(now, nodes.addresses.keys()), 0
            events.append(f"planned again without {error.node}")
        finally:
            running.end()
    return _outcome(judged, task, running, whole, inputs, outputs, pipeline, events, tolerance)


def _through(
    running: Running,
    whole: WholeModel,
    inputs: Sequence[Arrays],
    outputs: dict[int, Arrays],
    window: int,
    limit_s: float,
) -> None:
    """Send inputs through, so many at a time; fills outputs, by number."""
    first, last = running.clients[running.plan[0].node], running.clients[running.plan[-1].node]
    left = [number for number in range(len(inputs)) if number not in outputs]
    queue = [-1 - i for i in range(WARM_UP)] + left
    sent: dict[int, float] = {}
    while queue or sent:
        while queue and len(sent) < window:
            number = queue.pop(0)
            sending = {"run": running.run, "input": number, "stage": 0}
            first.call("Pass", sending, inputs[max(number, 0) if number >= 0 else 0], limit_s=limit_s)
            sent[number] = time.perf_counter()
        header, tensors = last.call("Take", {"run": running.run, "wait_s": LOOK_EVERY_S})
        number_back = header["input"]
        if number_back is None:
            running.look()
            number, since = min(sent.items(), key=lambda item: item[1])
            if time.perf_counter() - since > limit_s * window:
                raise running.stuck(number, limit_s * window)
            continue
        sent.pop(int(number_back), None)
        if number_back >= 0:
            outputs[int(number_back)] = {name: tensors[name] for name in whole.outputs if name in tensors}
        running.look()


def _outcome(
    judged: Evaluation,
    task: int,
    running: Running,
    whole: WholeModel,
    inputs: Sequence[Arrays],
    outputs: Mapping[int, Arrays],
    pipeline: bool,
    events: Sequence[str],
    tolerance: float,
) -> Deployment:
    found = running.table(len(inputs))
    differences = [whole.difference(inputs[number], made) for number, made in outputs.items()]
    predicted = float(judged.task_delay_s[task])
    if pipeline:
        predicted = _period(judged, task)
    else:  # in a pipeline a transfer's time has its waiting in it
        events = [*events, *drifts(judged.instance, task, running.plan, running.measured(), tolerance)]
    return Deployment(
        stretches=tuple(running.plan),
        arrived=found[0],
        started=found[1],
        ended=found[2],
        outputs=[outputs[number] for number in range(len(inputs))],
        difference=max(differences, default=0.0),
        pipeline=pipeline,
        predicted_s=predicted,
        clock_error_s=running.clock_error_s,
        events=tuple(events),
    )


def _period(judged: Evaluation, task: int) -> float:
    """Return the longest that one input keeps a resource busy: what a pipeline can keep up."""
    import dataclasses

    from mecopt.entities import Deadline
    from mecopt.entities.rules import PERIOD
    from mecopt.judge import evaluate

    instance = judged.instance
    rules = dataclasses.replace(
        instance.rules, objective=PERIOD, couplings=frozenset(), sharing=None, deadline=Deadline.NONE
    )
    tasks = dataclasses.replace(
        instance.tasks.take(np.array([task])), weight=np.ones(1), drop_cost=np.full(1, np.inf)
    )
    from mecopt import allowing

    alone = instance.replace(tasks=tasks, rules=rules, allow=allowing.of_task(instance, task))
    value = evaluate(alone, judged.placement[[task]]).objective
    assert value is not None
    return float(value)
