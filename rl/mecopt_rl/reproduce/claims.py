"""What the paper prints, and whether it holds here: every row of paper_claims.csv judged.

The rows of paper_claims.csv are read off section 5 of H. Li et al., IEEE Trans. Mobile Computing, 2024,
doi 10.1109/TMC.2024.3357874.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np

from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce.results import Floats, Results, interval
from mecopt_rl.reproduce.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    UNDEFINED,
    above_zero,
    percent,
    plain,
    reduction_verdict,
    reductions,
    step_verdict,
    together,
)

VALUE_TOLERANCE = 0.01  # of a printed reward: the setting was calibrated to it
SETTLED = 0.01  # a training has converged when its reward stays this close to the last
SCHEMES = {"A3C": "a3c", "distributed DQN": "dqn", "greedy": "greedy"}
COLUMNS = {"total": "total_delay_s", "edge": "edge_delay_s", "local": "local_delay_s"}


@dataclass(frozen=True)
class Claim:
    """A row of paper_claims.csv."""

    where: str
    what: str
    setting: str
    against: str
    printed: str
    kind: str

    @property
    def figure(self) -> str:
        """The figure whose runs answer it; empty for the abstract."""
        number = re.match(r"Fig (\d+)", self.where)
        return f"fig{number[1]}" if number else ""


@dataclass(frozen=True)
class Finding:
    """What a setting says about a claim."""

    setting: str
    verdict: str
    ours: str
    seeds: int


Judged = tuple[str, str]  # verdict, ours


def printed_claims() -> list[Claim]:
    """Return every claim that the paper prints, in the order of the file."""
    text = (files("mecopt_rl.reproduce") / "paper_claims.csv").read_text("utf-8")
    return [Claim(**row) for row in csv.DictReader(text.splitlines())]


def judge(claim: Claim, results: Results) -> list[Finding]:
    """Return what each setting says about a claim; nothing where its figure was not run."""
    if claim.figure and claim.figure not in results.names:
        return []
    rule = RULES[claim.where, claim.what, claim.against]
    settings = ex.FIGURES[claim.figure].settings if claim.figure else ("paper", "near", "camera")
    if claim.kind == "value" and claim.figure == "fig6":
        settings = ("paper",)  # another setting has other rewards
    found = []
    for setting in settings:
        made = rule(claim, results, setting)
        if made is not None:
            found.append(_finding(setting, made, results))
    return found


def _finding(setting: str, made: Judged, results: Results) -> Finding:
    """Return a finding; a single seed decides nothing."""
    verdict, ours = made
    if results.seeds < 2 and verdict != UNDEFINED:
        verdict = UNDECIDED
    return Finding(setting, verdict, ours, results.seeds)


def derived(results: Results) -> list[tuple[Claim, list[Finding]]]:
    """Return what follows from the rewards of Fig. 6 without being printed."""
    if "fig6" not in results.names:
        return []
    found = []
    for name, printed in (("A3C", "1.03 %"), ("distributed DQN", "1.40 %")):
        claim = Claim("Fig 6", "reduction of cost, from the rewards", "default", name, printed, "reduction")
        made = [(s, _rewards(claim, results, s)) for s in ex.FIGURES["fig6"].settings]
        found.append((claim, [_finding(s, one, results) for s, one in made]))
    return found


def numbers(text: str) -> list[float]:
    """Return the numbers of a text."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", text)]


def _printed_reductions(claim: Claim, results: Results, setting: str) -> Judged:
    """Judge reductions at the points that the claim names."""
    column = next(COLUMNS[word] for word in COLUMNS if f"of {word} delay" in claim.what)
    scheme, sweep = SCHEMES[claim.against], next(iter(ex.FIGURES[claim.figure].sweeps))
    xs, ours = results.series(claim.figure, setting, ex.OURS, column)
    _, theirs = results.series(claim.figure, setting, scheme, column)
    texts, verdicts = [], []
    for place, printed in zip(numbers(claim.setting), numbers(claim.printed), strict=True):
        x = ex.SWEEPS[sweep].at(setting, place)
        row = xs.index(x)
        if not np.isfinite(theirs[row]).any():
            verdicts.append(UNDECIDED)
            texts.append(f"{x:g}: not trained in this budget")
            continue
        found = interval(reductions(theirs[row], ours[row]))
        verdicts.append(reduction_verdict(found, printed / 100))
        texts.append(f"{x:g}: {percent(found)}")
    return together(verdicts), "; ".join(texts)


def _course(results: Results, figure: str, setting: str, part: str, label: str) -> list[Any]:
    found: list[Any] = results.courses[figure, setting][part][label]
    return found


def _last(results: Results, setting: str, label: str) -> Floats:
    return np.array([one.reward[-1] for one in _course(results, "fig6", setting, "convergence", label)])


