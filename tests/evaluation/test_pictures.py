"""Which pictures the figure of reconstructions shows."""

import numpy as np

from mnad.evaluation.pictures import pick


def test_typical_then_hardest_and_none_twice():
    scores = np.array([5.0, 1.0, 9.0, 3.0, 7.0, 2.0])
    assert pick(scores, anomalous=False) == [3, 5, 2, 4]  # median 3, nearest 2; the highest 9 and 7
    assert pick(scores, anomalous=True) == [3, 0, 1, 5]  # the lowest 1 and 2
    assert pick(np.array([4.0]), anomalous=True) == [0]
    assert pick(np.zeros(0), anomalous=False) == []
