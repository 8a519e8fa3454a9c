"""The paper's figures in a setting of one's own: what each varies there, and which settings can be shown."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from mecopt.errors import InputError
from mecopt.generation import Spec, generate
from mecopt.generators import own_settings
from mecopt.generators.parameters import Parameters
from mecopt.generators.values import Range, to_json
from mecopt_rl.reproduce import experiments as ex


def own_base(path: str, figures: Sequence[str]) -> ex.OwnBase:
    """Read a setting of one's own, and see that these figures can be made in it.

    Parameters
    ----------
    path : str
        The file, `mecopt.generators.own_settings`.
    figures : sequence of str

    Raises
    ------
    InputError
        If the file holds no setting, the trellis is not exact in it, or it has nothing that a figure varies.
    """
    if not path.endswith(own_settings.SUFFIX):
        raise InputError(f"--setting {path}: expected the name of a file that ends in {own_settings.SUFFIX}")
    parameters = Spec(path).parameters()
    told = {name: to_json(value) for name, value in parameters.flat().items()}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    name = re.sub(r"[^\w.-]+", "-", own_settings.read(path).name)
    _check(path, parameters, figures)
    return ex.OwnBase(path, name, digest, _sweeps(path, name))


def _check(path: str, parameters: Parameters, figures: Sequence[str]) -> None:
    """Refuse what the figures cannot show.

    Raises
    ------
    InputError
    """
    from mecopt.solving import solve

    flat = parameters.flat()
    if flat["couplings"]:
        raise InputError(
            f"couplings: {', '.join(flat['couplings'])}, expected none: the figures show the optimum, which "
            "the trellis finds where nothing joins the tasks",
            path,
        )
    if flat["deadline"] == "hard":
        raise InputError("deadline: 'hard', expected soft or none: not every scheme would be placed", path)
    if "fig12" in figures and _largest(flat["max_delay_s"]) is None:
        raise InputError("max_delay_s: none, expected a delay, which fig12 varies", path)
    if "fig13" in figures and flat["rates"] != "uniform":
        raise InputError(
            f"rates: {flat['rates']!r}, expected 'uniform' with rate_bps, which fig13 varies", path
        )
    found = solve(generate(f"{path}:slots=1", seed=0), ex.OPTIMUM)
    if found.status != "optimal":
        raise InputError(f"its instances end {found.status}, expected some that the trellis solves", path)


def _largest(value: Any) -> float | None:
    """Return the largest number of a parameter that is one, or a range; None where it is none."""
    if isinstance(value, Range):
        return value.high
    return None if value is None else float(value)


def _sweeps(path: str, own: str) -> dict[str, ex.Sweep]:
    """Return what each figure varies: the paper's values; of delays and rates its shares of the setting's."""
    flat, paper = Spec(path).parameters().flat(), ex.SWEEPS
    here = (flat["servers"],)
    blocks = tuple(count for count in paper["blocks"].values if _divides(path, count))
    changes: dict[str, dict[str, Any]] = {
        "default": {"values": here, "claimed": here, "slow": here},
        "blocks": {
            name: tuple(count for count in getattr(paper["blocks"], name) if count in blocks)
            for name in ("values", "claimed", "slow")
        },
        "link": {
            "label": "mean device-server rate, times the setting's",
            "other": {own: tuple(_short(value / ex.USUAL_RATE) for value in paper["link"].values)},
            **_share(flat["rate_bps"], ".0f"),
        },
    }
    most = _largest(flat["max_delay_s"])
    if most is not None:
        shares = [value / max(paper["delay"].values) for value in paper["delay"].values]
        scaled = _share(flat["max_delay_s"], ".6g")
        low, high = scaled["span"]
        changes["delay"] = {
            "other": {own: tuple(_short(most * share) for share in shares)},
            **scaled,
            "span": (low / most, high / most),
        }
    bases = {own: path}
    return {
        name: dataclasses.replace(sweep, bases=bases, **{"other": {}, **changes.get(name, {})})
        for name, sweep in paper.items()
    }


def _short(value: float) -> float:
    """Return a number that an axis has room for."""
    return float(f"{value:.3g}")


def _share(value: float | Range, form: str) -> dict[str, Any]:
    """Return how a share of a parameter is written: of a number, or of both ends of a range."""
    if isinstance(value, Range):
        return {"text": f"{{low:{form}}}..{{high:{form}}}", "span": (value.low, value.high)}
    return {"text": f"{{low:{form}}}", "span": (float(value), float(value))}


def _divides(path: str, count: float) -> bool:
    """Say whether the setting's network can be cut into so many blocks."""
    try:
        generate(f"{path}:slots=1,blocks={count:g}", seed=0)
    except InputError:
        return False
    return True
