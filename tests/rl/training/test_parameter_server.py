"""Workers of a parameter server: one gives the bits of a plain training, several share all that is learnt."""

import pytest
import torch

from mecopt_rl.learners import a3c, dqn, markov_a3c, multitask_a3c
from mecopt_rl.training.parameter_server import ParameterServer, RemoteWorker
from mecopt_rl.training.rounds import OneShape, Worker
from mecopt_rl.training.workers import WorkerStart, shares
from mecopt_rl.world.episodes import Episodes

SPEC = "paper:slots=20,servers=2,blocks=3"
SMALL = {"width": 8, "layers": 1, "environments": 12}
CHANGES = {"mtl-a3c": {"branch_width": 8}, "markov-a3c": {"branch_width": 8, "gamma": 0.5, "steps": 3}}
ACTOR_CRITICS = pytest.mark.parametrize(
    "module", [multitask_a3c, markov_a3c, a3c], ids=["mtl", "markov", "a3c"]
)


@pytest.fixture(scope="module")
def episodes():
    return Episodes(SPEC)


def begun(module, episodes, recipe="best", **changes):
    """Return a job, and a learner that has seen its first observations."""
    curriculum = OneShape(episodes, episodes.encoder())
    own = {**SMALL, **CHANGES.get(module.KIND.name, {}), **changes}
    settings = module.KIND.settings(recipe, own)
    job = WorkerStart(curriculum, module.KIND.name, settings, 0)
    learner = job.make()
    with torch.no_grad():
        for network in (learner.network, getattr(learner, "own", learner.network)):
            network.standard.mean.fill_(0.3)
    return job, learner


def server_of(job, learner):
    return ParameterServer(job, {name: tensor.numpy().copy() for name, tensor in learner.state().items()})


def rounds(worker, count=2):
    for number in range(count):
        worker.run(*shares(0, number, 6, 1, number / count, (number + 1) / count))


@ACTOR_CRITICS
@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_one_worker_gives_the_bits_of_a_plain_training(episodes, module, optimiser):
    job, learner = begun(module, episodes, optimiser=optimiser)
    server = server_of(job, learner)
    first = server.learner.network.state_dict()
    assert all(torch.equal(tensor, first[name]) for name, tensor in learner.network.state_dict().items())
    rounds(RemoteWorker(job, server))
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    rounds(Worker(job.curriculum, learner))
    plain, served = learner.state(), server.learner.state()
    assert plain.keys() == served.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, served[name]), name
    assert not torch.equal(before["cost"], plain["cost"])
    assert all(p.grad is None for p in server.parameters)


def test_recipe_paper_keeps_its_memory_from_round_to_round(episodes):
    job, learner = begun(multitask_a3c, episodes, "paper", environments=1)
    server = server_of(job, learner)
    rounds(RemoteWorker(job, server))
    rounds(Worker(job.curriculum, learner))
    weights = server.learner.network.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in learner.network.state_dict().items())


def test_two_workers_step_the_same_parameters_and_statistics(episodes):
    job, learner = begun(multitask_a3c, episodes)
    server = server_of(job, learner)
    workers = [RemoteWorker(job, server) for _ in range(2)]
    steps = []
    for task, worker in zip(shares(0, 0, 6, 2, 0.0, 1.0), workers, strict=True):
        worker.run(task)
        steps.append(server.learner.state()["optimiser.0.step"].item())
    assert 0 < steps[0] < steps[1]
    assert server.learner.all.cost[1] == 6 * 20
    workers[0]._pull()  # what a worker does as its next share begins
    theirs, mine = server.learner.network.state_dict(), workers[0].shared.network.state_dict()
    assert all(torch.equal(theirs[name], mine[name]) for name in theirs)


def test_an_older_worker_steps_the_newest_parameters(episodes):
    """Gradients may be stale; they are never applied to stale parameters."""
    job, learner = begun(multitask_a3c, episodes, optimiser="rmsprop")
    server = server_of(job, learner)
    old, new = (RemoteWorker(job, server) for _ in range(2))
    rounds(new, 1)
    moved = [p.detach().clone() for p in server.parameters]
    old.shared.weights.grad = torch.zeros_like(old.shared.weights)
    old.shared.optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(moved, server.parameters, strict=True))
    assert torch.equal(moved[0], old.shared.weights)
    pulled = list(old.shared.network.parameters())  # views of that vector
    assert all(torch.equal(a, b) for a, b in zip(server.learner.network.parameters(), pulled, strict=True))


def test_dqn_has_one_replay_and_one_target(episodes):
    job, learner = begun(dqn, episodes, target_every=7, batch=16, gamma=0.5)
    server = server_of(job, learner)
    workers = [RemoteWorker(job, server) for _ in range(2)]
    first = {name: tensor.clone() for name, tensor in server.learner.state().items()}
    for task, worker in zip(shares(0, 0, 6, 2, 0.0, 1.0), workers, strict=True):
        worker.run(task)
    found = server.learner.state()
    assert found["replay.added"].item() == found["cost"][1].item() == 6 * 20
    assert found["updates"].item() == found["optimiser.0.step"].item() > 7
    for name in first:
        if name.startswith(("network.head", "target.head")):
            assert not torch.equal(first[name], found[name]), name
    # The target lags behind the network, and the last worker has the one that the server has.
    assert not torch.equal(found["network.head.score.bias"], found["target.head.score.bias"])
    mine = workers[1].shared.target.state_dict()
    theirs = server.learner.all.target.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
