"""Terms of the surroundings against numpy, and scores that are judged given them."""

import cv2
import numpy as np
import pytest
import torch

from mnad.config import ScoreConfig, TermConfig
from mnad.model.ellipse import SURROUNDINGS
from mnad.model.network import Output
from mnad.scoring.scores import Score
from mnad.scoring.surroundings import SurroundingsContrast, SurroundingsDistance, SurroundingsError
from mnad.scoring.terms import Contrast, FineContrast

OUTSIDE, CELLS = ~SURROUNDINGS.mask(32, 48), ~SURROUNDINGS.mask(8, 12)
GIVEN = ScoreConfig(
    [TermConfig("ellipse_error", 0.7), TermConfig("ellipse_distance", 0.3)],
    normalise="spread",
    given=[TermConfig("surroundings_error"), TermConfig("surroundings_contrast")],
)


def pair(seed: int = 0) -> tuple[torch.Tensor, Output]:
    generator = torch.Generator().manual_seed(seed)
    target, output = (torch.rand(3, 3, 32, 48, generator=generator) * 2 - 1 for _ in range(2))
    out = Output(output, output, ())
    out.distance = torch.rand(3, 8, 12, generator=generator) + 0.1
    return target, out


def test_terms_against_numpy():
    target, out = pair()
    error = ((target - out.output) ** 2).mean(dim=1).numpy()[:, OUTSIDE]
    assert SurroundingsError(0.5)(target, out).numpy() == pytest.approx(
        np.log(np.quantile(error, 0.5, axis=1) + 1e-6), rel=1e-4
    )
    distance = out.distance.numpy()[:, CELLS]
    assert SurroundingsDistance(0.5)(target, out).numpy() == pytest.approx(
        np.log(np.quantile(distance, 0.5, axis=1)), rel=1e-4
    )
    grey = target.mean(dim=1).numpy()
    blurred = np.stack([cv2.GaussianBlur(one, (13, 13), 1.5, borderType=cv2.BORDER_REFLECT_101) for one in grey])
    expected = np.log(np.quantile(((grey - blurred) ** 2)[:, OUTSIDE], 0.9, axis=1) + 1e-6)
    assert SurroundingsContrast(0.9, 1.5)(target, out).numpy() == pytest.approx(expected, rel=1e-3)


def test_the_contrast_of_the_picture_against_numpy():
    target, out = pair()
    grey = target.mean(dim=1).numpy()
    for term, sigma, size in ((Contrast(sigma=2.0), 2.0, 17), (FineContrast(), 1.0, 9)):
        blurred = np.stack(
            [cv2.GaussianBlur(one, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101) for one in grey]
        )
        squares = np.sort(((grey - blurred) ** 2).reshape(3, -1), axis=1)
        expected = np.log(squares[:, 32 * 48 // 2 - 1] + 1e-6)  # the lower median
        assert term(target, out).numpy() == pytest.approx(expected, rel=1e-3)
    assert FineContrast()(torch.full((1, 3, 32, 48), 0.3), out).item() == pytest.approx(np.log(1e-6), rel=1e-3)


def test_the_contrast_needs_nothing_of_the_model():
    config = ScoreConfig([TermConfig("feature_error")], normalise="spread", given=[TermConfig("contrast")])
    assert Score(config, gives={"features"}).names == ["feature_error", "contrast"]


def test_the_inside_of_the_well_does_not_matter():
    target, out = pair()
    for term in (SurroundingsError(), SurroundingsDistance(), SurroundingsContrast(sigma=0.7)):
        before = term(target, out)
        other, changed = target.clone(), Output(out.output.clone(), out.output, ())
        changed.distance = out.distance.clone()
        other[:, :, 14:18, 22:26] = 1
        changed.distance[:, 4, 6] = 9
        assert torch.equal(term(other, changed), before)


def test_a_term_given_others_is_what_a_line_does_not_explain():
    """Of two members: terms that are lines of what they are given, plus a remainder, keep the remainder alone."""
    rng = np.random.default_rng(0)
    given, rest = rng.normal(size=(400, 2, 2)), rng.normal(size=(400, 2, 2))
    design = np.concatenate([np.ones((400, 2, 1)), given], axis=2)
    slopes = np.array([[1.0, -2.0], [0.5, 3.0]])  # given x term
    raw = np.concatenate([5 + given @ slopes + rest, given], axis=2).reshape(400, 8)
    score = Score(GIVEN, members=2).fit(torch.from_numpy(raw))
    assert score.columns == 8 and score.slopes.shape == (2, 2, 2)
    expected = []
    for member in range(2):
        terms = raw.reshape(400, 2, 4)[:, member, :2]
        fitted = np.linalg.lstsq(design[:, member], terms, rcond=None)[0]
        np.testing.assert_allclose(score.slopes[member], fitted[1:], atol=1e-9)
        np.testing.assert_allclose(fitted[1:], slopes, atol=0.2)
        left = terms - given[:, member] @ fitted[1:]
        low, high = np.quantile(left, 0.5, axis=0), np.quantile(left, 0.99, axis=0)
        expected.append((left - low) / (high - low) @ [0.7, 0.3])
    np.testing.assert_allclose(score(torch.from_numpy(raw)), np.mean(expected, axis=0), atol=1e-9)


def test_without_anything_given_nothing_is_stored():
    plain = ScoreConfig(GIVEN.terms, normalise="spread")
    assert list(Score(plain).state_dict()) == ["low", "high"]
    assert Score(plain).names == ["ellipse_error", "ellipse_distance"]
    assert list(Score(GIVEN).state_dict()) == ["low", "high", "slopes"]
    assert Score(GIVEN).names[2:] == ["surroundings_error", "surroundings_contrast"]
    assert Score(GIVEN, gives={"image"}).names == ["ellipse_error", "surroundings_error", "surroundings_contrast"]
