"""Ways to cut a chain of blocks into stretches, so that what a stretch takes tells what a block takes."""

from __future__ import annotations

Stretch = tuple[int, int]  # first and last block, both 0-based and both in it


def divisions(blocks: int) -> list[list[Stretch]]:
    """Return divisions of a chain into stretches of 1, 2, 4, ... blocks, the whole first.

    Each covers every block once, so a pass over one of them does the work of the network and has the caches
    of a run. Lengths above one come twice, the second time begun in the middle of a stretch, so that every
    block begins and ends several of them.
    """
    found = [[(0, blocks - 1)]]
    length = 1
    while length < blocks:
        offsets = sorted({0, length // 2})
        found += [division(blocks, [*range(offset, blocks, length)]) for offset in offsets]
        length *= 2
    return found


def division(blocks: int, begins: list[int]) -> list[Stretch]:
    """Return the stretches that begin at the given blocks, and at the first."""
    starts = sorted({0, *begins})
    return [(a, b - 1) for a, b in zip(starts, [*starts[1:], blocks], strict=True)]
