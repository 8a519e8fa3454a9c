"""What is run for each figure of the paper: settings, sweeps, schemes and budgets, and nothing else.

Figures 6 to 13 of H. Li et al., IEEE Trans. Mobile Computing, 2024, doi 10.1109/TMC.2024.3357874.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mecopt.errors import InputError
from mecopt.generation import Spec
from mecopt.generators.parameters import canonical
from mecopt.generators.values import from_text

REWARD_SLOTS = 600  # the paper's episode; rewards of shorter ones are scaled to it

OURS = "mtl-a3c"
OPTIMUM = "trellis"
ANY_SIZE = "any-size"
PAPER_BASELINES = ("greedy", "apdi", "rpdi")
OTHER_BASELINES = ("local", "best-server", "best-node", "best-constant", "single-cut", "greedy-arc")
BASELINES = ("a3c", "dqn", *PAPER_BASELINES)  # those that the paper compares with
SLOW = ("a3c", "dqn")  # one action a placement: 5 to 8 times the cost of the others
FIRST_SEED = 1000  # of the instances on which schemes are compared; trainings never see these


@dataclass(frozen=True)
class OwnBase:
    """A setting of one's own in which figures are made, `mecopt_rl.reproduce.own_axes`."""

    path: str
    name: str  # without what no file is called
    sha256: str  # of its parameters
    sweeps: Mapping[str, Sweep] = field(compare=False, repr=False)  # what figures vary there


@dataclass(frozen=True)
class Budget:
    """How much is run, and in which settings.

    Attributes
    ----------
    slots : int
        T of every instance and episode.
    episodes, round_episodes, validation_episodes : int
        Of a training, between two validations, and of a validation.
    seeds : int
        Trainings and instances of each point, paired: training s meets instance s.
    changes : tuple of (str, number)
        To recipe `best` of `BATCHED`.
    scope : {"some", "claims", "all"}
        Where: all values and learners; those that claims name; these without most of setting ``near``.
    own : OwnBase, optional
        The setting of one's own that takes the place of the paper's.
    """

    name: str
    slots: int
    episodes: int
    round_episodes: int
    validation_episodes: int
    seeds: int
    changes: tuple[tuple[str, Any], ...] = ()
    scope: Literal["some", "claims", "all"] = "all"
    own: OwnBase | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what a reproduction is told apart by, but its number of seeds: more make no other one."""
        told = asdict(self)
        del told["seeds"]
        if self.own is None:
            del told["own"]
        else:
            del told["own"]["sweeps"]  # they follow from the parameters
        return told


def _batches(environments: int) -> tuple[tuple[str, Any], ...]:
    return (("environments", environments), ("temperature_end", 0.002))


BATCHED = (OURS, "markov-a3c")
BUDGETS = {  # a short training needs more updates, so smaller batches
    "quick": Budget("quick", 100, 120, 8, 2, seeds=2, changes=_batches(30), scope="some"),
    "medium": Budget("medium", 600, 100, 10, 5, seeds=5, changes=_batches(60), scope="claims"),
    "full": Budget("full", 600, 400, 20, 20, seeds=5),
}

SETTINGS = {
    "paper": "the paper's setting as calibrated: a device four times slower than a server, batches of 60",
    "near": "the same with a device as fast as a server (paper-near): here an optimum has local delay",
    "camera": "camera frames of 224 x 224 (camera-alexnet, camera-vgg): here methods differ",
}


@dataclass(frozen=True)
class Sweep:
    """One quantity that a figure varies.

    Attributes
    ----------
    label : str
        Of the axis.
    parameter : str
        Of the generator.
    values, claimed, slow : tuple
        All values; those that claims name, and the ends; those where they name the slow learners.
    bases : dict
        Named regime of each setting.
    shared : bool
        One training for all values: they do not change the shape of what a policy sees.
    other : dict
        Values of a setting that needs others than the paper's, in the same order.
    text : str
        How a value is written for the generator.
    span : (float, float)
        What `low` and `high` in the text are at a value of 1.
    """

    label: str
    parameter: str
    values: tuple[float, ...]
    claimed: tuple[float, ...]
    slow: tuple[float, ...]
    bases: Mapping[str, str]
    shared: bool = False
    other: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    text: str = "{x:g}"
    span: tuple[float, float] = (0.0, 0.0)

    def at(self, setting: str, value: float) -> float:
        """Return the value of a setting that stands where `value` stands in the paper's."""
        return self.other[setting][self.values.index(value)] if setting in self.other else value

    def write(self, x: float) -> str:
        """Return a value as the generator reads it."""
        return self.text.format(x=x, low=x * self.span[0], high=x * self.span[1])


