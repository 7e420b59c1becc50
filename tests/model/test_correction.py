"""White balance and exposure: hand-computed gains, the buffer in the checkpoint, and what passes through it."""

import numpy as np
import pytest
import torch

from mnad.config import CorrectionConfig, DetectorConfig, ImageConfig, ModelConfig
from mnad.data.images import Images
from mnad.detector import Detector
from mnad.model.correction import Correction
from mnad.model.ellipse import Ellipse
from mnad.model.order import median
from mnad.run import UserError
from mnad.training.corrected import corrected, fit_correction


def tinted(rgb: tuple[int, int, int], inside: int = 200) -> np.ndarray:
    """32 x 48 x 3 uint8: ``rgb`` outside the surroundings' ellipse, ``inside`` within."""
    image = np.full((32, 48, 3), inside, np.uint8)
    image[~Ellipse(radii=(0.45, 0.47)).mask(32, 48)] = rgb
    return image


def detector(kind: str = "surroundings") -> Detector:
    torch.manual_seed(0)
    config = DetectorConfig(model=ModelConfig(width=4, item_dim=16), correction=CorrectionConfig(kind=kind))
    return Detector(config)


def test_gain_by_hand():
    """Surroundings 102 -> 0.8 on [0, 2]; the reference 1.0 asks for a gain of 1.25; a pixel of 200 goes along."""
    correction = Correction(CorrectionConfig())
    x = torch.from_numpy(tinted((102, 102, 102))).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert torch.allclose(correction.estimate(x), torch.full((1, 3), 0.8), atol=1e-6)
    assert torch.allclose(correction.gains(x), torch.full((1, 3), 1.25), atol=1e-6)
    y = correction(x)
    assert y[0, 0, 0, 0].item() == pytest.approx(0.0, abs=1e-6)
    assert y[0, 0, 16, 24].item() == pytest.approx(200 / 127.5 * 1.25 - 1, abs=1e-5)  # 0.96: not clipped
    assert y.max() <= 1 < correction(torch.where(x > 0, torch.ones(()), x)).max()  # clipped nowhere


@pytest.mark.parametrize(("grey", "gain"), [(20, 1.4), (250, 0.7)])
def test_gains_stay_in_their_limits(grey, gain):
    x = torch.from_numpy(tinted((grey, grey, grey))).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert torch.allclose(Correction(CorrectionConfig()).gains(x), torch.full((1, 3), gain))


def test_median_is_that_of_torch():
    for count in (1, 2, 5, 12):
        values = torch.rand(3, 4, count)
        assert torch.equal(median(values), values.median(dim=-1).values)


def test_reference_is_the_median_of_the_training_images():
    images = Images([tinted((g, 100, 100)) for g in (90, 100, 130)], (32, 48))
    correction = Correction(CorrectionConfig())
    fit_correction(correction, images)
    assert torch.allclose(correction.reference, torch.tensor(100 / 127.5).expand(3), atol=1e-6)
    x, target = corrected(images, correction).inputs(np.array([0, 2]))
    assert x is target
    assert torch.allclose(correction.estimate(x), correction.reference.expand(2, 3), atol=1e-5)


def test_a_tint_within_the_limits_changes_no_score():
    scorer = detector()
    scorer.correction.reference.copy_(torch.tensor([0.6, 0.7, 0.65]))
    plain = torch.rand(4, 3, 32, 48) - 0.9
    dyed = (plain + 1) * torch.tensor([1.1, 0.9, 1.05])[:, None, None] - 1
    with torch.no_grad():
        for raw in zip(*(scorer.scores["mnad"].raw(*scorer.forward(x, x)) for x in (plain, dyed)), strict=True):
            assert torch.allclose(*raw, rtol=1e-3)


def test_checkpoint_has_the_reference(tmp_path):
    scorer = detector()
    images = Images([tinted((90 + i, 100, 110), 60 + 3 * i) for i in range(24)], (32, 48))
    fit_correction(scorer.correction, images)
    scorer.calibrate(images)
    scorer.save(tmp_path / "a.safetensors")
    again = Detector.load(tmp_path / "a.safetensors")
    assert torch.equal(again.correction.reference, scorer.correction.reference)
    for name, values in scorer.score_all(images).items():
        assert np.array_equal(again.score_all(images)[name], values)
    verdict = next(again.predict([tinted((45, 100, 110))]))
    assert verdict.gains["red"] == pytest.approx(1.4) and verdict.row()["gain_red"] == verdict.gains["red"]
    assert np.array_equal(again.anomaly_map(images.batch([3])), scorer.anomaly_map(images.batch([3])))


def test_off_by_default_and_nothing_in_the_file(tmp_path):
    scorer = detector("none")
    assert scorer.correction is None and DetectorConfig().correction.kind == "none"
    x = torch.rand(2, 3, 32, 48)
    assert scorer.forward(x, x)[0] is x
    scorer.calibrate(Images([tinted((90, 100, i)) for i in range(20, 28)], (32, 48)))
    scorer.save(tmp_path / "a.safetensors")
    from safetensors import safe_open

    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert not [key for key in file.keys() if key.startswith("correction")]  # noqa: SIM118 - not a dict


def test_what_is_refused():
    with pytest.raises(UserError, match=r"correction\.kind: 'surroundings' with model.variant pred; expected 'none'"):
        DetectorConfig(model=ModelConfig(variant="pred"), correction=CorrectionConfig(kind="surroundings"))
    with pytest.raises(UserError, match=r"correction\.limits: expected one number up to 1"):
        CorrectionConfig(limits=(1.1, 1.4))
    with pytest.raises(UserError, match="no pixel outside"):
        wide = CorrectionConfig(kind="surroundings", radii=(5.0, 5.0))
        Detector(DetectorConfig(images=ImageConfig(), model=ModelConfig(width=4, item_dim=16), correction=wide))


def test_grey_is_refused_where_the_verdict_needs_colour():
    scorer = detector("none")
    scorer.calibrate(Images([tinted((90, 100, i)) for i in range(20, 28)], (32, 48)))
    grey, colour = tinted((90, 90, 90)), tinted((90, 100, 130))
    first, second = scorer.predict([grey, colour])
    assert first.error == "#0: has no colour; expected a photograph in colour" and not second.error
