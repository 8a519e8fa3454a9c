"""RMSProp as the paper prints it (Eq. 23-24), optimisers with shared statistics, weights as one vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from mecopt_rl.learners.interfaces import PolicyNetwork

ALIGNED = 16  # numbers; every parameter begins at a multiple of it, a cache line


class RMSProp(torch.optim.Optimizer):
    """Eq. 23-24: g = alpha g + (1 - alpha) d^2, theta = theta - eta d / sqrt(g + epsilon).

    That of PyTorch adds its epsilon outside of the root.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
    lr : float
        eta.
    alpha, epsilon : float
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, alpha: float = 0.99, epsilon: float = 1e-5
    ) -> None:
        super().__init__(parameters, {"lr": lr, "alpha": alpha, "epsilon": epsilon})
        for _, parameter in _parameters(self):
            self.state[parameter]["square"] = torch.zeros_like(parameter, requires_grad=False)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients of the parameters."""
        for group, parameter in _parameters(self):
            if parameter.grad is not None:
                square = self.state[parameter]["square"]
                square.mul_(group["alpha"]).addcmul_(
                    parameter.grad, parameter.grad, value=1.0 - group["alpha"]
                )
                parameter.addcdiv_(parameter.grad, (square + group["epsilon"]).sqrt(), value=-group["lr"])


class Adam(torch.optim.Adam):
    """Adam whose statistics exist before the first step, so that they can be shared and stored."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, lr=lr, fused=True)
        for _, parameter in _parameters(self):
            self.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients of the parameters."""
        for group, parameter in _parameters(self):
            if parameter.grad is not None:
                own, (beta1, beta2) = self.state[parameter], group["betas"]
                adam(
                    [parameter], [parameter.grad], [own["exp_avg"]], [own["exp_avg_sq"]], [], [own["step"]],
                    fused=True, amsgrad=False, beta1=beta1, beta2=beta2, lr=group["lr"], weight_decay=0.0,
                    eps=group["eps"], maximize=False,
                )  # fmt: skip


def statistics(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the statistics of an optimiser by name; the tensors themselves, no copies."""
    return {
        f"{i}.{name}": tensor
        for i, (_, parameter) in enumerate(_parameters(optimiser))
        for name, tensor in optimiser.state[parameter].items()
    }


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def one_vector(network: PolicyNetwork, gradients: bool = False) -> nn.Parameter:
    """Lay all parameters of a network into one vector, of which they become views, and return it.

    A norm, a step or a copy is then one call rather than one for each parameter.

    Parameters
    ----------
    network : Network
    gradients : bool
        Lay out the gradients too, for the way back to write into.
    """
    parameters = list(network.parameters())
    places = np.cumsum([0] + [-(-p.numel() // ALIGNED) * ALIGNED for p in parameters]).tolist()
    vector = nn.Parameter(torch.zeros(places[-1]))
    if gradients:
        vector.grad = torch.zeros_like(vector, requires_grad=False)
    for parameter, at in zip(parameters, places, strict=False):
        part = slice(at, at + parameter.numel())
        view = vector.data[part].view(parameter.shape)
        parameter.data = view.copy_(parameter.data)
        if vector.grad is not None:
            parameter.grad = vector.grad[part].view(parameter.shape)
    return vector


def _parameters(optimiser: torch.optim.Optimizer) -> Iterable[tuple[dict[str, Any], nn.Parameter]]:
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            yield group, parameter