def _reward(scheme: str, claim: Claim, results: Results, setting: str) -> Judged:
    """Judge the reward at the end of the training; the recipe as printed stands beside."""
    found, printed = interval(_last(results, setting, scheme)), numbers(claim.printed)[0]
    beside = interval(_last(results, setting, f"{scheme}, as printed"))
    text = f"{plain(found)}; with the recipe as printed {plain(beside)}"
    if abs(found.mean / printed - 1) <= VALUE_TOLERANCE:
        return HOLDS, text
    within = found.low is None or found.high is None or found.low <= printed <= found.high
    return (UNDECIDED if within else FAILS), text


def _rewards(claim: Claim, results: Results, setting: str) -> Judged:
    theirs, ours = (_last(results, setting, one) for one in (SCHEMES[claim.against], ex.OURS))
    found = interval(reductions(-theirs, -ours))
    beside = interval(
        reductions(
            -_last(results, setting, f"{SCHEMES[claim.against]}, as printed"),
            -_last(results, setting, f"{ex.OURS}, as printed"),
        )
    )
    verdict = reduction_verdict(found, numbers(claim.printed)[0] / 100)
    return verdict, f"{percent(found)}; both as printed {percent(beside)}"


def settled(course: Any) -> int:
    """Return the episodes after which the reward stays within `SETTLED` of the last."""
    reward = np.array(course.reward)
    away = np.flatnonzero(np.abs(reward - reward[-1]) > SETTLED * abs(reward[-1]))
    return int(course.episodes[away[-1] + 1 if len(away) else 0])


def _start(scheme: str, claim: Claim, results: Results, setting: str) -> Judged:
    """Judge after how many episodes a scheme converges."""
    label, printed = f"{scheme}, as printed", numbers(claim.printed)[0]
    found = interval([settled(c) for c in _course(results, "fig6", setting, "convergence", label)])
    best = interval([settled(c) for c in _course(results, "fig6", setting, "convergence", scheme)])
    text = (
        f"{plain(found, 4)} as printed, {plain(best, 4)} with the best recipe, of {results.budget.episodes}"
    )
    if results.budget.episodes < printed:
        return UNDECIDED, f"{text} episodes of {results.budget.slots} slots: shorter than the paper's"
    within = found.low is None or found.high is None or found.low <= printed <= found.high
    return (HOLDS if within and found.low is not None else UNDECIDED if within else FAILS), f"{text} episodes"


def _still(claim: Claim, results: Results, setting: str) -> Judged:
    """Judge that schemes without learning stay where they are."""
    texts, verdicts = [], []
    for scheme in ex.PAPER_BASELINES:
        _, cost = results.series("fig6", setting, scheme, "objective")
        if cost.shape[1] < 2:
            verdicts.append(UNDECIDED)
            continue
        spread = float(np.ptp(cost) / cost.mean())
        verdicts.append(HOLDS if spread <= 0.05 else FAILS)
        texts.append(f"{scheme} within {100 * spread:.2g} %")
    return together(verdicts), "they do not learn; between episodes " + ", ".join(texts)


def _best_of(
    part: str, measure: Callable[[Any], float], claim: Claim, results: Results, setting: str
) -> Judged:
    """Judge that what the paper found best of several trainings is best here."""
    shown = results.courses["fig7", setting][part]
    own = {label: np.array([measure(one) for one in courses]) for label, courses in shown.items()}
    label = f"{numbers(claim.printed)[0]:g}"
    text = "; ".join(f"{name}: {plain(interval(values), 5)}" for name, values in own.items())
    if label not in own:
        return UNDECIDED, f"{text}; {label} is not in this budget"
    verdicts = []
    for other, values in own.items():
        if other != label:
            verdicts.append(above_zero(interval(own[label] - values)))
    verdict = together(verdicts)
    if part == "learning rate" and verdict == HOLDS:
        return UNDECIDED, f"{text}; one trunk has one rate, so the mixed pairs were not run"
    return verdict, text


def _last_reward(course: Any) -> float:
    return float(course.reward[-1])


def _mean_reward(course: Any) -> float:
    return float(np.mean(course.reward))


def _trend(
    figure: str, sweep: str, column: str, rising: bool, claim: Claim, results: Results, setting: str
) -> Judged:
    xs, values = results.series(figure, setting, ex.OURS, column, sweep)
    return step_verdict(values, rising), _listed(xs, values)


def _listed(xs: Sequence[float], values: Floats) -> str:
    return "; ".join(f"{x:g}: {np.nanmean(row):,.4g}" for x, row in zip(xs, values, strict=True))


def _gap_grows(claim: Claim, results: Results, setting: str) -> Judged:
    """Judge that ours leads by ever more seconds from 50 on, and least at 50."""
    xs, ours = results.series("fig10", setting, ex.OURS, "total_delay_s")
    theirs = [results.series("fig10", setting, one, "total_delay_s")[1] for one in ex.BASELINES]
    lead = np.mean([one for one in theirs if np.isfinite(one).all()], axis=0) - ours
    least = interval(np.delete(lead, xs.index(50), axis=0).min(axis=0) - lead[xs.index(50)])
    grows = step_verdict(lead[xs.index(50) :], True)
    return together([above_zero(least), grows]), "mean lead in seconds, " + _listed(xs, lead)


