"""The compiled twin of `steps`: the same bits for any placement, missing links and all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents, examples

import mecopt
from mecopt.costs import chain_costs, steps
from mecopt.steps_kernels import priced


@examples(40)
@given(st.data())
def test_the_same_bits_as_steps(data):
    instance = mecopt.from_dict(data.draw(documents()))
    costs = chain_costs(instance)
    assert costs.plain
    node = st.integers(0, instance.server_count)
    nodes = [[data.draw(node) for _ in range(instance.max_blocks)] for _ in range(instance.task_count)]
    behind = np.arange(instance.max_blocks) >= instance.block_count[:, None]
    placement = np.where(behind, -1, np.array(nodes))
    expected = by_numpy(costs, placement)
    for (name, figures), compiled in zip(expected.items(), priced(costs, placement), strict=True):
        assert np.array_equal(compiled, figures), name


def by_numpy(costs, placement):
    """Price with figures that are plain in all but name."""
    named = {**vars(costs), "back_s": costs.send_s.copy()}
    slow = type(costs)(**named)
    assert not slow.plain
    return vars(steps(slow, placement))
