"""The control without a network, and the whitening that it shares with the terms, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from baselines.whitened_mean import WhitenedMean
from mnad.config import DetectorConfig, ImageConfig, OptimConfig, ScoreConfig, TermConfig
from mnad.data.images import Images
from mnad.model.ellipse import Ellipse
from mnad.scoring.whitening import Whitening

SIZE = (32, 48)


def pictures(count: int, seed: int) -> Images:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(3, 3)) * 15  # correlated channels
    return Images(list(np.clip(128 + rng.normal(size=(count, *SIZE, 3)) @ mixing, 0, 255).astype(np.uint8)), SIZE)


def test_whitening_against_numpy() -> None:
    x, _ = pictures(60, 0).inputs(np.arange(60))
    whitening = Whitening(SIZE)
    for part in x.split(25):
        whitening.add(part, 0.5 * part)
    whitening.close()
    residual = 0.5 * x[:, :, 3, 5].double().numpy()
    covariance = np.cov(residual.T, bias=True) + 1e-4 * np.eye(3)
    centred = residual - residual.mean(axis=0)
    found = whitening(x, 0.5 * x)[:, :, 3, 5].double().numpy()
    np.testing.assert_allclose(
        (found**2).sum(1), np.einsum("nc,nc->n", centred, np.linalg.solve(covariance, centred.T).T), rtol=1e-3
    )
    np.testing.assert_allclose(
        found, np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("inside", [True, False])
def test_control_against_numpy(tmp_path: Path, inside: bool) -> None:
    term = TermConfig("ellipse_error") if inside else TermConfig("psnr")
    config = DetectorConfig(images=ImageConfig(*SIZE), scores={"plain": ScoreConfig([term])}, primary="plain")
    method = WhitenedMean(config, OptimConfig(), 0, tmp_path)
    train, validation, test = pictures(60, 0), pictures(20, 1), pictures(3, 2)
    method.fit(train, validation)
    x = torch.cat([part.inputs(np.arange(len(part)))[0] for part in (train, validation, test)]).double().numpy()
    mean = x[:60].mean(axis=0)
    residual = x[:60] - mean
    covariance = np.einsum("bchw,bdhw->hwcd", residual, residual) / 60 + 1e-4 * np.eye(3)
    white = np.einsum("hwcd,bdhw->bchw", np.linalg.inv(np.linalg.cholesky(covariance)), x[60:] - mean)
    slow = gaussian_filter(white, (0, 0, 1.5, 1.5), mode="mirror", truncate=4)
    mask = Ellipse().mask(*SIZE) if inside else np.ones(SIZE, bool)
    errors = [
        np.log(np.quantile((p**2).mean(1)[:, mask], q, axis=1) + 1e-12) for p, q in ((slow, 0.5), (white - slow, 0.7))
    ]
    scaled = []
    for error in errors:
        low, high = np.quantile(error[:20], [0.5, 0.99])
        scaled.append((error[20:] - low) / (high - low))
    np.testing.assert_allclose(method.score(test), np.maximum(*scaled), rtol=1e-3)
    assert method.parameters == 32 * 48 * 12 and method.anomaly_map(test.batch(np.arange(3))).shape == (3, *SIZE)
