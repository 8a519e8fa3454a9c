"""What may be chosen when a model is imported, checked at birth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mecopt.errors import InputError
from mecopt.scalars import number, whole

CROSSING = 3
MOST_CROSSING = 1000
MOST_DIM = 2**40


@dataclass(frozen=True)
class Options:
    """Choices of an import; `mecopt.import_model` says what they are.

    Raises
    ------
    InputError
        If one is out of range.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    name: str | None = None
    crossing: int = CROSSING
    blocks: int | None = None
    cycles_per_mac: float = 1.0

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("dims", {str(key): whole(f"dims.{key}", n, 1, MOST_DIM) for key, n in self.dims.items()})
        put("crossing", whole("crossing", self.crossing, 1, MOST_CROSSING))
        put("cycles_per_mac", float(number("cycles_per_mac", self.cycles_per_mac)))
        if not self.cycles_per_mac > 0:
            raise InputError(f"cycles_per_mac: {self.cycles_per_mac:g}, expected a number > 0")
        if self.blocks is not None:
            put("blocks", whole("blocks", self.blocks, 1, 2**31))

    def refuse_graph_options(self, place: str, *, dims: bool = True) -> None:
        """Refuse what means nothing where there is no graph; `dims` says whether those do neither."""
        given = {
            "--crossing": self.crossing != CROSSING,
            "--blocks": self.blocks is not None,
            "--dim": dims and bool(self.dims),
        }
        for option, is_given in given.items():
            if is_given:
                raise InputError(f"{option} needs the graph of an ONNX file or torch program", place)
