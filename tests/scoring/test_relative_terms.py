"""The terms that compare the well with its surroundings, against slow oracles."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from mnad.config import ScoreConfig, TermConfig
from mnad.model.ellipse import SURROUNDINGS, Ellipse
from mnad.model.network import Output
from mnad.run import UserError
from mnad.scoring.scores import Score, build_term
from mnad.scoring.terms import blur
from mnad.scoring.wells import RelativeGlitter, RelativeWallHue

INSIDE, OUTSIDE = Ellipse().mask(32, 48), ~SURROUNDINGS.mask(32, 48)


def pair(seed: int = 0) -> tuple[torch.Tensor, Output]:
    generator = torch.Generator().manual_seed(seed)
    target, output = (torch.rand(3, 3, 32, 48, generator=generator) * 2 - 1 for _ in range(2))
    return target, Output(output, output, ())


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5, 2.5])
def test_blur_is_that_of_torchvision(sigma):
    x = pair()[0]
    kernel = 2 * round(4 * sigma) + 1
    assert torch.allclose(blur(x, sigma), gaussian_blur(x, [kernel, kernel], [sigma, sigma]), atol=2e-6)


def test_blur_of_a_row_shorter_than_the_kernel():
    """Reflected again and again, as OpenCV does not allow; a constant stays one, and nothing is lost."""
    assert torch.allclose(blur(torch.full((1, 2, 3), 0.3), 2.5), torch.full((1, 2, 3), 0.3), atol=1e-6)


def test_relative_hue_against_numpy():
    target, out = pair()
    residual = (target - out.output).numpy()
    hue = residual[:, 2] - 0.5 * (residual[:, 0] + residual[:, 1])
    around = np.sort(hue[:, OUTSIDE], axis=1)
    expected = np.quantile(hue[:, INSIDE], 0.7, axis=1) - around[:, (around.shape[1] - 1) // 2]
    assert RelativeWallHue()(target, out).numpy() == pytest.approx(expected, abs=1e-6)


def test_a_tint_of_the_whole_picture_cancels():
    target, out = pair()
    tinted = target + torch.tensor([0.0, -0.1, 0.2])[:, None, None]
    assert torch.allclose(RelativeWallHue()(tinted, out), RelativeWallHue()(target, out), atol=1e-5)


def test_relative_glitter_against_opencv():
    target, out = pair()
    expected = []
    for picture, rebuilt in zip(target.numpy(), out.output.numpy(), strict=True):
        residual = (picture - rebuilt).transpose(1, 2, 0).astype(np.float64)

        def smooth(image, sigma):
            size = 2 * round(4 * sigma) + 1
            return cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)

        fine = ((residual - smooth(residual, 1.5)) ** 2).mean(axis=2)
        band = ((smooth(residual, 1.0) - smooth(residual, 2.5)) ** 2).mean(axis=2)
        grey = picture.mean(axis=0).astype(np.float64)
        rim = (grey - smooth(grey, 1.5)) ** 2
        parts = np.quantile(fine[INSIDE], 0.8), np.quantile(band[INSIDE], 0.8), np.quantile(rim[OUTSIDE], 0.9)
        logs = np.log(np.array(parts) + 1e-6)
        expected.append(0.5 * logs[0] + 0.5 * logs[1] - 0.5 * logs[2])
    assert RelativeGlitter()(target, out).numpy() == pytest.approx(np.array(expected), abs=1e-4)


def test_contrast_of_the_whole_picture_cancels():
    target, out = pair()
    low = Output(out.output * 0.5, out.queries, ())
    lost = RelativeGlitter()(target, out) - RelativeGlitter()(target * 0.5, low)
    assert torch.allclose(lost, torch.full((3,), 0.5 * np.log(4.0)), atol=1e-3)  # half of it, by the default share
    whole = RelativeGlitter(rim_share=1.0)
    assert torch.allclose(whole(target * 0.5, low), whole(target, out), atol=1e-3)


def test_options_and_their_ranges():
    term = build_term(TermConfig("relative_glitter", options={"surroundings": {"radii": [0.4, 0.4]}}))
    assert term.surroundings == Ellipse(radii=[0.4, 0.4])
    for options, message in (
        ({"band": [2.0, 1.0]}, "band .*; expected two sigmas above 0, the smaller first"),
        ({"rim_share": 2}, "rim_share 2; expected a number from 0 to 1"),
        (
            {"surroundings": {"radii": [0, 1]}},
            "surroundings .*; expected a centre of two numbers and two radii",
        ),
    ):
        with pytest.raises(UserError, match=message):
            build_term(TermConfig("relative_glitter", options=options))


def test_each_term_has_its_own_high_quantile():
    terms = [TermConfig("psnr", high=0.9), TermConfig("peak_error")]
    score = Score(ScoreConfig(terms, normalise="spread")).fit(torch.arange(101.0).double()[:, None].expand(101, 2))
    assert score.low.tolist() == [50, 50] and score.high.tolist() == pytest.approx([90, 99])
    with pytest.raises(UserError, match=r"score term psnr: high 0.4; expected a number above 0.5, at most 1"):
        TermConfig("psnr", high=0.4)
