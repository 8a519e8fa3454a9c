"""Workers on other machines: what they share lies with a parameter server, which makes all steps.

A worker has a copy of the parameters, and an optimiser that is a `Pushing`: its step sends the gradients to
the server, and brings back the parameters that came of them and of what others sent since (Algorithm 1). The
replay of a value-based learner lies there too. Nothing here knows how the two reach each other;
`mecopt_rl.training.ray_engine` does it with Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mecopt_rl.learners.learner import Reals, Rollout
from mecopt_rl.learners.optimisers import set_rate
from mecopt_rl.learners.replay import Decisions
from mecopt_rl.training.curriculum import Round, Tally
from mecopt_rl.training.rounds import Worker
from mecopt_rl.training.workers import WorkerStart

Arrays = list[NDArray[Any]]


class ParameterSource(Protocol):
    """What a worker asks of a parameter server; `ParameterServer` answers, here or from elsewhere."""

    def tensors(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return tensors of the learner's state by name."""
        ...

    def step(self, gradients: Reals | None, rate: float, more: Arrays) -> tuple[Reals, Arrays]:
        """Step all parameters.

        Parameters
        ----------
        gradients : array of shape (P,), or None
            Of all parameters, one behind the other; None: no step is made.
        rate : float
            Learning rate.
        more : list of array
            What the worker has counted since it last asked, for each of the learner's counters.

        Returns
        -------
        parameters : array of shape (P,)
        counters : list of array
            What all workers have counted.
        """
        ...

    def replay(self, rollout: Rollout | None, count: int, seed: int) -> Arrays:
        """Keep a rollout, and draw `count` decisions; the fields of `mecopt_rl.learners.replay.Decisions`."""
        ...


class Together(Protocol):
    """What all workers of a learner share."""

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """What steps the parameters; a worker's is a `Pushing`."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        ...

    def counters(self) -> Sequence[Tensor]:
        """Return what workers only add to."""
        ...


@runtime_checkable
class Remote(Protocol):
    """What a learner has besides, whose workers may be on other machines."""

    @property
    def all(self) -> Together:
        """What workers share; of a value-based learner with a `replay`."""
        ...

    def remote(self, server: ParameterSource) -> Together:
        """Return the same for a worker, which works on its own copies, stepped by the server."""
        ...

    def count(self, more: Sequence[Tensor]) -> None:
        """Add what a worker has counted to the counters."""
        ...


class ParameterServer:
    """The learner that all workers work for.

    Parameters
    ----------
    job : Job
    state : mapping of str to array
        What its `state` gave as arrays.
    """

    def __init__(self, job: WorkerStart, state: Mapping[str, NDArray[Any]]) -> None:
        torch.set_num_threads(1)
        made: Any = job.make()  # a `Remote` learner, which `ray_engine` has seen to
        made.load_state({name: torch.tensor(array) for name, array in state.items()})
        self.learner = made
        self.parameters = [p for group in made.all.optimiser.param_groups for p in group["params"]]

    def tensors(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """See `ParameterSource`."""
        state = self.learner.state()
        return {name: state[name].numpy() for name in names}

    def step(self, gradients: Reals | None, rate: float, more: Arrays) -> tuple[Reals, Arrays]:
        """See `ParameterSource`."""
        shared = self.learner.all
        self.learner.count([torch.tensor(added) for added in more])
        if gradients is not None:
            for parameter, part in zip(self.parameters, _parts(gradients, self.parameters), strict=True):
                parameter.grad = part
            set_rate(shared.optimiser, rate)
            shared.optimiser.step()
            for parameter in self.parameters:
                parameter.grad = None
        return _flat(self.parameters), [counter.numpy() for counter in shared.counters()]

    def replay(self, rollout: Rollout | None, count: int, seed: int) -> Arrays:
        """See `ParameterSource`."""
        kept = self.learner.all.replay
        if rollout is not None:
            kept.add(rollout)
        return [part.numpy() for part in kept.sample(count, torch.Generator().manual_seed(seed))]


class Pushing(torch.optim.Optimizer):
    """Stands in for the optimiser of a worker: the steps are made by the server.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        The worker's copies.
    counters : sequence of Tensor
        What the worker adds to, and is told the sums of all workers.
    server : Server
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], counters: Sequence[Tensor], server: ParameterSource
    ) -> None:  # fmt: skip
        super().__init__(parameters, {"lr": 0.0})
        self.server, self.counters = server, counters
        self.begin()

    def begin(self) -> None:
        """Take the counters as they are for what the server knows."""
        self._known = [counter.clone() for counter in self.counters]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Push the gradients, and pull the parameters."""
        self._exchange(_flat(torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters()))

    def finish(self) -> None:
        """Tell the server what was counted after the last step."""
        self._exchange(None)

    @torch.no_grad()
    def _exchange(self, gradients: Reals | None) -> None:
        more = [(c - k).numpy() for c, k in zip(self.counters, self._known, strict=True)]
        found, totals = self.server.step(gradients, self.param_groups[0]["lr"], more)
        parameters = self._parameters()
        for parameter, part in zip(parameters, _parts(found, parameters), strict=True):
            parameter.copy_(part)
        for counter, total in zip(self.counters, totals, strict=True):
            counter.copy_(torch.tensor(total))
        self.begin()

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]


class RemoteReplay:
    """Stands in for the replay of a worker, `mecopt_rl.learners.replay.Replay`: it lies with the server."""

    def __init__(self, server: ParameterSource) -> None:
        self.server = server
        self._new: Rollout | None = None

    def add(self, rollout: Rollout) -> None:
        """Keep all decisions of a rollout; they travel with the next draw."""
        self._new = rollout

    def sample(self, count: int, noise: torch.Generator) -> Decisions:
        """Draw so many decisions of all workers, with repetition."""
        seed = int(torch.randint(2**62, (1,), generator=noise))
        found = self.server.replay(self._new, count, seed)
        self._new = None
        return Decisions(*map(torch.tensor, found))

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: a worker has no tensors of it."""
        return {}


class RemoteWorker:
    """Runs rounds for a server."""

    def __init__(self, job: WorkerStart, server: ParameterSource) -> None:
        torch.set_num_threads(1)
        first: Any = job.make()
        self.shared, self.server = first.remote(server), server
        self._pull()
        self.worker = Worker(job.curriculum, job.make(self.shared))

    def run(self, task: Round) -> Tally:
        """Run a round, or a share of one."""
        self._pull()
        tally = self.worker.run(task)
        self.shared.optimiser.finish()
        return tally

    @torch.no_grad()
    def _pull(self) -> None:
        """Take everything that is shared from the server."""
        mine = self.shared.tensors()
        for name, array in self.server.tensors(list(mine)).items():
            mine[name].copy_(torch.tensor(array))
        self.shared.optimiser.begin()


def _flat(tensors: Iterable[Tensor]) -> Reals:
    """Return all numbers of some tensors, one behind the other."""
    found: Reals = torch.cat([tensor.detach().flatten() for tensor in tensors]).numpy()
    return found


def _parts(numbers: Reals, like: Sequence[Tensor]) -> list[Tensor]:
    """Cut numbers into tensors of the shapes of others."""
    parts = torch.split(torch.tensor(numbers), [tensor.numel() for tensor in like])
    return [part.view_as(tensor) for part, tensor in zip(parts, like, strict=True)]
