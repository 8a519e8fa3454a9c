"""The parts of an instance: rules, models, devices, servers, links and tasks, each validated at birth.

Units: seconds, bits, bits/s, cycles, cycles/s, joules, watts; bytes for memory only.
"""

from mecopt.entities.fields import PerPhase, frozen, in_phase, name_problems, named, text
from mecopt.entities.models import ONE_PASS, Block, Model, Phase, SharedParams, block_number
from mecopt.entities.nodes import Device, Links, Server
from mecopt.entities.rules import (
    DELAY,
    PERIOD,
    PRESETS,
    Coupling,
    Deadline,
    Objective,
    OneRun,
    Rules,
    Sharing,
)
from mecopt.entities.tasks import Allow, Tasks

__all__ = [
    "DELAY",
    "ONE_PASS",
    "PERIOD",
    "PRESETS",
    "Allow",
    "Block",
    "Coupling",
    "Deadline",
    "Device",
    "Links",
    "Model",
    "Objective",
    "OneRun",
    "PerPhase",
    "Phase",
    "Rules",
    "Server",
    "SharedParams",
    "Sharing",
    "Tasks",
    "block_number",
    "frozen",
    "in_phase",
    "name_problems",
    "named",
    "text",
]
