"""The rules that mecopt brings: each says what an entry costs; the compiled decision does the rest."""

from __future__ import annotations

import numpy as np

from mecopt.simulation import Pricing, Rule, Setting
from mecopt_solvers.online.static import shares_of, value_figures

STEP = 0.05  # of mirror descent


def _nominal(setting: Setting) -> Pricing:
    return Pricing.free(setting.world)


def _least_work(setting: Setting) -> Pricing:
    return Pricing.free(setting.world, sees="backlog", pool="least", own=1.0)


def _power_of_two(setting: Setting) -> Pricing:
    return Pricing.free(setting.world, sees="backlog", pool="two", own=1.0)


def _selfish(setting: Setting) -> Pricing:
    return Pricing.free(setting.world, sees="backlog", own=1.0)


def _selfish_flight(setting: Setting) -> Pricing:
    return Pricing.free(setting.world, sees="flight", own=1.0)


def _static_price(setting: Setting) -> Pricing:
    return Pricing.free(setting.world, prices=shares_of(setting).prices)


def _price_value(setting: Setting) -> Pricing:
    _, grow, curve = value_figures(setting)
    return Pricing.free(setting.world, grow=grow, curve=curve, sees="flight", own=1.0)


def _price_tuned(setting: Setting) -> Pricing:
    from mecopt_solvers.online.scalar_tuning import tuned

    return tuned(setting)


def _price_tuned_p99(setting: Setting) -> Pricing:
    from mecopt_solvers.online.scalar_tuning import tuned

    return tuned(setting, quantile=0.99)


def _price_told(setting: Setting) -> Pricing:
    from mecopt_solvers.online.scalar_tuning import tuned

    return tuned(setting, told=True)


def _mirror(setting: Setting) -> Pricing:
    world = setting.world
    _, _, loads = world.decide(np.arange(world.templates))
    unit = float(loads[:, : world.servers].sum(axis=1).mean()) * float(setting.chances @ setting.sizes)
    prices = np.zeros((1, world.resources))
    prices[0, : world.servers] = 1.0
    return Pricing.free(world, prices=prices, own=1.0, rate=STEP, unit=max(unit, 1e-9))


NOMINAL = Rule("nominal", "fastest path without waiting, whatever the servers have to do", _nominal)
LEAST_WORK = Rule("least-work", "device and the server seen with the least work", _least_work)
POWER_OF_TWO = Rule("power-of-two", "device and the better of two servers drawn at random", _power_of_two)
SELFISH = Rule("selfish", "fastest path at the backlogs seen", _selfish)
SELFISH_FLIGHT = Rule(
    "selfish-flight", "fastest path at the backlogs seen and the work in flight", _selfish_flight
)
STATIC_PRICE = Rule("static-price", "fixed shares, from prices of the sharing dual", _static_price)
PRICE_VALUE = Rule("price-value", "backlogs, work in flight, and what a task costs later ones", _price_value)
PRICE_TUNED = Rule("price-tuned", "price-value, its scalars found by trying on other seeds", _price_tuned)
PRICE_TUNED_P99 = Rule("price-tuned-p99", "price-tuned for the delay that 99 % stay below", _price_tuned_p99)
PRICE_TOLD = Rule(
    "price-told", "price-tuned for calm and burst apart, told which it is: no rule can know", _price_told
)
MIRROR = Rule("mirror-descent", "prices learnt from the work that is sent, no backlog seen", _mirror)
