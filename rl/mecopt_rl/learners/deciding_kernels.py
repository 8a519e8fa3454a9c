"""The loops with which networks decide, and their constants; without torch, which takes a second to load."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

FORBIDDEN = -1e9  # score of a node or step that may not be used; finite, so that no gradient is NaN
CAP = 2.0  # steps that cost more, in best placements on one node, look alike: none is worth taking
STRETCH = 5.0  # a step is a small share of a chain; this brings it to about 1
SHARPEN = 5.0  # speed at which the gain of the scores is learnt, which has a far way to go
MOST_STEPS = 30_000  # that are scored at a time, so that their features stay in the processor cache


@njit(cache=True, nogil=True, fastmath={"contract"})
def dense(inputs, weights, bias, bent, outputs):  # type: ignore[no-untyped-def]
    """Write inputs (B, I) times weights (I, O) plus bias (O,), bent at 0 or not, to outputs (B, O).

    On one thread: the library behind numpy takes several for products of this size, and waits for them.
    """
    # Eight inputs at a time, added in order: a row is read and written an eighth as often, to the same bits.
    whole = inputs.shape[1] - inputs.shape[1] % 8
    for b in range(inputs.shape[0]):
        row, x = outputs[b], inputs[b]
        row[:] = bias
        for i in range(0, whole, 8):
            w = weights[i : i + 8]
            for o in range(row.shape[0]):
                first = row[o] + x[i] * w[0, o] + x[i + 1] * w[1, o] + x[i + 2] * w[2, o] + x[i + 3] * w[3, o]
                row[o] = (
                    first + x[i + 4] * w[4, o] + x[i + 5] * w[5, o] + x[i + 6] * w[6, o] + x[i + 7] * w[7, o]
                )
        for i in range(whole, inputs.shape[1]):
            for o in range(row.shape[0]):
                row[o] += x[i] * weights[i, o]
        if bent:
            for o in range(row.shape[0]):
                row[o] = max(row[o], np.float32(0.0))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def chain(first, end, features, previous, score, bias, gumbel, hidden, scores, allowed, chosen):  # type: ignore[no-untyped-def]
    """Choose the nodes of blocks `first` to `end` - 1 of every task, one after the other.

    features (B, M, W), previous and score (M, J, W), bias (M, 1, J), gumbel (M, B, J), allowed (B, M, J); the
    hidden layer (M, B, W), scores (M, B, J) and chosen (B, M) are written.
    """
    count, _, width = features.shape
    for b in range(count):
        before = chosen[b, first - 1] if first > 0 else 0
        for m in range(first, end):
            own, ahead, told = hidden[m, b], features[b, m], previous[m, before]
            for w in range(width):
                own[w] = max(ahead[w] + told[w], np.float32(0.0))
            best = -np.inf
            for j in range(scores.shape[2]):
                weights, total = score[m, j], bias[m, 0, j]
                for w in range(width):
                    total += own[w] * weights[w]
                scores[m, b, j] = total if allowed[b, m, j] else FORBIDDEN
                drawn = scores[m, b, j] + gumbel[m, b, j]
                if drawn > best:
                    best, before = drawn, j
            chosen[b, m] = before


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "nnan"})
def step_back(steps, m, behind, cost, score, bias, gain, found, pools):  # type: ignore[no-untyped-def]
    """Score the steps of block m and pool over them, for `any_size.StepScorer.scores`.

    steps and found are (B, M, J, J), behind (B J, width): the state behind a step, without its cost; pools
    (B J, 3 width + 1).
    """
    count, _, nodes, _ = steps.shape
    width, none = behind.shape[1], np.float32(0.0)
    most, mean, step = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    # Copies, and a loop for each result: then the compiler makes vectors of them.
    slope, away, even, up = cost[0].copy(), cost[1].copy(), score[:width].copy(), score[width:].copy()
    for b in range(count):
        for i in range(nodes if m > 0 else 1):
            most[:], mean[:] = -np.inf, none
            pool = pools[b * nodes + i]
            for j in range(nodes):
                share, state, total = steps[b, m, i, j], behind[b * nodes + j], np.float32(bias)
                near = np.float32(STRETCH) * share
                for w in range(width):
                    step[w] = state[w] + near * slope[w]
                if not share < CAP:
                    for w in range(width):
                        step[w] += away[w]
                for w in range(width):
                    total += step[w] * even[w] + max(step[w], none) * up[w]
                for w in range(width):
                    most[w] = max(most[w], step[w])
                for w in range(width):
                    mean[w] += max(step[w], none)
                found[b, m, i, j] = total * np.float32(gain) if share < CAP else np.float32(FORBIDDEN)
                if j == i:
                    for w in range(width):
                        pool[2 * width + w] = step[w]
            for w in range(width):
                pool[w] = most[w]
            for w in range(width):
                pool[width + w] = mean[w] / np.float32(nodes)
            pool[3 * width] = 1.0 if i == 0 else 0.0


@njit(cache=True, nogil=True)
def units(steps, found):  # type: ignore[no-untyped-def]
    """Write `any_size.unit` of steps (B, M, J, J), (B,)."""
    count, blocks, nodes, _ = steps.shape
    for b in range(count):
        best = np.inf
        for i in range(nodes):
            whole = steps[b, 0, 0, i]
            for m in range(1, blocks):
                whole += steps[b, m, i, i]
            best = min(best, whole)
        if best == np.inf:
            best = 0.0
            for m in range(blocks):
                least = np.inf
                for i in range(nodes):
                    for j in range(nodes):
                        least = min(least, steps[b, m, i, j])
                best += least
        found[b] = best if 0.0 < best < np.inf else 1.0
