"""Terms and scores against numbers worked out by hand."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mnad.config import DetectorConfig, ModelConfig, ScoreConfig, TermConfig, mnad_score, wells_score
from mnad.detector import Detector
from mnad.model.ellipse import Ellipse
from mnad.model.mnad import Output
from mnad.run import UserError
from mnad.scoring.scores import Score, build_term
from mnad.scoring.terms import FeatureDistance, PeakError, Psnr
from mnad.scoring.wells import EllipseError, Glitter, WallHue


def out_of(output, **fields):
    return Output(output, torch.zeros(len(output), 1, 1, 2), (), **fields)


def flat(*values, height=16, width=24):
    """One image for each value (a number or three)."""
    rows = [torch.tensor(v if isinstance(v, list) else [v] * 3, dtype=torch.float32) for v in values]
    return torch.stack([row[:, None, None].expand(3, height, width) for row in rows])


def test_psnr_by_hand():
    # difference 0.2 in [-1, 1] is 0.1 in [0, 1]: mse 0.01, PSNR 20 dB
    value = Psnr()(flat(0.2, 0.02), out_of(flat(0.0, 0.0)))
    assert value.tolist() == pytest.approx([-20, -40], abs=1e-3)


def test_feature_distance_is_the_mean_over_positions():
    out = out_of(flat(0, 0), distance=torch.tensor([[[1.0, 3.0]], [[0.0, 1.0]]]))
    assert FeatureDistance()(flat(0, 0), out).tolist() == [2.0, 0.5]


def test_ellipse_mask():
    mask = Ellipse((0.5, 0.5), (0.5, 0.5)).mask(20, 40)
    assert mask[10, 20] and mask[10, 0] and not mask[0, 0]
    assert mask.mean() == pytest.approx(np.pi / 4, abs=0.01)
    assert (mask == mask[::-1]).all() and (mask == mask[:, ::-1]).all()
    with pytest.raises(UserError, match="no pixel inside"):
        Ellipse((2.0, 2.0), (0.1, 0.1)).inside(torch.zeros(1, 8, 8))


def test_quantile_ignores_what_covers_little():
    ellipse = Ellipse((0.5, 0.5), (0.45, 0.45))
    image = torch.full((1, 40, 40), 1.0)
    image[:, :, :12] = 100.0  # a hand from the left over less than a quarter of the well
    covered = (ellipse.inside(image) > 1).float().mean()
    assert 0.1 < covered < 0.25
    assert ellipse.quantile(image, 0.7).item() == 1.0
    assert ellipse.inside(image).mean() > 10


def test_ellipse_error_median_and_mean():
    target = flat(0.0)
    output = flat(0.1).clone()
    output[:, :, 8, 12] = 1.1  # one pixel inside
    inside = int(Ellipse().mask(16, 24).sum())
    median = EllipseError()(target, out_of(output))
    mean = EllipseError(quantile=None)(target, out_of(output))
    assert median.item() == pytest.approx(np.log(0.01), abs=1e-5)
    assert mean.item() == pytest.approx(np.log((0.01 * (inside - 1) + 1.21) / inside), abs=1e-5)


def test_peak_error_by_hand():
    target = torch.zeros(1, 3, 16, 24)
    target[:, :, 2:5, 3:6] = 0.9  # 3 x 3 pixels, 0.45 on [0, 1]
    zero = out_of(torch.zeros(1, 3, 16, 24))
    assert PeakError(3)(target, zero).item() == pytest.approx(0.45)
    assert PeakError(9)(target, zero).item() == pytest.approx(0.45 * 9 / 81)
    assert PeakError(99)(target, zero).item() == pytest.approx(0.45 * 9 / 256)  # the window ends at the image


def test_peak_error_by_quantile_by_hand():
    """A thin line, however wrong, fills no window; a patch does."""
    zero, line, patch = (torch.zeros(1, 3, 16, 24) for _ in range(3))
    line[:, :, :, 7] = 1.0  # 4 of the 16 pixels of a window
    patch[:, :, 3:8, 10:15] = 0.4
    window = PeakError(4, quantile=0.5)
    assert window(line, out_of(zero)).item() == 0
    assert window(patch, out_of(zero)).item() == pytest.approx(0.2)
    assert PeakError(4)(line, out_of(zero)).item() == pytest.approx(0.5 * 4 / 16)
    # cells of 2 x 2 pixels: rows 2 (half filled), 4 and 6, columns 10, 12 and 14 (half filled)
    cells = PeakError(6, quantile=1 / 8, cell=2)(patch, out_of(zero)).item()  # the second smallest of nine
    oracle = F.avg_pool2d(patch[:, :1] / 2, 2).unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).sort().values[..., 1].max()
    assert cells == pytest.approx(oracle.item()) and cells == pytest.approx(0.1)


def test_wall_hue_by_hand():
    # residual (0.1, 0.3, 0.5): 0.5 - (0.1 + 0.3) / 2 = 0.3; a grey residual has no hue
    value = WallHue()(flat([0.1, 0.3, 0.5], 0.4), out_of(flat(0.0, 0.0)))
    assert value.tolist() == pytest.approx([0.3, 0.0], abs=1e-6)


def test_glitter_against_opencv():
    rng = np.random.default_rng(0)
    target, output = rng.uniform(-1, 1, (2, 2, 32, 48, 3)).astype(np.float32)
    expected = []
    for x, y in zip(target, output, strict=True):
        fine = (x - y) - cv2.GaussianBlur(x - y, (13, 13), 1.5, borderType=cv2.BORDER_REFLECT_101)
        inside = (fine**2).mean(axis=2)[Ellipse().mask(32, 48)]
        expected.append(np.log(np.quantile(inside, 0.8)))
    x, y = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in (target, output))
    assert Glitter()(x, out_of(y)).tolist() == pytest.approx(expected, rel=1e-4)


def test_glitter_does_not_see_smooth_errors():
    smooth, noise = flat(0.5, height=32, width=48), torch.rand(1, 3, 32, 48)
    zero = out_of(torch.zeros(1, 3, 32, 48))
    assert Glitter()(smooth, zero).item() < -20 < Glitter()(noise, zero).item()


def test_minmax_sum_is_the_papers_score():
    score = Score(mnad_score("pred")).fit(torch.tensor([[-30.0, 0.1], [-20.0, 0.3], [-25.0, 0.2]], dtype=torch.float64))
    # by hand: 0.6 * (-25 + 30) / 10 + 0.4 * (0.2 - 0.1) / 0.2
    assert score(torch.tensor([[-25.0, 0.2]], dtype=torch.float64)).item() == pytest.approx(0.5)
    assert score(torch.tensor([[-10.0, 0.5]], dtype=torch.float64)).item() == pytest.approx(2.0)


def test_spread_max_is_an_or_with_equal_budgets():
    raw = torch.stack([torch.linspace(0, 1, 101), torch.linspace(0, 10, 101)], dim=1).double()
    score = Score(wells_score()).fit(raw)
    assert score.low.tolist() == pytest.approx([0.5, 5]) and score.high.tolist() == pytest.approx([0.99, 9.9])
    assert score(torch.tensor([[0.99, 0.0], [0.0, 9.9], [0.5, 5.0]]).double()).tolist() == pytest.approx([1, 1, 0])


def test_a_constant_term_does_not_divide_by_zero():
    score = Score(mnad_score()).fit(torch.tensor([[1.0, 2.0]] * 3, dtype=torch.float64))
    assert score(torch.tensor([[1.0, 2.0]], dtype=torch.float64)).item() == 0.0


def test_without_memory_the_paper_score_is_psnr():
    score = Score(mnad_score(), gives=["image"])
    assert score.names == ["psnr"] and score.label("mnad") == "PSNR only"
    assert Score(mnad_score()).label("mnad") == "mnad"


def test_scores_that_lose_the_same_terms_are_told_apart():
    scores = {name: mnad_score() for name in ("mnad", "again")} | {"psnr": ScoreConfig([TermConfig("psnr")])}
    detector = Detector(DetectorConfig(model=ModelConfig("conv_ae", width=4), scores=scores, primary="mnad"))
    assert [detector.label(name) for name in scores] == ["PSNR only (mnad)", "PSNR only (again)", "psnr"]


def test_statistics_travel_in_the_state_dict():
    raw = torch.rand(9, 2, dtype=torch.float64)
    fresh = Score(wells_score())
    fresh.load_state_dict(Score(wells_score()).fit(raw).state_dict())
    assert torch.equal(fresh(raw), Score(wells_score()).fit(raw)(raw))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (TermConfig("sparkle"), "'sparkle': unknown; expected one of psnr"),
        (TermConfig("glitter", options={"sigmaa": 2.0}), "glitter: options .*quantile, sigma, ellipse"),
        (TermConfig("glitter", options={"sigma": 0.0}), r"glitter: sigma 0\.0; expected a number above 0"),
        (TermConfig("wall_hue", options={"quantile": 7.0}), r"wall_hue: quantile 7\.0; expected a number from 0 to 1"),
        (
            TermConfig("wall_hue", options={"hue": [1.0, 0.0]}),
            r"wall_hue: hue \[1\.0, 0\.0\]; expected one number for each",
        ),
        (TermConfig("peak_error", options={"window": 0}), "peak_error: window 0; expected a whole number of pixels"),
        (TermConfig("peak_error", options={"window": float("inf")}), "peak_error: window inf; expected a whole number"),
        (TermConfig("peak_error", options={"cell": 0}), "peak_error: cell 0; expected a whole number of pixels"),
        (
            TermConfig("peak_error", options={"quantile": 2}),
            "peak_error: quantile 2; expected a number from 0 to 1",
        ),
        (TermConfig("wall_hue", options={"quantile": None}), "wall_hue: quantile None; expected a number from 0 to 1"),
        (
            TermConfig("glitter", options={"quantile": [0.5]}),
            r"glitter: quantile \[0\.5\]; expected a number from 0 to 1",
        ),
        (TermConfig("glitter", options={"sigma": None}), "glitter: sigma None; expected a number above 0"),
        (TermConfig("wall_hue", options={"hue": 1.0}), r"wall_hue: hue 1\.0; expected one number for each"),
        (
            TermConfig("glitter", options={"ellipse": {"centre": [0.5]}}),
            "glitter: ellipse .*; expected a centre of two numbers",
        ),
        (TermConfig("glitter", options={"ellipse": {"radii": [0.0, 0.3]}}), "glitter: ellipse .* two radii above 0"),
        (TermConfig("glitter", options={"ellipse": None}), "glitter: ellipse None; expected a centre of two numbers"),
    ],
)
def test_unknown_terms_and_options(term, message):
    with pytest.raises(UserError, match=message):
        Score(ScoreConfig([term]))


def test_no_terms():
    with pytest.raises(UserError, match="score: no terms; expected at least one"):
        Score(ScoreConfig([]))


def test_blur_wider_than_the_image_is_refused_before_training():
    wide = ScoreConfig([TermConfig("glitter", options={"sigma": 8.0})])  # reaches 32 pixels
    with pytest.raises(UserError, match=r"glitter: sigma 8\.0; expected 4 sigma below the image size 32 x 48"):
        Detector(DetectorConfig(model=ModelConfig(width=2, item_dim=4), scores={"wide": wide}, primary="wide"))


@pytest.mark.parametrize("smooth", [0, -3])
def test_smoothing_below_one_frame(smooth):
    with pytest.raises(UserError, match=f"^smooth: expected at least 1 frame, got {smooth}"):
        Score(ScoreConfig([TermConfig("psnr")], smooth=smooth))


def test_window_from_a_configuration_file_is_a_float():
    target, out = torch.rand(2, 3, 16, 16), Output(torch.rand(2, 3, 16, 16), torch.zeros(2), ())
    whole, read = (build_term(TermConfig("peak_error", options={"window": window})) for window in (5, 5.0))
    assert torch.equal(read(target, out), whole(target, out))


def test_no_quantile_is_the_mean_for_the_ellipse_error():
    assert build_term(TermConfig("ellipse_error", options={"quantile": None})).quantile is None


def test_options_reach_the_term():
    term = TermConfig("wall_hue", options={"quantile": 0.5, "ellipse": {"centre": [0.5, 0.5], "radii": [0.4, 0.4]}})
    assert build_term(term) == WallHue(0.5, ellipse=Ellipse([0.5, 0.5], [0.4, 0.4]))
