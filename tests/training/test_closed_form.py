"""Fitting in closed form: the choice of the scope, cross-fitted normals, what is said and stored."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mnad.config import OptimConfig, TermConfig
from mnad.data.images import Images
from mnad.detector import Detector
from mnad.run import UserError
from mnad.training import closed_form
from mnad.training.closed_form import fit, fit_line, folds
from mnad.training.loop import train
from tests.model.test_feature_mnad import SIDE, config, normals, scratched
from tests.stub_network import stub  # noqa: F401

pytestmark = pytest.mark.usefixtures("stub")


def images(pixels: np.ndarray) -> Images:
    return Images(list(pixels), (SIDE, SIDE))


def shifted(count: int, seed: int) -> np.ndarray:
    """A texture of coarse stripes that starts anywhere and may be turned by a quarter."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found = []
    for _ in range(count):
        wave = (
            np.sin((rows + rng.uniform(0, 64)) * 2 * np.pi / 32)
            if rng.random() < 0.5
            else np.sin((columns + rng.uniform(0, 64)) * 2 * np.pi / 32)
        )
        found.append(np.repeat((128 + 90 * wave)[..., None], 3, axis=2) + rng.normal(0, 3, (SIDE, SIDE, 3)))
    return np.clip(found, 0, 255).astype(np.uint8)


def test_scope_by_position_for_a_part_that_lies_in_one_place() -> None:
    detector = Detector(config(item_scope="auto", bank=60))
    record = fit(detector.model, images(normals(24, 1)), images(normals(6, 2)), 0)
    assert record["scope"] == "position" and detector.model.places.places == 64
    assert record["defects_auroc"]["position"] > record["defects_auroc"]["shared"]


def test_shared_scope_for_a_texture_that_starts_anywhere() -> None:
    detector = Detector(config(item_scope="auto", bank=60))
    record = fit(detector.model, images(shifted(24, 1)), images(shifted(6, 2)), 0)
    assert record["scope"] == "shared" and detector.model.places.places == 1
    assert record["items"] == 60
    assert "scope shared, chosen by AUROC of drawn defects" in fit_line(record)


def test_every_normal_is_unseen_once() -> None:
    pairs = folds(10, 3, 0)
    assert sorted(np.concatenate([held for _, held in pairs]).tolist()) == list(range(13))
    for seen, held in pairs:
        assert sorted([*seen, *held]) == list(range(13))
    ((seen, held),) = folds(300, 20, 0)
    assert seen.tolist() == list(range(300)) and held.tolist() == list(range(300, 320))


def test_few_normals_all_choose_the_threshold_without_having_been_seen() -> None:
    detector = Detector(config())
    pixels = normals(20, 1)
    train_images, validation = images(pixels[:18]), images(pixels[18:])
    fit(detector.model, train_images, validation, 0)
    unseen, _ = detector.calibrate(validation)
    assert len(unseen["surface"]) == 20 and detector.thresholds["surface"].promise.n_normal == 20
    seen = detector.score(pixels)
    assert np.median(unseen["surface"]) > np.median(seen) + 0.2  # the memory holds these very images
    fresh = detector.score(normals(100, 5))
    assert (fresh >= detector.thresholds["surface"].value).mean() < 0.15
    assert (detector.score(scratched(5, 6)) >= detector.thresholds["surface"].value).all()


def test_few_normals_keep_no_pictures_for_a_term_that_looks_at_them() -> None:
    plain = config()
    score = replace(plain.scores["surface"], given=[TermConfig("contrast")])
    detector = Detector(replace(plain, scores={"surface": score}))
    fit(detector.model, images(normals(8, 1)), images(normals(2, 2)), 0)
    with pytest.raises(UserError, match="its term contrast looks at the pictures, of which a memory of few normals"):
        detector.calibrate(images(normals(2, 2)))


def test_from_enough_normals_on_validation_images_stay_unseen(monkeypatch) -> None:
    monkeypatch.setattr(closed_form, "FEW", 20)
    detector = Detector(config())
    record = fit(detector.model, images(normals(18, 1)), images(normals(5, 2)), 0)
    assert (record["folds"], record["images"]) == (1, 18) and detector.model.held_out is None


def test_the_training_loop_fits_it_and_logs_one_line(tmp_path, capsys) -> None:
    detector = Detector(config(item_scope="auto", bank=20))
    train(detector.model, images(normals(12, 1)), images(normals(3, 2)), OptimConfig(), 0, tmp_path)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["folds"] == 5 and record["images"] == 15 and set(record["defects_auroc"]) == {"position", "shared"}
    assert "memory of " in capsys.readouterr().out


def test_the_same_seed_gives_the_same_memory() -> None:
    found = []
    for _ in range(2):
        detector = Detector(config(scope="shared", bank=30))
        fit(detector.model, images(normals(12, 1)), images(normals(3, 2)), 7)
        found.append(detector.model.places.items)
    assert found[0].equal(found[1])


def test_blank_images_are_refused() -> None:
    blank = np.full((6, SIDE, SIDE, 3), 90, np.uint8)
    with pytest.raises(UserError, match="sees the same everywhere; expected images with contents"):
        fit(Detector(config()).model, images(blank), images(blank[:1]), 0)