USUAL_RATE = 1.4  # MB/s, of the paper's links on average
PLAIN = {"paper": "paper", "near": "paper-near", "camera": "camera-alexnet"}
NETWORKS = {
    "paper": ("nin-cifar10", "alexnet-cifar10", "vgg16-cifar10", "resnet32-cifar10"),
    "camera": ("nin-cifar10", "alexnet-224", "vgg16-224", "resnet32-cifar10"),
}
SWEEPS = {
    "default": Sweep("", "servers", (4,), (4,), (4,), PLAIN),
    "servers": Sweep(
        "edge servers", "servers", tuple(range(2, 10)), (2, 3, 4, 6, 7, 9), (3, 4, 6, 7), PLAIN
    ),
    "blocks": Sweep(
        "blocks", "blocks", (3, 6, 9, 12, 15, 18), (3, 6, 9, 15, 18), (3, 6, 9),
        {**PLAIN, "camera": "camera-vgg"},  # AlexNet has no 18 blocks
    ),
    "rate": Sweep(
        "inferences per slot", "release_rate", tuple(range(30, 111, 10)), (30, 50, 70, 110),
        (30, 50, 70, 110), PLAIN, shared=True,
    ),
    "delay": Sweep(
        "largest tolerable delay [s]", "max_delay_s", (1, 2, 3, 4, 5, 6, 7), (1, 3, 5, 7), (1, 3, 5, 7),
        {**PLAIN, "camera": "camera-alexnet-deadline"}, shared=True,
        other={"camera": (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)},
    ),
    "link": Sweep(
        "mean device-server rate [MB/s]", "rate_bps", (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 5.6),
        (0.7, 1.4, 2.8, 5.6), (), PLAIN, shared=True, text="{low:.0f}..{high:.0f}",
        span=(6.4e6 / USUAL_RATE, 16e6 / USUAL_RATE),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper."""

    name: str
    title: str
    sweeps: tuple[str, ...]
    settings: tuple[str, ...] = ("paper", "camera")
    learners: tuple[str, ...] = (OURS, *SLOW, "markov-a3c")


FIGURES = {
    figure.name: figure
    for figure in (
        PaperFigure("fig6", "Convergence", ("default",)),
        PaperFigure("fig7", "Learning rate, workers, batch size", (), learners=(OURS,)),
        PaperFigure("fig8", "Delay against the number of servers", ("servers",), ("paper", "near", "camera")),
        PaperFigure("fig9", "Delay against the number of blocks", ("blocks",), ("paper", "near", "camera")),
        PaperFigure("fig10", "Delay against the release rate", ("rate",), ("paper", "near", "camera")),
        PaperFigure(
            "fig11", "Energy against servers, blocks and release rate", ("servers", "blocks", "rate")
        ),
        PaperFigure(
            "fig12", "Delay against the largest tolerable delay", ("delay",), ("paper", "near", "camera")
        ),
        PaperFigure("fig13", "Delay against the link, four networks", ("link",), learners=(OURS,)),
    )
}


def settings(figure: str, budget: Budget) -> tuple[str, ...]:
    """Return the settings in which a figure is made."""
    return FIGURES[figure].settings if budget.own is None else (budget.own.name,)


def sweeps(budget: Budget) -> Mapping[str, Sweep]:
    """Return what figures vary."""
    return SWEEPS if budget.own is None else budget.own.sweeps


def networks(setting: str, budget: Budget) -> tuple[str, ...]:
    """Return the networks of Fig. 13; that of a setting of one's own goes without a name."""
    return NETWORKS[setting] if budget.own is None else ("",)


def figures(names: Iterable[str]) -> tuple[str, ...]:
    """Return the figures of the names, in the paper's order; ``all`` is all of them.

    Raises
    ------
    InputError
        If there is none of a name; the nearest are offered.
    """
    wanted: set[str] = set()
    for name in names:
        plain = name.strip().lower().replace("figure", "fig").replace(" ", "").replace(".", "")
        plain = f"fig{plain}" if plain.isdigit() else plain
        if plain == "all":
            wanted |= set(FIGURES)
        elif plain in FIGURES:
            wanted.add(plain)
        else:
            near = difflib.get_close_matches(plain, [*FIGURES, "all"], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(FIGURES)}, all"
            raise InputError(f"no figure {name!r}; {hint}")
    return tuple(name for name in FIGURES if name in wanted)


@dataclass(frozen=True)
class Train:
    """A training, without its seed."""

    spec: str
    learner: str
    recipe: str = "best"
    changes: tuple[tuple[str, Any], ...] = ()
    workers: int = 1

    @property
    def label(self) -> str:
        """Name of the scheme: the recipe beside the learner when it is the paper's."""
        return self.learner if self.recipe == "best" else f"{self.learner}, as printed"


@dataclass(frozen=True)
class Point:
    """One place on the axis of a figure: what is generated, which policies meet it."""

    sweep: str
    setting: str
    x: float
    spec: str  # of the instance, without its seed
    network: str  # of Fig. 13, else empty
    trainings: tuple[Train, ...]


def spec(base: str, changes: Mapping[str, str]) -> str:
    """Return the text of a setting with changes; what the setting has anyway is left out."""
    own = Spec(base).parameters().flat()
    kept = {name: text for name, text in changes.items() if own[canonical(name)] != from_text(text)}
    return base + (":" + ",".join(f"{name}={text}" for name, text in kept.items()) if kept else "")


def points(figure: str, setting: str, budget: Budget) -> list[Point]:
    """Return the points of a figure in a setting."""
    about, found = FIGURES[figure], []
    for name in about.sweeps:
        sweep = sweeps(budget)[name]
        shown = networks(setting, budget) if figure == "fig13" else ("",)
        places = sweep.values if budget.scope == "all" else sweep.claimed
        for place in places:
            for network in shown:
                base = {"slots": str(budget.slots), **({"model": network} if network else {})}
                x = sweep.at(setting, place)
                text = sweep.write(x)
                own = spec(sweep.bases[setting], {**base, sweep.parameter: text})
                family = own
                if sweep.shared:
                    every = "|".join(sweep.write(sweep.at(setting, other)) for other in places)
                    models = {"model": "|".join(shown)} if network else {}
                    parts = {"slots": str(budget.slots), **models, sweep.parameter: every}
                    family = sweep.bases[setting] + ":" + ",".join(f"{k}={v}" for k, v in parts.items())
                learners = [
                    one for one in about.learners if _trains(one, figure, setting, sweep, place, budget)
                ]
                trainings = tuple(_best(family, one, budget) for one in learners)
                found.append(Point(name, setting, x, own, network, trainings))
    return found


def _best(text: str, learner: str, budget: Budget) -> Train:
    """Return the training of a learner by recipe `best`, as the budget has it."""
    return Train(text, learner, changes=budget.changes if learner in BATCHED else ())


def _trains(learner: str, figure: str, setting: str, sweep: Sweep, place: float, budget: Budget) -> bool:
    """Whether a learner is trained for a point; outside scope ``all`` only what claims ask for."""
    if budget.scope == "all" or figure == "fig6":
        return True
    if learner == "markov-a3c":
        return False  # any-size, trained once and for all, stands in
    if learner in SLOW:
        named = setting != "near" or budget.scope == "claims" or (learner == "dqn" and figure == "fig8")
        return place in sweep.slow and named
    return True


def curves(figure: str, setting: str, budget: Budget) -> dict[str, dict[str, Train]]:
    """Return the trainings whose course a figure shows: part of the figure -> label -> training."""
    base = spec(sweeps(budget)["default"].bases[setting], {"slots": str(budget.slots)})
    if figure == "fig6":
        best = [_best(base, learner, budget) for learner in FIGURES["fig6"].learners]
        printed = [Train(base, learner, "paper") for learner in (OURS, *SLOW)]
        return {"convergence": {one.label: one for one in (*best, *printed)}}
    if figure != "fig7":
        return {}

    def one(workers: int = 1, **changes: Any) -> Train:
        return Train(base, OURS, "paper", tuple(changes.items()), workers)

    few = budget.scope == "some"  # starting a worker costs more than it saves there
    counts = (1, 2) if few else (1, 2, 4, 8)
    sizes = (32, 64) if few else (16, 32, 64, 128)
    return {
        "learning rate": {"0.01": one(), "0.001": one(learning_rate=0.001)},
        "workers": {str(count): one(count) for count in counts},
        "batch size": {str(size): one(**({} if size == 32 else {"batch": size})) for size in sizes},
    }


@dataclass(frozen=True)
class Assumption:
    """Something that the paper does not print: what was chosen, and what else it is set to."""

    name: str
    about: str
    chosen: str
    others: tuple[Mapping[str, str], ...]


CHOICES = (
    Assumption(
        "device speed", "f_l", "1 Gcycles/s",
        tuple({"device_cycles_per_s": v} for v in ("2e8", "3e9", "6e9")),
    ),
    Assumption(
        "server speeds", "F_n", "4.0, 4.2, 4.4, 4.6 Gcycles/s",
        (
            {"server_cycles_per_s": "4.3e9,4.3e9,4.3e9,4.3e9"},
            {"server_cycles_per_s": "2e9,4e9,6e9,8e9"},
            {"server_cycles_per_s": "8e9,8.4e9,8.8e9,9.2e9"},
        ),
    ),
    Assumption("load of the servers", "share of F_n left", "none", ({"server_load_factor": "0.5..1"},)),
    Assumption(
        "cycles per multiply-add", "c_m", "6.73", tuple({"cycles_per_mac": v} for v in ("0.1", "1", "30"))
    ),
    Assumption("wired rate", "R_max", "300 Mbit/s", tuple({"server_bps": v} for v in ("1e7", "1e8", "1e9"))),
    Assumption("penalty", "beta", "1", tuple({"beta": v} for v in ("0", "10"))),
    Assumption("default deadline", "tau", "7 s", tuple({"max_delay_s": v} for v in ("1", "3", "none"))),
    Assumption("counted transfers", "preset", "paper (Eq. 9 and 7 to the letter)", ({"preset": "physical"},)),
    Assumption("transmit power", "p; moves energy only", "0.5 W", ({"transmit_power_w": "0.1"},)),
)  # fmt: skip


def variations(budget: Budget) -> list[tuple[str, str, str]]:
    """Return choice, what it is set to, and the spec of the instance; the chosen ones first."""
    slots = {"slots": str(budget.slots)}
    found = [("as chosen", "", spec("paper", slots))]
    for choice in CHOICES:
        for changes in choice.others:
            written = ", ".join(changes.values())
            found.append((choice.name, written, spec("paper", {**slots, **changes})))
    return found
