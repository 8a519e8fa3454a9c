"""Pictures in the terminal: every block is there, no line is too long, whatever the instance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mecopt
from mecopt.drawing.picture import (
    Pen,
    frequent_placements,
    legend,
    share_picture,
    share_sentence,
    task_picture,
)
from mecopt.drawing.timeline import ink, node_share, number, seconds, spans


def judged(cycles, placement, servers=3, rates=1e6, bits=1e5):
    """Return the evaluation of tasks that all run a model of blocks with these cycles."""
    blocks = tuple(mecopt.Block(float(c), bits, name=f"b{i}") for i, c in enumerate(cycles))
    instance = mecopt.Instance(
        name="drawn",
        slot_count=1,
        models=(mecopt.Model("m", blocks, output_bits=bits),),
        devices=(mecopt.Device("a device with a long name", 1e9),),
        servers=tuple(mecopt.Server(f"es{n}", 2e9) for n in range(1, servers + 1)),
        links=mecopt.Links.of(servers, 1e9),
        tasks=mecopt.Tasks.of(
            slot=0, device=0, model=0, blocks=len(blocks),
            rate_bps=np.full((len(placement), servers), rates),
        ),
        rules=mecopt.Rules.preset("physical", deadline="none"),
    )  # fmt: skip
    return mecopt.evaluate(instance, placement)


pens = st.builds(Pen, st.integers(40, 200), st.booleans(), st.booleans())


@given(
    cycles=st.lists(st.one_of(st.just(0.0), st.floats(1.0, 1e12)), min_size=1, max_size=40),
    nodes=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    rates=st.sampled_from([0.0, 1e3, 1e9]),
    bits=st.sampled_from([0.0, 1e6]),
    pen=pens,
)
def test_no_line_is_too_long(cycles, nodes, rates, bits, pen):
    evaluation = judged(cycles, [nodes[: len(cycles)]], rates=rates, bits=bits)
    lines = task_picture(evaluation, 0, pen)
    assert all(line.cell_len <= pen.width for line in lines), [line.plain for line in lines]
    assert len(lines) == 3 + len({part.node for part in spans(evaluation, 0)})
    legend(evaluation, [0], pen)


@given(
    blocks=st.integers(1, 60),
    tasks=st.integers(1, 8),
    servers=st.integers(1, 20),
    pen=pens,
    seed=st.integers(0, 9),
)
def test_share_picture(blocks, tasks, servers, pen, seed):
    placement = np.random.default_rng(seed).integers(0, servers + 1, (tasks, blocks))
    evaluation = judged([1e8] * blocks, placement, servers)
    assert node_share(evaluation).sum(axis=0) == pytest.approx(1)
    lines = share_picture(evaluation, pen)
    assert all(line.cell_len <= pen.width for line in lines)
    assert len(lines) <= 1 + 14


def test_every_block_is_named_where_there_is_room():
    text = [line.plain for line in task_picture(judged([1e9] * 4, [[0, 1, 1, 2]]), 0, Pen(100))]
    assert "├" in text[1]
    assert "b0" in text[1]
    assert "b1" in text[2]
    assert "b2" in text[2]
    assert "b3" in text[3]
    assert text[1].startswith(" a device with a… ")
    assert text[0] == "Task 0 in slot 0: m, delay 2.7 s"


def test_short_blocks_still_take_a_column():
    text = [line.plain for line in task_picture(judged([1e12, 1.0, 1.0], [[0, 1, 0]]), 0, Pen(80))]
    assert any(mark in text[2] for mark in "│├0123")


def test_summary_counts():
    evaluation = judged([1e9, 1e9], [[0, 0], [0, 0], [1, 1], [0, 2]])
    assert share_sentence(evaluation) == (
        "50 % on the device alone, 25 % on one server alone, 25 % on several nodes"
    )
    found = list(frequent_placements(evaluation, most=2))
    assert found[0] == ("50 %", "device 0-1")
    assert found[-1] == ("25 %", "1 other placement")


def test_numbers():
    assert [seconds(v) for v in (0, 1.5, 0.0123, 4e-5, 1e-9)] == [
        "0 s",
        "1.5 s",
        "12.3 ms",
        "40 µs",
        "0.001 µs",
    ]
    assert number(1234567.8) == "1,234,568"
    assert number(18300.12) == "18,300.1"
    assert (ink("#F0E442"), ink("#332288")) == ("black", "white")
