"""Which of many points are beaten by no other one, in a compiled loop."""

from __future__ import annotations

from mecopt.compiling import njit

SAME = 1e-12  # relative difference of figures that are the same


@njit(cache=True, nogil=True)
def undominated(group, figures, kept):  # type: ignore[no-untyped-def]
    """Find the points that no other one of their group is as good as in every figure.

    Points are in order of `group`, then of their figures (P, D) from the first to the last. `kept` (P,) gets
    the places of those that stay; returns how many.
    """
    count, first = 0, 0
    for p in range(len(group)):
        if count > 0 and group[kept[count - 1]] != group[p]:
            first = count
        beaten = False
        n = count - 1
        while n >= first and not beaten:  # the last one kept is the likeliest to be as good
            other = kept[n]
            beaten = True
            for d in range(figures.shape[1]):
                if figures[other, d] > figures[p, d] + SAME * abs(figures[p, d]):
                    beaten = False
                    break
            n -= 1
            if figures.shape[1] == 2:
                break  # with two figures it is the only one that could
        if not beaten:
            kept[count] = p
            count += 1
    return count
