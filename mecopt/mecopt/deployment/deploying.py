"""Carry a plan out: hand parts of a model to agents, send inputs through, compare with the prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt import scalars
from mecopt.deployment.block_times import block_times, one_by_one
from mecopt.deployment.client import AgentError, Credentials
from mecopt.deployment.outcome import Deployment
from mecopt.deployment.replanning import as_measured, drifts, planned
from mecopt.deployment.stages import stretches
from mecopt.deployment.under_way import ReachedNodes, Running, send_through
from mecopt.errors import InputError, MecoptError
from mecopt.schedule import node_names

if TYPE_CHECKING:
    from mecopt.deployment.whole import WholeModel
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation

Arrays = Mapping[str, NDArray[Any]]

WINDOW = 4  # inputs under way in a pipeline
LEAST_WAIT_S, WAIT_FACTOR = 5.0, 10.0  # an input that takes longer than this is stuck


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
    blocks: bool = True,
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
    blocks : bool
        Time single blocks as well: after the run a few inputs go through block by block, each a session.

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
    with ReachedNodes(dict(agents), instance, credentials or Credentials(), shapes) as nodes:
        return _carried_out(judged, task, whole, nodes, given, pipeline, replan, limit_s, tolerance, blocks)


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
    nodes: ReachedNodes,
    inputs: Sequence[Arrays],
    pipeline: bool,
    replan: bool,
    limit_s: float | None,
    tolerance: float,
    blocks: bool,
) -> Deployment:
    events: list[str] = []
    outputs: dict[int, Arrays] = {}
    while True:
        plan = stretches(judged, task)
        running = nodes.running(plan)
        limit = limit_s or max(LEAST_WAIT_S, WAIT_FACTOR * float(judged.task_delay_s[task]))
        try:
            nodes.begin(running, whole)
            send_through(running, whole, inputs, outputs, WINDOW if pipeline else 1, limit)
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
    found = _outcome(judged, task, running, whole, inputs, outputs, pipeline, events, tolerance)
    return _with_blocks(found, judged, task, running, whole, nodes, inputs, limit) if blocks else found


def _with_blocks(
    found: Deployment,
    judged: Evaluation,
    task: int,
    running: Running,
    whole: WholeModel,
    nodes: ReachedNodes,
    inputs: Sequence[Arrays],
    limit_s: float,
) -> Deployment:
    """Add the seconds of single blocks; the run is over, so what goes wrong now is only said."""
    try:
        single = all(one.first == one.last for one in running.plan)
        if single and not found.pipeline and found.measured_s is not None:
            times = block_times(judged, task, running, len(inputs), apart=False)
        else:
            times = one_by_one(judged, task, whole, nodes, inputs, limit_s)
    except MecoptError as error:
        events = (*found.events, f"single blocks were not timed: {error}")
        return dataclasses.replace(found, events=events)
    return dataclasses.replace(found, blocks=times)


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
