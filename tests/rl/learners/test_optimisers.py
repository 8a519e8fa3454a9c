"""Optimisers with shared statistics."""

import pytest
import torch

from mecopt_rl.learners.optimisers import Adam, RMSProp, set_rate, statistics


def test_rmsprop_is_eq_23_and_24():
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = RMSProp([parameter], 0.1, alpha=0.9, epsilon=0.01)
    g, theta = torch.zeros(2), parameter.detach().clone()
    for gradient in (torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5])):
        parameter.grad = gradient
        optimiser.step()
        g = 0.9 * g + 0.1 * gradient**2
        theta = theta - 0.1 * gradient / (g + 0.01).sqrt()
        assert torch.allclose(parameter.detach(), theta)


@pytest.mark.parametrize("kind", [RMSProp, Adam])
def test_statistics_exist_before_the_first_step_and_are_the_tensors_in_use(kind):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = kind([parameter], 0.1)
    before = statistics(optimiser)
    copies = {name: tensor.clone() for name, tensor in before.items()}
    parameter.grad = torch.ones(3)
    optimiser.step()
    after = statistics(optimiser)
    assert all(after[name] is before[name] for name in before)
    assert all(not torch.equal(after[name], copies[name]) for name in before)


def test_adam_is_that_of_pytorch():
    mine, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    both = Adam([mine], 0.1), torch.optim.Adam([theirs], lr=0.1)
    for gradient in (torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5])):
        for parameter, optimiser in zip((mine, theirs), both, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
    assert torch.allclose(mine, theirs)


def test_the_rate_can_be_set():
    parameter = torch.nn.Parameter(torch.ones(1))
    optimiser = RMSProp([parameter], 0.1)
    set_rate(optimiser, 0.0)
    parameter.grad = torch.ones(1)
    optimiser.step()
    assert parameter.item() == 1.0
