"""Models: a chain of blocks, each with what one inference of it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mecopt.entities.fields import (
    PerPhase,
    by_hardware,
    name_problems,
    named,
    per_phase,
    set_numbers,
    set_texts,
    text,
)
from mecopt.errors import InstanceError, shown
from mecopt.scalars import EXACT, is_whole

ADDED: Any = {"format": 2}  # marks a field that files of mecopt-instance/1 do not have


@dataclass(frozen=True)
class Phase:
    """A way in which a request passes the chain, so many times: a prefill once, a decode for each token."""

    name: str = "pass"
    repeat: int = 1

    def __post_init__(self) -> None:
        set_texts(self, "phase", "name")
        if not is_whole(self.repeat) or not 1 <= self.repeat <= EXACT:
            expected = "expected a whole number >= 1"
            raise InstanceError(f"phase {shown(self.name)}: repeat: {shown(self.repeat)}, {expected}")
        object.__setattr__(self, "repeat", int(self.repeat))


@dataclass(frozen=True)
class SharedParams:
    """Parameters that several blocks use and a node holds once in a slot, beside the blocks' own."""

    name: str
    bytes: float
    blocks: tuple[str | int, ...]  # names, or 0-based numbers

    def __post_init__(self) -> None:
        place = f"shared_params {shown(self.name)}"
        set_texts(self, place, "name")
        set_numbers(self, place, "bytes")
        if isinstance(self.blocks, str) or not len(self.blocks):
            raise InstanceError(f"{place}: blocks: {shown(self.blocks)}, expected names or numbers of blocks")
        object.__setattr__(self, "blocks", tuple(self.blocks))


ONE_PASS = (Phase(),)


@dataclass(frozen=True)
class Block:
    """One block of a model: cycles c_m, parameters d_m [bytes], input I_m [bits].

    What is a number may be one for each phase of the model, where the type says `PerPhase`.

    Parameters
    ----------
    cycles : PerPhase, optional
        None where every node that may run the block has it measured or has a memory rate.
    input_bits : PerPhase
    param_bytes : float
    name : str
    measured_seconds : mapping from hardware to PerPhase
        Seconds that one inference of the block takes there.
    read_bytes : PerPhase, optional
        Bytes that a pass reads from memory whatever its batch; the parameters, if None.
    state_read_bytes : PerPhase
        Bytes that a pass reads from memory for each inference of its batch.
    start_seconds : mapping from hardware to float
        Seconds more for each pass in which the block begins a stretch on a node.
    state_bytes : float
        Memory that each inference of a task's batch holds on the block's node.
    """

    cycles: PerPhase | None
    input_bits: PerPhase
    param_bytes: float = 0.0
    name: str = ""
    measured_seconds: Mapping[str, PerPhase] = field(default_factory=dict)
    read_bytes: PerPhase | None = field(default=None, metadata=ADDED)
    state_read_bytes: PerPhase = field(default=0.0, metadata=ADDED)
    start_seconds: Mapping[str, float] = field(default_factory=dict, metadata=ADDED)
    state_bytes: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        place = f"block {shown(self.name)}"
        set_texts(self, place, "name")
        for name in ("cycles", "read_bytes"):
            if getattr(self, name) is not None:
                put(name, per_phase(getattr(self, name), f"{place}: {name}"))
        for name in ("input_bits", "state_read_bytes"):
            put(name, per_phase(getattr(self, name), f"{place}: {name}"))
        set_numbers(self, place, "param_bytes", "state_bytes")
        put("measured_seconds", by_hardware(self.measured_seconds, f"{place}: measured_seconds"))
        starts = by_hardware(self.start_seconds, f"{place}: start_seconds")
        for kind, seconds in starts.items():
            if isinstance(seconds, tuple):
                raise InstanceError(f"{place}: start_seconds.{kind}: a list, expected a number >= 0")
        put("start_seconds", {kind: seconds for kind, seconds in starts.items() if seconds})
        if self.read_bytes == self.param_bytes:
            put("read_bytes", None)


@dataclass(frozen=True)
class Model:
    """A DNN as a chain of blocks; `output_bits` is the size of its final output.

    Blocks without a name are called block1, block2, ...

    Parameters
    ----------
    name : str
    blocks : tuple of Block
    output_bits : PerPhase
    phases : tuple of Phase
        Every request passes the chain in each phase, with one placement for all; one pass by default.
    shared_params : tuple of SharedParams
    """

    name: str
    blocks: tuple[Block, ...]
    output_bits: PerPhase = 0.0
    phases: tuple[Phase, ...] = field(default=ONE_PASS, metadata=ADDED)
    shared_params: tuple[SharedParams, ...] = field(default=(), metadata=ADDED)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("blocks", named(self.blocks, "block"))
        place = f"model {shown(self.name)}"
        if not self.blocks:
            raise InstanceError(f"{place}: no blocks, expected at least one")
        set_texts(self, place, "name")
        put("output_bits", per_phase(self.output_bits, f"{place}: output_bits"))
        put("phases", tuple(self.phases))
        if not self.phases:
            raise InstanceError(f"{place}: phases: none, expected at least one")
        names = {
            "phases": [phase.name for phase in self.phases],
            "shared_params": [part.name for part in self.shared_params],
        }
        problems = [f"{place}: {line}" for part in names for line in name_problems(part, names[part])]
        if problems:
            raise InstanceError(problems)
        if len(self.phases) == 1 and self.phases[0].repeat == 1:
            put("phases", ONE_PASS)
        put("output_bits", self._fitted(self.output_bits, f"{place}: output_bits"))
        put("blocks", tuple(self._fitted_block(block, place) for block in self.blocks))
        put("shared_params", tuple(self._shared(part, place) for part in self.shared_params))

    def _fitted(self, value: PerPhase, place: str) -> PerPhase:
        """Check that there is a value for each phase; a list of equal ones is one number."""
        if not isinstance(value, tuple):
            return value
        if len(value) != len(self.phases):
            raise InstanceError(f"{place}: {len(value)} values for {len(self.phases)} phases")
        return value[0] if len(set(value)) == 1 else value

    def _fitted_block(self, block: Block, place: str) -> Block:
        changes: dict[str, Any] = {}
        for name in ("cycles", "input_bits", "read_bytes", "state_read_bytes"):
            value = getattr(block, name)
            if isinstance(value, tuple):
                changes[name] = self._fitted(value, f"{place}, block {shown(block.name)}: {name}")
        at = f"{place}, block {shown(block.name)}: measured_seconds"
        if any(isinstance(seconds, tuple) for seconds in block.measured_seconds.values()):
            changes["measured_seconds"] = {
                kind: self._fitted(seconds, f"{at}.{kind}")
                for kind, seconds in block.measured_seconds.items()
            }
        return dataclasses.replace(block, **changes) if changes else block

    def _shared(self, part: SharedParams, place: str) -> SharedParams:
        """Put the blocks of shared parameters into numbers, in order."""
        numbers = []
        for block in part.blocks:
            found = block_number(block, [b.name for b in self.blocks])
            if found is None:
                at = f"{place}, shared_params {shown(part.name)}"
                raise InstanceError(f"{at}: no block {shown(block)}, expected names or numbers of its blocks")
            numbers.append(found)
        return dataclasses.replace(part, blocks=tuple(sorted(set(numbers))))


def block_number(block: Any, names: list[str]) -> int | None:
    """Return the 0-based number of a block that is given by name or number, None where there is none."""
    if isinstance(block, str):
        text(block, "block")
        return names.index(block) if block in names else None
    if is_whole(block) and 0 <= int(block) < len(names):
        return int(block)
    return None
