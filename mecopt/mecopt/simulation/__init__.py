"""Tasks that arrive one by one, servers that queue, and rules that decide with old news."""

from __future__ import annotations

from mecopt.simulation.online_rule import Pricing, Rule, Setting, View
from mecopt.simulation.simulating import Simulation, simulate

__all__ = ["Pricing", "Rule", "Setting", "Simulation", "View", "simulate"]
