"""Twins: for every question asked there is one in the same scene with the other answer and equal
looks.

A shortcut is a number that tells the answer without the reasoning. Proposals for both answers are
matched on all such numbers, and one of the two, the wanted one, is asked. The numbers then have
the same distribution under every answer, whatever scenes and cameras do to them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: Proposals per answer that are compared; more than enough to choose from, and a few ms of work.
MOST = 400


def matched_pairs(
    first: np.ndarray, second: np.ndarray, tolerance: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """All pairs (row of `first`, row of `second`) whose numbers differ by at most `tolerance`,
    shuffled.

    first, second: A x F and B x F numbers of the proposals for either answer. Drawing from *pairs*
    makes the choice symmetric: where one answer has many proposals and the other few, both are
    drawn equally often.
    """
    if not len(first) or not len(second):
        return
    rows = rng.permutation(len(first))[:MOST]
    columns = rng.permutation(len(second))[:MOST]
    a, b = first[rows] / tolerance, second[columns] / tolerance
    near = np.ones((len(rows), len(columns)), bool)
    for f in range(a.shape[1]):
        near &= np.abs(a[:, f, None] - b[None, :, f]) <= 1.0
    i, j = np.nonzero(near)
    for k in rng.permutation(len(i)):
        yield int(rows[i[k]]), int(columns[j[k]])
