"""A useless result says so, in one line for each reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mnad.config import DataConfig
from mnad.data.dataset import open_dataset
from mnad.detector import Detector
from mnad.evaluation.judge import TEST
from mnad.evaluation.page import write_run_report
from mnad.evaluation.result import Evaluation, judge_scores
from mnad.report.tables import results_table
from mnad.scoring.metrics import auroc_interval
from mnad.scoring.promise import promise
from mnad.scoring.threshold import Threshold


def judged(scores, labels, threshold, normal):
    kept = Threshold(threshold, "normal_quantile", "by hand", promise(threshold, normal, np.zeros(0)))
    return judge_scores({"s": scores}, labels, {"s": kept})["s"]["doubts"]


def test_interval_by_hand():
    # Hanley and McNeil: AUC 0.9, 50 and 50 images: q1 = 0.8182, q2 = 0.8526, standard error 0.0321
    assert auroc_interval(0.9, 50, 50) == pytest.approx((0.8370, 0.9630), abs=5e-4)
    assert auroc_interval(1.0, 5, 5) == (1.0, 1.0)


def test_a_good_result_has_no_doubt():
    labels = np.repeat([0, 1], [200, 50])
    scores = np.where(labels == 1, 3.0, 0.0) + np.linspace(0, 1, 250)
    assert judged(scores, labels, 2.5, np.linspace(0, 1, 100)) == []


def test_chance_and_a_verdict_that_says_nothing():
    labels = np.tile([0, 1], 100)
    found = judged(np.arange(200.0), labels, 100.0, np.arange(200.0))
    assert "may be chance" in found[0] and found[0].startswith("AUROC 0.50")
    assert "TPR 0.500 is not above the false-alarm rate 0.500" in found[1]


def test_more_false_alarms_than_promised():
    labels = np.repeat([0, 1], [200, 50])
    scores = np.r_[np.where(np.arange(200) < 46, 2.0, 0.0), np.full(50, 3.0)]
    (found,) = judged(scores, labels, 1.5, np.zeros(1000))
    assert found.startswith("23.0% false alarms here, at most 0.3% were promised")


def test_the_table_has_the_false_alarms_of_both_sides():
    labels = np.repeat([0, 1], [200, 50])
    scores = np.r_[np.where(np.arange(200) < 46, 2.0, 0.0), np.full(50, 3.0)]
    kept = Threshold(1.5, "normal_quantile", "by hand", promise(1.5, np.r_[np.zeros(990), np.full(10, 2)], np.zeros(0)))
    header, row = results_table({("model", "s"): judge_scores({"s": scores}, labels, {"s": kept})["s"]}).splitlines()
    assert header.split()[-3:] == ["alarms", "in", "validation"] and row.split()[-2:] == ["46/200", "10/1000"]


def test_the_report_begins_with_the_doubts(tiny_run: Path, tiny_wells: Path, tmp_path: Path):
    detector = Detector.load(tiny_run)
    data = open_dataset(DataConfig(data=tiny_wells), detector.config.images, "recon", train=False)
    table = pd.DataFrame({"file": data.test_names, f"score_{detector.primary}": np.zeros(len(data.labels))})
    table[f"verdict_{detector.primary}"] = 0
    scores = {detector.primary: {"doubts": ["AUROC 0.500 may be chance"], "tpr": None, "tnr": None}}
    page = write_run_report(tmp_path, detector, data, {TEST: Evaluation(scores, table, 1.0)}).read_text()
    assert page.index("Doubt: AUROC 0.500 may be chance.") < page.index("without a verdict")
    sure = write_run_report(tmp_path, detector, data, {TEST: Evaluation({}, table, 1.0)}).read_text()
    assert "Doubt:" not in sure


def test_the_report_names_what_is_in_training_and_test(tiny_run: Path, wells: Path, tmp_path: Path):
    (wells / "train" / "a_copy.jpg").write_bytes(next((wells / "test" / "imgs").iterdir()).read_bytes())
    detector = Detector.load(tiny_run)
    data = open_dataset(DataConfig(data=wells), detector.config.images, "recon")
    with pytest.warns(UserWarning, match="1 of 28 test images are also in the train images"):
        data.read()
    table = pd.DataFrame({"file": data.test_names, f"score_{detector.primary}": np.zeros(len(data.labels))})
    table[f"verdict_{detector.primary}"] = 0
    page = write_run_report(tmp_path, detector, data, {TEST: Evaluation({}, table, 1.0)}).read_text()
    assert "Doubt: 1 test images are also training images: results are too good." in page
