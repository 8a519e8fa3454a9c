"""What prices prove: never more than the optimum, more than no prices where limits bind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import Reference
from strategies import examples, tiny_documents
from wide_strategies import wide_documents

import mecopt
from mecopt import limits
from mecopt.costs import chain_costs
from mecopt_solvers.priced_bound import priced_bound


def any_prices(instance, rng):
    """Return prices of every limit that adds up, 0 and of very different size."""
    sizes = {"energy": len(instance.devices), "capacity": instance.slot_count * instance.server_count}
    drawn = {n: 10.0 ** rng.uniform(-4, 2, size) for n, size in sizes.items()}
    on = {limit.name for limit in limits.linear(instance)}
    return {n: np.where(rng.random(len(p)) < 0.3, 0.0, p) for n, p in drawn.items() if n in on}


@examples(60)
@given(st.one_of(tiny_documents(), wide_documents(joint=300, objectives=("delay", "sum"))), st.integers(0, 9))
def test_never_above_the_optimum_at_any_prices(document, seed):
    instance = mecopt.from_dict(document)
    best = Reference(document).best_coupled()
    bound = priced_bound(instance, chain_costs(instance), any_prices(instance, np.random.default_rng(seed)))
    if best is not None:
        assert bound <= best * (1 + 1e-9) + 1e-12


def test_prices_of_nothing_give_the_shortest_paths():
    instance = mecopt.generate("crowd", seed=2)
    free = mecopt.solve(instance, "trellis", relax=True).lower_bound
    assert priced_bound(instance, chain_costs(instance), {}) == pytest.approx(free, rel=1e-12)


@pytest.mark.parametrize(
    ("spec", "name", "exact"),
    [
        ("energy:slots=60", "online-price", "energy-path"),
        ("energy:slots=60", "markov-a3c", "energy-path"),
        ("crowd:release_rate=30", "slot-price", "decomposition"),
        ("crowd:release_rate=30", "markov-a3c", "decomposition"),
    ],
)
def test_what_works_with_prices_comes_with_their_bound(spec, name, exact):
    instance = mecopt.generate(spec, seed=5)
    best = mecopt.solve(instance, exact, time_limit_s=0.5)
    free = mecopt.solve(instance, "trellis", relax=True).lower_bound
    result = mecopt.solve(instance, name)
    assert result.status == "feasible"
    assert free < result.lower_bound <= best.objective * (1 + 1e-9)
    assert result.lower_bound - free > 0.7 * (best.lower_bound - free)  # most of the way


def test_what_a_pin_forbids_no_path_of_the_bound_takes():
    instance = mecopt.generate("crowd:release_rate=10", seed=5)
    free = mecopt.solve(instance, "slot-price")
    pinned = mecopt.solve(instance, "slot-price", pins=["0:0=0", "0:5=0", "1:0=0", "1:5=0"])
    assert free.lower_bound < pinned.lower_bound <= pinned.objective


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ({"memory": [1.0]}, "prices: of 'memory', expected limits that add up: capacity"),
        ({"capacity": [-1.0] * 4}, "prices: capacity has one that is negative or no number"),
        ({"capacity": [float("nan")] * 4}, "negative or no number"),
        ({"capacity": [1.0] * 3}, r"prices: capacity has \(3,\) of them, expected one a row"),
    ],
)
def test_what_are_no_prices_is_refused(prices, words):
    instance = mecopt.generate("crowd:release_rate=3", seed=5)
    with pytest.raises(mecopt.InputError, match=words):
        priced_bound(instance, chain_costs(instance), prices)
