"""Bootstrap of AUROC: the fast weighted statistic is scikit-learn's, pairs are paired, intervals cover."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mnad.scoring.bootstrap import auroc_resamples, interval, resampled_counts, weighted_auroc


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random(80) < 0.2).astype(int)
    return np.round(rng.normal(labels, 1.0), 1), labels  # rounded: ties


def test_weighted_auroc_is_that_of_the_drawn_images(case) -> None:
    scores, labels = case
    counts = resampled_counts(labels, 20)
    expected = []
    for line in counts:
        drawn = np.repeat(np.arange(len(labels)), line.astype(int))
        expected.append(roc_auc_score(labels[drawn], scores[drawn]))
    assert weighted_auroc(scores, labels, counts) == pytest.approx(np.array(expected), abs=1e-12)
    assert weighted_auroc(scores, labels, np.ones((1, 80)))[0] == pytest.approx(roc_auc_score(labels, scores))


def test_resamples_keep_the_classes_and_the_seed(case) -> None:
    _, labels = case
    counts = resampled_counts(labels, 50, seed=1)
    assert (counts @ labels == labels.sum()).all() and (counts.sum(axis=1) == 80).all()
    assert (counts == resampled_counts(labels, 50, seed=1)).all()
    assert (counts != resampled_counts(labels, 50, seed=2)).any()


def test_pairs_are_closer_than_each_alone(case) -> None:
    scores, labels = case
    near = scores + np.random.default_rng(1).normal(0, 0.05, 80)
    counts = resampled_counts(labels, 400)
    alone = auroc_resamples([scores], labels, counts)
    difference = auroc_resamples([near], labels, counts) - alone
    assert np.ptp(interval(difference)) < 0.3 * np.ptp(interval(alone))
    assert (auroc_resamples([scores], labels, counts) - alone == 0).all()


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    truth = 0.7602  # of two normals one deviation apart: Phi(1 / sqrt 2)
    hits = 0
    for _ in range(100):
        low, high = interval(weighted_auroc(rng.normal(labels, 1), labels, resampled_counts(labels, 200)))
        hits += low <= truth <= high
    assert 88 <= hits <= 100


def test_several_runs_are_averaged(case) -> None:
    scores, labels = case
    counts = resampled_counts(labels, 10)
    both = auroc_resamples([scores, -scores], labels, counts)
    assert both == pytest.approx(np.full(10, 0.5))
