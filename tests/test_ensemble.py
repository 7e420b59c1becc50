"""Several members in one detector, mirrored scores, terms that learn from training normals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_config
from torch import Tensor

from mnad.config import (
    AugmentationConfig,
    CorrectionConfig,
    DetectorConfig,
    ImageConfig,
    ModelConfig,
    OptimConfig,
    ScoreConfig,
    TermConfig,
    mnad_score,
)
from mnad.data.dataset import open_dataset
from mnad.data.images import Images, to_input
from mnad.detector import Detector
from mnad.detector.fitting import members_alone
from mnad.experiment import run_experiment
from mnad.model.build import build_model
from mnad.model.ellipse import Ellipse
from mnad.model.network import Output
from mnad.run import UserError
from mnad.run.files import read_json
from mnad.scoring.scores import Score
from mnad.scoring.terms import PooledDistance, WhitenedError
from mnad.scoring.wells import EllipseDistance, EllipseWhitenedError
from mnad.scoring.whitening import Whitening

SIZE = (16, 24)
MODEL = ModelConfig(width=2, items=3, item_dim=4)
MEMORY = ScoreConfig(
    [TermConfig("whitened_error", 0.7), TermConfig("pooled_distance", 0.3)], normalise="spread", mirror=True
)


def pictures(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


def detector(members: int, seeds: range, scores: dict | None = None) -> Detector:
    models = []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(build_model(MODEL))
    scores = scores or {"memory": MEMORY, "mnad": mnad_score()}
    config = DetectorConfig(model=MODEL, images=ImageConfig(*SIZE), scores=scores, primary=next(iter(scores)))
    found = Detector(replace(config, members=members), models)
    found.fit(Images(list(pictures(40, 0)), SIZE))
    found.calibrate(pictures(30, 1), pictures(10, 2))
    return found


def test_an_ensemble_is_the_mean_of_its_calibrated_members() -> None:
    together, alone = detector(3, range(3)), [detector(1, range(s, s + 1)) for s in range(3)]
    test = pictures(5, 3)
    for name, values in together.score_all(test).items():
        np.testing.assert_allclose(values, np.mean([one.score_all(test)[name] for one in alone], axis=0))
    known = np.mean([one.score(pictures(10, 2)) for one in alone], axis=0)
    assert together.thresholds["memory"].value == pytest.approx(np.quantile(known, 0.01))
    np.testing.assert_allclose(together.anomaly_map(test), np.mean([one.anomaly_map(test) for one in alone], axis=0))
    assert together.parameters == 3 * alone[0].parameters


def test_an_ensemble_is_stored_in_one_file_and_gives_verdicts(tmp_path: Path) -> None:
    together, test = detector(2, range(2)), pictures(5, 3)
    together.save(tmp_path / "two.safetensors")
    again = Detector.load(tmp_path / "two.safetensors")
    assert again.config.members == 2 and len(again.models) == 2
    np.testing.assert_array_equal(again.score(test), together.score(test))
    verdicts = list(again.predict(list(test)))
    np.testing.assert_array_equal([v.score for v in verdicts], together.score(test))
    raw = together.raw_terms(test)["memory"]  # error and distance of one member, then of the other
    assert verdicts[0].terms["pooled_distance"] == pytest.approx((raw[0, 1] + raw[0, 3]) / 2)


def test_a_score_with_mirror_is_the_same_for_the_mirror_image() -> None:
    mirrored, plain = detector(1, range(1)), detector(1, range(1), {"plain": replace(MEMORY, mirror=False)})
    test = pictures(4, 3)
    flipped = np.ascontiguousarray(test[:, :, ::-1])
    np.testing.assert_allclose(mirrored.score(test), mirrored.score(flipped))
    both = (plain.raw_terms(test)["plain"] + plain.raw_terms(flipped)["plain"]) / 2
    np.testing.assert_allclose(mirrored.raw_terms(test)["memory"], both)


def output(target: Tensor, seed: int) -> Output:
    out = Output(torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)), torch.zeros(()), ())
    out.distance = torch.rand(len(target), 8, 12, generator=torch.Generator().manual_seed(seed)) + 0.1
    return out


@pytest.mark.parametrize("inside", [False, True])
def test_pooled_terms_against_numpy(inside: bool) -> None:
    target = to_input(pictures(3, 0))
    out, whitening = output(target, 1), Whitening(SIZE)
    whitening.mean.fill_(0.1)
    whitening.whitener.mul_(2)
    pooled = EllipseDistance(0.3) if inside else PooledDistance(0.3)
    whitened = EllipseWhitenedError(0.3) if inside else WhitenedError(0.3)
    cells, pixels = (Ellipse().mask(*s) if inside else np.ones(s, bool) for s in ((8, 12), SIZE))
    error = (4 * (target - out.output - 0.1) ** 2).mean(dim=1).numpy()
    expected = np.log(np.quantile(out.distance.numpy()[:, cells], 0.3, axis=1))
    np.testing.assert_allclose(pooled(target, out), expected, rtol=1e-5)
    expected = np.log(np.quantile(error[:, pixels], 0.3, axis=1))
    np.testing.assert_allclose(whitened(target, out, whitening), expected, rtol=1e-4)


def test_statistics_are_of_the_training_residuals() -> None:
    found, train = detector(2, range(2)), to_input(pictures(40, 0))
    for member, model in enumerate(found.models):
        with torch.inference_mode():
            residual = (train - model(train).output)[:, :, 5, 7].double().numpy()
        statistics = found.scores["memory"].statistics[member]["0"]
        np.testing.assert_allclose(statistics.mean[:, 5, 7], residual.mean(axis=0), atol=1e-5)
        covariance = np.cov(residual.T, bias=True) + 1e-4 * np.eye(3)
        factor = statistics.whitener[5, 7].double().numpy()
        np.testing.assert_allclose(factor @ covariance @ factor.T, np.eye(3), atol=1e-3)


def test_the_scale_of_one_member_keeps_its_old_names() -> None:
    assert list(Score(mnad_score()).state_dict()) == ["low", "high"]


def test_members_are_trained_by_one_run(tiny_wells: Path, tmp_path: Path) -> None:
    optim = OptimConfig(epochs=1, batch_size=8, threads=1, device="cpu")
    out = run_experiment(tiny_config(data=tiny_wells, out=tmp_path / "two", members=2, optim=optim))
    assert (out / "member2" / "log.jsonl").is_file()
    table = (out / "table.txt").read_text()
    assert "mnad, member 1 alone" in table and "mnad, member 2 alone" in table
    alone = run_experiment(tiny_config(data=tiny_wells, out=tmp_path / "one", optim=optim))
    first, one = Detector.load(out).models[0].state_dict(), Detector.load(alone).model.state_dict()
    assert all(torch.equal(value, one[name]) for name, value in first.items())
    metrics = read_json(out / "metrics.json")
    assert metrics["parameters"] == 2 * read_json(alone / "metrics.json")["parameters"]


def test_what_members_cannot_be() -> None:
    with pytest.raises(UserError, match="members: expected at least 1, got 0"):
        DetectorConfig(members=0)
    with pytest.raises(UserError, match="members: expected 1 for variant pred, got 2"):
        DetectorConfig(model=ModelConfig(variant="pred"), members=2)
    with pytest.raises(UserError, match="members: expected 2 models, got 1"):
        Detector(DetectorConfig(model=MODEL, images=ImageConfig(*SIZE), members=2), build_model(MODEL))


def test_members_alone_are_corrected_and_know_what_the_ensemble_learnt(tiny_wells: Path, tmp_path: Path) -> None:
    config = tiny_config(
        data=tiny_wells, out=tmp_path / "two", members=2, compare=[], scores={"memory": MEMORY}, primary="memory",
        optim=OptimConfig(epochs=1, batch_size=8, threads=1, device="cpu"),
        correction=CorrectionConfig(kind="surroundings"), augmentation=AugmentationConfig(copies=1),
    )  # fmt: skip
    together = Detector.load(run_experiment(config))
    sources = open_dataset(config, config.images, "recon").sources(0)
    raw = together.raw_terms(sources["validation"])["memory"]
    for member, alone in enumerate(members_alone(together, sources)):
        own = alone.raw_terms(sources["validation"])["memory"]
        np.testing.assert_allclose(own, raw[:, 2 * member : 2 * member + 2])