def _valley(claim: Claim, results: Results, setting: str) -> Judged:
    """Judge that the delay first falls, then rises."""
    xs, values = results.series("fig12", setting, ex.OURS, "total_delay_s")
    middle = int(np.nanargmin(np.nanmean(values, axis=1)))
    found = _listed(xs, values)
    if middle in (0, len(xs) - 1):
        return FAILS, found
    return together([step_verdict(values[: middle + 1], False), step_verdict(values[middle:], True)]), found


def _links(claim: Claim, results: Results, setting: str) -> Judged:
    """Judge that delay falls with the rate, and the order of the four networks at every rate."""
    by_name = {
        name: results.series("fig13", setting, ex.OURS, "total_delay_s", "link", name)
        for name in ex.NETWORKS[setting]
    }
    verdicts = [step_verdict(values, False) for _, values in by_name.values()]
    mean = {name: np.nanmean(values, axis=1) for name, (_, values) in by_name.items()}
    order, table = list(mean), np.array(list(mean.values()))
    slowest, fastest = order.index("resnet32-cifar10"), order.index("nin-cifar10")
    ordered = (table.argmax(axis=0) == slowest).all() and (table.argmin(axis=0) == fastest).all()
    verdicts.append(HOLDS if ordered else FAILS)
    text = "; ".join(
        f"{name.partition('-')[0]} {values[0]:,.3g} to {values[-1]:,.3g} s" for name, values in mean.items()
    )
    return together(verdicts), text


def _averages(claim: Claim, results: Results, setting: str) -> Judged | None:
    """Judge the mean reductions over the paper's baselines and all points of Figures 8, 9, 10 and 12."""
    names = [n for n in ("fig8", "fig9", "fig10", "fig12") if n in results.names]
    if not names:
        return None
    texts, verdicts = [], []
    for (word, column), printed in zip(COLUMNS.items(), numbers(claim.printed), strict=True):
        shares = []
        for name in names:
            _, ours = results.series(name, setting, ex.OURS, column)
            for scheme in ex.BASELINES:
                _, theirs = results.series(name, setting, scheme, column)
                shares.append(reductions(theirs, ours)[np.isfinite(theirs).any(axis=1)])
        every = np.concatenate(shares)
        defined = np.isfinite(every).all(axis=1)
        if not defined.any():
            verdicts.append(UNDEFINED)
            texts.append(f"{word}: undefined")
            continue
        found = interval(every[defined].mean(axis=0))
        few = defined.mean() < 0.5
        verdicts.append(UNDEFINED if few else reduction_verdict(found, printed / 100))
        rest = f" (undefined at {100 * (1 - defined.mean()):.0f} %)" if not defined.all() else ""
        texts.append(f"{word}: {percent(found)}{rest}")
    return together(verdicts), "; ".join(texts)


def _rules() -> Iterator[tuple[tuple[str, str, str], Callable[[Claim, Results, str], Judged | None]]]:
    """Yield who judges which row."""
    for name, scheme in (("MTL-A3C", ex.OURS), ("A3C", "a3c"), ("distributed DQN", "dqn")):
        yield ("Fig 6", f"converged reward per episode of {name}", ""), partial(_reward, scheme)
    for name, scheme in (("MTL-A3C", ex.OURS), ("distributed DQN", "dqn")):
        yield ("Fig 6", f"episodes until {name} starts to converge", ""), partial(_start, scheme)
    yield ("Fig 6", "greedy APDI and RPDI do not change over episodes", ""), _still
    yield (
        ("Fig 7a", "best learning rates of actor and critic among 0.01 and 0.001", ""),
        partial(_best_of, "learning rate", _last_reward),
    )
    yield (
        ("Fig 7b", "number of work nodes with the fastest convergence", ""),
        partial(_best_of, "workers", _mean_reward),
    )
    yield ("Fig 7c", "batch size with the best reward", ""), partial(_best_of, "batch size", _last_reward)
    for claim in printed_claims():
        if claim.kind == "reduction" and claim.figure:
            yield (claim.where, claim.what, claim.against), _printed_reductions
    yield (
        ("Fig 9a", "total delay falls as blocks grow", ""),
        partial(_trend, "fig9", "blocks", "total_delay_s", False),
    )
    yield ("Fig 10", "gap to baselines grows with the release rate and is smallest at 50", ""), _gap_grows
    for letter, text, sweep, rising in (
        ("a", "energy falls as servers grow", "servers", False),
        ("b", "energy rises slightly as blocks grow", "blocks", True),
        ("c", "energy rises with the release rate", "rate", True),
    ):
        yield (f"Fig 11{letter}", text, ""), partial(_trend, "fig11", sweep, "energy_j", rising)
    yield (
        ("Fig 12a", "total delay first falls then rises with the largest tolerable delay", ""),
        _valley,
    )
    yield (
        ("Fig 13", "total delay falls as link capacity grows; ResNet32 slowest; NiN fastest", ""),
        _links,
    )
    yield ("abstract", "average reduction of total / edge / local delay over the baselines", ""), _averages


RULES = dict(_rules())
