"""The page of a reproduction, in Markdown, and its tables for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt._version import __version__
from mecopt_rl.reproduce import claims as cl
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce import running as run
from mecopt_rl.reproduce.results import BEST_OTHER, Results
from mecopt_rl.reproduce.verdicts import FAILS, HOLDS, UNDECIDED, UNDEFINED

if TYPE_CHECKING:
    import pandas as pd

NOT_RUN = "not run"
LEAD = 0.01  # of the objective: how far the learner has to be ahead of a baseline


@dataclass(frozen=True)
class ClaimAnswer:
    """A claim of the paper, or one derived from its numbers, with what every setting says about it."""

    claim: cl.Claim
    findings: list[cl.Finding]
    derived: bool = False

    @property
    def verdict(self) -> str:
        """The verdict of the setting that the claim is about: a local delay needs a device worth using."""
        home = "near" if "local delay" in self.claim.what and self.claim.figure else "paper"
        return next((found.verdict for found in self.findings if found.setting == home), NOT_RUN)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **asdict(self.claim),
            "derived": self.derived,
            "verdict": self.verdict,
            "findings": [asdict(f) for f in self.findings],
        }


def answers(results: Results) -> list[ClaimAnswer]:
    """Return every claim of the paper with its findings, and what follows from its rewards."""
    if results.budget.own is not None:  # the paper says nothing of it
        return []
    found = [ClaimAnswer(claim, cl.judge(claim, results)) for claim in cl.printed_claims()]
    return found + [ClaimAnswer(claim, made, derived=True) for claim, made in cl.derived(results)]


def verdicts(given: Sequence[ClaimAnswer]) -> str:
    """Return how many of the printed claims got which verdict, in one line; nothing where none was judged."""
    if not given:
        return ""
    printed = [answer for answer in given if not answer.derived]
    count = Counter(answer.verdict for answer in printed)
    order = (HOLDS, FAILS, UNDECIDED, UNDEFINED, NOT_RUN)
    told = ", ".join(f"{count[name]} {name}" for name in order if count[name])
    return f"{len(printed)} printed claims, in the setting that each is about: {told}"


def varied(results: Results) -> list[dict[str, Any]]:
    """Return for every varied choice what schemes cost above the optimum, and whether the order holds."""
    rows = results.rows[results.rows["figure"] == run.VARIED]
    found = []
    for (choice, value), own in rows.groupby(["sweep", "network"], sort=False):
        mean = own.groupby("scheme")[["objective", "total_delay_s", "local_delay_s", "energy_j"]].mean()
        objective: dict[Any, float] = mean["objective"].to_dict()
        optimum: dict[Any, float] = mean.loc[ex.OPTIMUM].to_dict()
        excess = {name: float(objective[name] / optimum["objective"] - 1) for name in objective}
        ours, others = objective[ex.ANY_SIZE], [float(objective[name]) for name in ex.PAPER_BASELINES]
        found.append(
            {
                "choice": str(choice),
                "value": str(value),
                "optimum_s": float(optimum["total_delay_s"]),
                "local_share": float(optimum["local_delay_s"] / optimum["total_delay_s"]),
                "energy_j": float(optimum["energy_j"]),
                "excess": {n: max(excess[n], 0.0) for n in (ex.ANY_SIZE, *ex.PAPER_BASELINES, BEST_OTHER)},
                "best_other": str(own[own["scheme"] == BEST_OTHER]["stands_for"].iloc[0]),
                "learner_first": bool(ours <= (1 - LEAD) * min(others)),
                "greedy_apdi_rpdi": bool(others == sorted(others)),
            }
        )
    return found


def tables(results: Results, given: Sequence[ClaimAnswer]) -> dict[str, bytes]:
    """Return the raw tables as CSV."""
    import pandas as pd

    trainings = [
        (figure, setting, part, label, run.FIRST_TRAINING + seed, *values, course.collapsed, course.cpu_s)
        for (figure, setting), parts in results.courses.items()
        for part, shown in parts.items()
        for label, courses in shown.items()
        for seed, course in enumerate(courses)
        for values in zip(course.episodes, course.reward, course.gap, strict=True)
    ]
    names = [
        "figure",
        "setting",
        "part",
        "training",
        "seed",
        "episodes",
        "reward_per_600_slots",
        "gap",
        "collapsed",
        "cpu_s",
    ]
    judged = [
        (*asdict(answer.claim).values(), found.setting, found.verdict, found.ours, found.seeds)
        for answer in given
        for found in (answer.findings or [cl.Finding("", NOT_RUN, "", 0)])
    ]
    heads = ["where", "what", "at", "against", "printed", "kind", "setting", "verdict", "ours", "seeds"]
    found = {
        "runs.csv": _csv(results.rows),
        "trainings.csv": _csv(pd.DataFrame(trainings, columns=names)),
    }
    return found if results.budget.own else found | {"claims.csv": _csv(pd.DataFrame(judged, columns=heads))}


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, float_format="%.7g", lineterminator="\n").encode()


def page(
    results: Results, given: Sequence[ClaimAnswer], varied: Sequence[dict[str, Any]], command: str
) -> str:
    """Return the page."""
    if results.budget.own is not None:
        return "\n".join([*_own_head(results, command), *_figures(results), *_end("")]) + "\n"
    parts = [
        *_head(results, given, command), *_claims(given), *_figures(results), *_choices(varied),
        *_end(" `claims.csv`: the verdicts."),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def which(results: Results) -> str:
    """Name the figures that were made."""
    numbers = [name.removeprefix("fig") for name in results.names]
    if len(numbers) == len(ex.FIGURES):
        return "All figures"
    return f"Figure{'s' * (len(numbers) != 1)} {', '.join(numbers)}"


def _head(results: Results, given: Sequence[ClaimAnswer], command: str) -> Iterator[str]:
    budget, spent = results.budget, sum(results.cpu_s.values())
    yield f"# {which(results)} of the paper made again at budget {budget.name}, with the optimum"
    yield ""
    yield "Figures 6 to 13 of H. Li et al., IEEE Trans. Mobile Computing, 2024, doi 10.1109/TMC.2024.3357874."
    yield ""
    yield f"    {command}"
    yield ""
    yield (
        f"Budget `{budget.name}`: instances and episodes of {budget.slots} slots, trainings of "
        f"{budget.episodes} episodes, {results.seeds} seed{'s' * (results.seeds != 1)}; mecopt "
        f"{__version__}; {spent / 60:.0f} CPU minutes of trainings and runs."
    )
    full = ex.BUDGETS["full"]
    if budget.episodes * budget.slots < full.episodes * full.slots:
        yield (
            f"The paper's MTL-A3C starts to converge after {full.episodes} episodes of {full.slots} "
            "slots, its DQN after 2,000, so what a learner is worth here is its worth after a shorter "
            f"training. `--budget full` trains for {full.episodes}."
        )
    yield ""
    yield f"**{verdicts(given)}.**"
    if len(results.names) < len(ex.FIGURES):
        yield f"Only {which(results)} of Figures 6 to 13 {'is' if len(results.names) == 1 else 'are'} here."
    yield ""
    for name, about in ex.SETTINGS.items():
        yield f"- `{name}`: {about}"
    yield ""


def _own_head(results: Results, command: str) -> Iterator[str]:
    budget, spent = results.budget, sum(results.cpu_s.values())
    assert budget.own is not None
    yield f"# Figures as the paper's, in setting {budget.own.name}"
    yield ""
    yield f"    {command}"
    yield ""
    yield (
        f"What Figures 6 to 13 of doi 10.1109/TMC.2024.3357874 vary, varied in `{budget.own.name}` "
        f"(parameters {budget.own.sha256[:8]}), with the optimum. No number of the paper is judged: it has "
        f"none of this setting. Budget `{budget.name}`: instances and episodes of {budget.slots} slots, "
        f"trainings of {budget.episodes} episodes, {results.seeds} seed{'s' * (results.seeds != 1)}; mecopt "
        f"{__version__}; {spent / 60:.1f} CPU minutes of trainings and runs."
    )
    left = {f"{x:g}" for x in ex.SWEEPS["blocks"].values} - {
        f"{x:g}" for x in ex.sweeps(budget)["blocks"].values
    }
    if left and {"fig9", "fig11"} & set(results.names):
        counts = ", ".join(sorted(left, key=int))
        yield f"Its network cannot be cut into {counts} blocks, so these are left out."
    yield ""


def _claims(given: Sequence[ClaimAnswer]) -> Iterator[str]:
    yield "## Printed and found"
    yield ""
    yield (
        "A reduction is (baseline - ours) / baseline, ours is mtl-a3c with the recipe that works best "
        "here; in brackets the 95 % t interval over seeds. It *holds* where the interval lies above 0 "
        "and reaches the printed value, *fails* where it stays below it, is *undefined* against a "
        "baseline of zero, else *undecided*. A claim of several numbers holds when all do. A reward "
        "holds within 1 %, since the setting was calibrated to it; an order holds when every step is "
        "larger than 0.1 % and its interval has one sign."
    )
    yield ""
    yield "| where | what the paper says | printed | setting | verdict | found |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for answer in given:
        head = (answer.claim.where, _said(answer.claim), answer.claim.printed)
        for found in answer.findings or [cl.Finding("", NOT_RUN, "its figure was not asked for", 0)]:
            yield "| " + " | ".join((*head, found.setting, f"**{found.verdict}**", found.ours)) + " |"
            head = ("", "", "")
    yield ""


def _said(claim: cl.Claim) -> str:
    """Return what is claimed, with the baseline and the place where it is."""
    against = f" over {claim.against}" if claim.against else ""
    place = "" if claim.setting in ("", "default") else f", {claim.setting}"
    return f"{claim.what}{against}{place}"


CAPTIONS = {
    "fig6": "Every validation during the trainings; lines across are schemes that do not learn. `as "
    "printed` is the recipe with the paper's own settings, the others mecopt's best. The left panel is "
    "cut at 1.5 times the optimum.",
    "fig7": "mtl-a3c with the recipe as printed, one setting changed at a time.",
    "fig10": "A batch is one task, so all delays grow with its size in proportion, but for deadlines.",
    "fig11": "The runs of Figures 8 to 10.",
    "fig12": "The delay without the penalty. In `camera` the deadlines are 0.02 to 0.4 s.",
    "fig13": "Networks of 224 x 224 inputs are here AlexNet and VGG16 only; NiN and ResNet32 are those "
    "of CIFAR-10. Rates are drawn per slot and server from 0.57 to 1.43 of the mean on the axis.",
}


GENERAL = ("fig6", "fig7", "fig10", "fig11")  # whose caption holds in any setting
SCOPES = {
    "some": " In this budget a3c and dqn are trained only where a claim names them, and hardly in `near`.",
    "claims": " In this budget a3c and dqn are trained only where a claim of the paper names them.",
    "all": "",
}


def _figures(results: Results) -> Iterator[str]:
    scope = "claims" if results.budget.own and results.budget.scope == "some" else results.budget.scope
    yield "## Figures"
    yield ""
    yield (
        "Lines are means over seeds, bands reach from the least to the greatest. The best other baseline "
        "is, at each point, the best of those that the paper does not compare with: "
        f"{', '.join(ex.OTHER_BASELINES)}. `any-size` is one policy that ships with mecopt and was not "
        f"trained here.{SCOPES[scope]}"
    )
    yield ""
    for name in results.names:
        yield f"### {name.replace('fig', 'Figure ')}: {ex.FIGURES[name].title.lower()}"
        yield ""
        if name in CAPTIONS and (results.budget.own is None or name in GENERAL):
            yield CAPTIONS[name]
            yield ""
        for setting in ex.settings(name, results.budget):
            text = " ".join(
                filter(None, (_summary(results, name, setting), _collapsed(results, name, setting)))
            )
            yield f"![{ex.FIGURES[name].title}, {setting}](figures/{name}_{setting}.png)"
            yield ""
            if text:
                yield f"`{setting}`: {text}"
                yield ""


def summaries(results: Results) -> dict[str, dict[str, str]]:
    """Return for every figure and setting what schemes cost above the optimum, in words."""
    return {
        name: {setting: _summary(results, name, setting) for setting in ex.settings(name, results.budget)}
        for name in results.names
    }


def _collapsed(results: Results, figure: str, setting: str) -> str:
    """Return which trainings ended with one placement for nearly all tasks."""
    parts = results.courses.get((figure, setting), {})
    found = [
        f"{label if part == 'convergence' else f'{part} {label}'} ({len(bad)} of {len(courses)})"
        for part, shown in parts.items()
        for label, courses in shown.items()
        if (bad := [course for course in courses if course.collapsed])
    ]
    return f"Collapsed to one placement at every validation: {', '.join(found)}." if found else ""


def _summary(results: Results, figure: str, setting: str) -> str:
    """Return what schemes cost above the optimum over all points of a figure."""
    rows = results.rows[(results.rows["figure"] == figure) & (results.rows["setting"] == setting)]
    parts = []
    for scheme in (ex.OURS, *ex.SLOW, *ex.PAPER_BASELINES, ex.ANY_SIZE, BEST_OTHER):
        own = rows[rows["scheme"] == scheme]
        if len(own) and figure != "fig11":
            parts.append(f"{scheme} {100 * (own['objective'].sum() / _optimum(rows, own) - 1):.3g} %")
    others = Counter(rows[rows["scheme"] == BEST_OTHER]["stands_for"])
    named = ", ".join(name for name, _ in others.most_common())
    return f"above the optimum: {', '.join(parts)} ({named})." if parts else ""


def _optimum(rows: pd.DataFrame, own: pd.DataFrame) -> float:
    best = rows[rows["scheme"] == ex.OPTIMUM]
    keys = ["sweep", "x", "network", "seed"]
    return float(own[keys].merge(best[[*keys, "objective"]], on=keys)["objective"].sum())


def _choices(varied: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## What the paper does not print"
    yield ""
    yield (
        "Chosen so that the optimum meets the printed -18.3e3 and greedy its printed distance "
        "(mecopt/mecopt/data/regimes.json). Also chosen: the workers and batch sizes tried in Fig. 7, the "
        "rates of Fig. 13, widths and schedules of the learners (docs/methods)."
    )
    yield ""
    yield "| choice | | chosen | varied |"
    yield "| --- | --- | --- | --- |"
    for choice in ex.CHOICES:
        values = "; ".join(", ".join(changes.values()) for changes in choice.others)
        yield f"| {choice.name} | {choice.about} | {choice.chosen} | {values} |"
    yield ""
    yield (
        "For which choices does the paper's order hold? Setting `paper` with one choice changed; per "
        f"cent above the optimum. *Learner first*: any-size at least {100 * LEAD:.0f} % below greedy, "
        "APDI and RPDI. The last column is the order that the chosen setting gives."
    )
    yield ""
    yield (
        "| choice | value | optimum [s] | of it local | any-size | greedy | APDI | RPDI | best other | "
        "learner first | greedy < APDI < RPDI |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in varied:
        shares = [
            f"{100 * row['excess'][name]:.3g}" for name in (ex.ANY_SIZE, *ex.PAPER_BASELINES, BEST_OTHER)
        ]
        shares[-1] += f" ({row['best_other']})"
        marks = ["yes" if row[name] else "**no**" for name in ("learner_first", "greedy_apdi_rpdi")]
        head = (row["choice"], row["value"], f"{row['optimum_s']:,.4g}", f"{100 * row['local_share']:.0f} %")
        yield "| " + " | ".join((*head, *shares, *marks)) + " |"
    held = [row["learner_first"] for row in varied]
    yield ""
    yield f"The learner comes first in {int(np.sum(held))} of {len(held)} cases."
    yield ""


def _end(claims: str) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield (
        "`runs.csv`: every scheme on every instance (`stands_for` names the best other baseline). "
        f"`trainings.csv`: rewards and gaps of the curves.{claims} `figures/`: every "
        "figure as SVG and PNG."
    )
