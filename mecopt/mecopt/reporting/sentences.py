"""What the page says in sentences: its summary, and what to know before believing the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mecopt.reporting import statistics as st
from mecopt.reporting.style import percent
from mecopt.text import visible

if TYPE_CHECKING:
    from mecopt.reporting.numbers import Numbers

TRIVIAL = 0.95  # an instance is trivial when so many tasks have a free optimum on one node


def summary(numbers: Numbers) -> list[str]:
    """Return the two sentences that say what came out, and what to beware of."""
    ranking = numbers.ranking()
    total, methods, runs = len(numbers.instances), len(numbers.labels), len(numbers.runs)
    subject = f"{counted(methods, 'method')} on {counted(total, 'instance')}"
    if not ranking:
        first = (
            f"Of {subject}, no run ended with a feasible placement and a bound: there is no gap to report."
        )
    else:
        best = ranking[0]
        first = f"Of {subject}, {best['method']} came closest to the best bounds known ({_worth(best)})"
        if len(ranking) > 1:
            first += f"; next is {ranking[1]['method']} ({_worth(ranking[1])})"
            last = max(ranking, key=lambda row: row["gaps"]["mean"]["value"])
            if len(ranking) > 2 and last is not ranking[1]:
                first += f", and furthest {last['method']} ({_worth(last)})"
        first += "."
    bad = numbers.runs[~numbers.runs["placed"]]["status"].value_counts()
    trivial = int((numbers.instances["mixed_share"].astype(float) < 1 - TRIVIAL).sum())
    parts = []
    if len(bad):
        kinds = ", ".join(f"{n:,} {status}" for status, n in bad.items())
        parts.append(
            f"{bad.sum():,} of {runs:,} runs have no feasible placement ({kinds}) and are counted apart"
        )
    else:
        parts.append(f"all {runs:,} runs ended with a feasible placement")
    if trivial:
        parts.append(
            f"on {trivial} of {total} instances less than 5 % of the tasks would split their blocks, so "
            "that a small gap there says little"
        )
    second = ", and ".join(parts)
    return [first, f"{second[0].upper()}{second[1:]}."]


def _worth(row: dict[str, Any]) -> str:
    mean, worst = row["gaps"]["mean"]["value"], row["gaps"]["worst"]["value"]
    where = f"on the {row['instances']} of {row['of_instances']} that it placed"
    return f"mean gap {percent(mean)} %, worst {percent(worst)} %, {where}"


def warnings(comparison: Any, numbers: Numbers) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    found = []
    told = numbers.contradictions[numbers.contradictions.notna()]
    if len(told):
        worst = next(st.records(numbers.runs.loc[told.index[:1]]))
        found.append(
            f"{counted(len(told), 'run')} cannot be right, for instance {worst.label} on {worst.instance}: "
            f"{told.iloc[0]}."
        )
    wrong = numbers.runs[numbers.runs["gap_used"] < 0]
    if len(wrong):
        worst = next(st.records(wrong.nsmallest(1, "gap_used")))
        found.append(
            f"{counted(len(wrong), 'run')} lie below a bound that another method proved, for instance "
            f"{worst.label} on {worst.instance}: a bound or a value is wrong, and these gaps cannot be "
            "trusted."
        )
    pending = getattr(comparison, "pending", 0)
    if pending:
        found.append(f"The comparison is not finished: {counted(pending, 'run')} still to be made.")
    unbounded = int((numbers.runs["placed"] & numbers.runs["gap_used"].isna()).sum())
    if unbounded:
        found.append(f"{counted(unbounded, 'placement')} without a bound to compare with have no gap.")
    outdated = getattr(comparison, "outdated", None)
    if outdated is not None and len(outdated):
        names = ", ".join(visible(str(name)) for name in outdated["method"].unique())
        found.append(f"{counted(len(outdated), 'run')} of earlier code ({names}) are kept, and not in here.")
    if numbers.runs["mecopt_version"].nunique() > 1:
        found.append("The runs were made with several versions of mecopt.")
    if numbers.runs["host"].nunique() > 1:
        found.append("The runs were made on several machines; their times are not comparable.")
    return found


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
