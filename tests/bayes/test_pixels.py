"""Avatars by pixel: exact probabilities against slow oracles, frequencies, speed, memory, bad input."""

import time
import tracemalloc
from itertools import islice, product
from math import exp, log

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from bayes import PixelGenerator, PixelMixture, scientific
from mnad.run import UserError


def slow_log_probability(avatars, weights, regions, alpha, image):
    """ln P(image) by the definition, one value at a time; ``regions`` (H, W, C) labels every value."""
    total, log_p = sum(weights), 0.0
    for region in np.unique(regions):
        p = 0.0
        for avatar, weight in zip(avatars, weights, strict=True):
            likelihood = 1.0
            for position in zip(*np.nonzero(regions == region), strict=True):
                hit = float(avatar[position] == image[position])
                likelihood *= (total * hit + alpha) / (total + 256 * alpha)
            p += weight / total * likelihood
        log_p += log(p) if p > 0 else -np.inf
    return log_p


@pytest.fixture
def avatars():
    """Five avatars of 4 x 6 x 3 with three levels, one of them twice."""
    images = np.random.default_rng(5).integers(3, size=(5, 4, 6, 3), dtype=np.uint8) * 100
    images[3] = images[1]
    return images


def one_pixel(*values):
    return np.array(values, dtype=np.uint8).reshape(len(values), 1, 1, 1)


def test_two_one_pixel_avatars_by_hand():
    generator = PixelGenerator().fit(one_pixel(10, 20))
    assert generator.log_probability(one_pixel(10)[0]) == pytest.approx(log(1 / 2))
    assert generator.log_probability(one_pixel(30)[0]) == -np.inf
    weighted = PixelGenerator().fit(one_pixel(10, 20), sample_weight=[3, 1])
    assert weighted.log_probability(one_pixel(10)[0]) == pytest.approx(log(3 / 4))
    smoothed = PixelGenerator(alpha=0.5).fit(one_pixel(10, 20))
    expected = [log(1.5 / 130), log(1.5 / 130), log(0.5 / 130)]
    np.testing.assert_allclose(smoothed.log_probability(one_pixel(10, 20, 30)), expected)
    assert generator.entropy().item() == pytest.approx(1)
    assert weighted.entropy().item() == pytest.approx(0.811278, abs=1e-6)


@pytest.mark.parametrize("parameters", [{}, {"block": 1}])
@pytest.mark.parametrize("alpha", [0, 1e-300, 0.7, 1e6])
def test_the_256_levels_have_total_probability_1(parameters, alpha):
    generator = PixelGenerator(alpha, **parameters).fit(one_pixel(0, 7, 7, 255), sample_weight=[0.1, 0.2, 0.3, 0])
    levels = generator.log_probability(one_pixel(*range(256)))
    assert np.exp(levels).sum() == pytest.approx(1)
    if alpha == 0:
        assert np.isfinite(levels).sum() == 2, "an avatar of weight 0 gives nothing"
        np.testing.assert_allclose(np.exp(levels[[0, 7]]), [1 / 6, 5 / 6])


@pytest.mark.parametrize("alpha", [0, 0.05])
def test_a_block_has_total_probability_1(alpha):
    """Two values sharing a choice. Level 2 stands for all 254 levels that no avatar has."""
    images = np.array([[0, 1], [1, 1], [0, 1]], dtype=np.uint8).reshape(3, 1, 1, 2)
    generator = PixelGenerator(alpha, block=1).fit(images)
    everything = np.array(list(product(range(3), repeat=2)), dtype=np.uint8).reshape(9, 1, 1, 2)
    probabilities = np.exp(generator.log_probability(everything))
    multiplicities = np.where(everything == 2, 254, 1).prod(axis=(1, 2, 3))
    assert (probabilities * multiplicities).sum() == pytest.approx(1)
    if alpha == 0:
        np.testing.assert_allclose(probabilities.reshape(3, 3), [[0, 2 / 3, 0], [0, 1 / 3, 0], [0, 0, 0]])


SHARING = {
    "channel": (None, lambda h, w, c: (h * 6 + w) * 3 + c),
    "pixel": (1, lambda h, w, c: h * 6 + w),
    "block": (4, lambda h, w, c: w // 4 + 0 * h),
    "image": (6, lambda h, w, c: 0 * h),
}


@pytest.mark.parametrize("weights", [None, [0.25, 1.5, 1, 0.75, 3]])
@pytest.mark.parametrize("alpha", [0, 0.01, 2])
@pytest.mark.parametrize("sharing", SHARING)
def test_log_probability_of_samples_against_a_slow_loop(avatars, sharing, alpha, weights):
    block, label = SHARING[sharing]
    generator = PixelGenerator(alpha, block).fit(avatars, weights)
    images, log_probabilities = generator.sample(3, random_state=8)
    regions = label(*np.ogrid[:4, :6, :3]) + np.zeros((4, 6, 3), dtype=int)
    expected = [slow_log_probability(avatars, weights or [1] * 5, regions, alpha, image) for image in images]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(log_probabilities, expected, rtol=1e-10)


def test_free_regions_against_a_slow_loop(avatars):
    regions = np.random.default_rng(0).choice([4, 17, -2], size=(4, 6))
    generator = PixelGenerator(alpha=0.02).fit(avatars, regions=regions)
    images, log_probabilities = generator.sample(2, random_state=1)
    labels = np.repeat(regions[..., None], 3, axis=2)
    expected = [slow_log_probability(avatars, [1] * 5, labels, 0.02, image) for image in images]
    np.testing.assert_allclose(log_probabilities, expected, rtol=1e-10)


def test_one_region_gives_back_the_avatars(avatars):
    generator = PixelGenerator().fit(avatars, regions=np.zeros((4, 6)))
    images, log_probabilities = generator.sample(50, random_state=0)
    same = (images[:, None] == avatars).all(axis=(2, 3, 4))
    assert same.any(axis=1).all()
    np.testing.assert_allclose(log_probabilities, np.log(same.sum(axis=1) / 5), err_msg="duplicates count twice")
    np.testing.assert_allclose(sorted(set(log_probabilities.round(9))), np.log([1 / 5, 2 / 5]), atol=1e-8)


def test_a_weight_of_2_is_a_duplicate(avatars):
    image = avatars[0]
    for parameters in ({"alpha": 0.1}, {"alpha": 0.1, "block": 2}):
        weighted = PixelGenerator(**parameters).fit(avatars[:3], [1, 2, 1]).log_probability(image)
        doubled = PixelGenerator(**parameters).fit(avatars[[0, 1, 1, 2]]).log_probability(image)
        assert weighted == pytest.approx(doubled, rel=1e-12)


def test_impossible_images_have_minus_infinity(avatars):
    image = avatars[0].copy()
    image[0, 0, 0] = 1
    for parameters in ({}, {"block": 2}, {"block": 1}):
        possible, impossible = PixelGenerator(**parameters).fit(avatars).log_probability(np.stack([avatars[0], image]))
        assert np.isfinite(possible)
        assert impossible == -np.inf


@pytest.mark.parametrize(("alpha", "block"), [(0, None), (0.02, None), (0, 1), (0.02, 1)])
def test_sampled_frequencies_match_the_probabilities(alpha, block):
    n, avatars, weights = 100 * 200, one_pixel(10, 10, 20, 30), [1, 2, 3, 4]
    images, _ = PixelGenerator(alpha, block).fit(avatars.repeat(100, 1).repeat(200, 2), weights).sample(1, 0)
    generator = PixelGenerator(alpha, block).fit(avatars, weights)
    observed = np.bincount(images.ravel(), minlength=256)
    expected = n * np.exp(generator.log_probability(one_pixel(*range(256))))
    possible = expected > 0
    assert observed[~possible].sum() == 0
    assert chisquare(observed[possible], expected[possible]).pvalue > 1e-3


def test_channels_are_independent_and_pixels_are_not():
    images = np.array([[0, 0], [1, 1]], dtype=np.uint8).reshape(2, 1, 1, 2)
    free, _ = PixelGenerator().fit(images).sample(2000, random_state=0)
    assert 0.45 < (free[..., 0] != free[..., 1]).mean() < 0.55
    shared, _ = PixelGenerator(block=1).fit(images).sample(2000, random_state=0)
    assert (shared[..., 0] == shared[..., 1]).all()
    assert 0.45 < shared.mean() < 0.55


@pytest.mark.parametrize("alpha", [0, 0.3])
def test_entropy_against_all_levels(avatars, alpha):
    weights = np.array([1, 2, 0.5, 1, 1])
    generator = PixelGenerator(alpha).fit(avatars, weights)
    levels = np.arange(256).reshape(256, 1, 1, 1, 1)
    counts = ((avatars == levels) * weights[:, None, None, None]).sum(axis=1)
    p = (counts + alpha) / (weights.sum() + 256 * alpha)
    expected = -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=0)
    np.testing.assert_allclose(generator.entropy(), expected, atol=1e-12)


def test_iteration_is_the_sample_with_the_same_seed(avatars):
    for generator in (
        PixelGenerator(0.1, random_state=3).fit(avatars),
        PixelMixture(PixelGenerator(block=2), random_state=3).fit(avatars, "aabbb"),
    ):
        images, log_probabilities = generator.sample(4)
        drawn = list(islice(generator, 4))
        assert (np.stack([image for image, _ in drawn]) == images).all()
        np.testing.assert_array_equal([log_p for _, log_p in drawn], log_probabilities)
        assert (generator.sample(4, random_state=4)[0] != images).any()


def test_estimator_manners(avatars):
    assert clone(PixelGenerator(2, block=3)).get_params() == {"alpha": 2, "block": 3, "random_state": None}
    for estimator in (PixelGenerator(), PixelMixture()):
        with pytest.raises(NotFittedError):
            estimator.sample()
        with pytest.raises(NotFittedError):
            estimator.log_probability(avatars)
        with pytest.raises(NotFittedError):
            next(iter(estimator))


def test_mixture_over_styles_is_the_sum(avatars):
    labels, prior = ["a", "b", "b", "a", "c"], {"c": 0.5, "a": 0.2, "b": 0.3, "nobody": 0.0}
    mixture = PixelMixture(PixelGenerator(alpha=0.05)).fit(avatars, labels, prior)
    images, log_probabilities = mixture.sample(6, random_state=0)
    expected = []
    for image in images:
        joint = [
            log(prior[s]) + PixelGenerator(0.05).fit(avatars[[label == s for label in labels]]).log_probability(image)
            for s in "cab"
        ]
        expected.append(logsumexp(joint))
        posterior = mixture.posterior(image)
        assert list(posterior) == list("cab")
        np.testing.assert_allclose(list(posterior.values()), np.exp(joint - logsumexp(joint)), rtol=1e-9)
    np.testing.assert_allclose(log_probabilities, expected, rtol=1e-12)
    assert mixture.log_probability(images[0]) == pytest.approx(expected[0], rel=1e-12)


def test_mixture_by_hand():
    """P(10) = 1/4 * 1 + 3/4 * 1/3."""
    mixture = PixelMixture().fit(one_pixel(10, 10, 20, 30), ["x", "y", "y", "y"])
    probabilities = np.exp(mixture.log_probability(one_pixel(10, 20, 40)))
    np.testing.assert_allclose(probabilities, [1 / 2, 1 / 4, 0])
    assert mixture.posterior(one_pixel(10)[0]) == pytest.approx({"x": 1 / 2, "y": 1 / 2})
    with pytest.raises(UserError, match="probability zero"):
        mixture.posterior(one_pixel(40)[0])


def test_scientific_notation_far_below_floats():
    assert scientific(log(0.00123)) == "1.23e-3"
    assert scientific(0.0) == "1.00e+0"
    assert scientific(-np.inf) == "0"
    assert scientific(-1000 * log(10), digits=5) == "1.0000e-1000"
    assert scientific(-609425.0138278487) == "1.20e-264670"
    mantissa, exponent = scientific(-123456.789, digits=9).split("e")
    assert exp(-123456.789 - int(exponent) * log(10)) == pytest.approx(float(mantissa), rel=1e-8)


def test_a_full_size_avatar_is_quick_and_small():
    """Eleven random avatars of the size of the course; 0.3 s is the aim, the bound is for a busy machine."""
    images = np.random.default_rng(0).integers(256, size=(11, 560, 528, 3), dtype=np.uint8)
    seconds = []
    for seed in range(3):
        start = time.perf_counter()
        PixelGenerator().fit(images).sample(random_state=seed)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 3.0
    tracemalloc.start()
    _, log_probability = PixelGenerator().fit(images).sample(random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * images.nbytes
    # Random avatars hardly ever agree: each value has about probability 1/11.
    assert log_probability[0] == pytest.approx(-images[0].size * log(11), rel=0.02)


def test_bad_input(avatars):
    def error(match):
        return pytest.raises(UserError, match=match)

    with error("images: expected uint8, got type float64"):
        PixelGenerator().fit(avatars / 255)
    with error(r"images: expected \(N, H, W, C\), got shape \(4, 6, 3\)"):
        PixelGenerator().fit(avatars[0])
    with error(r"sample_weight: expected one weight per avatar, shape \(5,\), got \(2,\)"):
        PixelGenerator().fit(avatars, [1, 2])
    for weights in ([0] * 5, [1, 1, 1, 1, -1], [1, 1, 1, 1, np.nan]):
        with error("sample_weight: expected finite weights of at least 0"):
            PixelGenerator().fit(avatars, weights)
    with error("alpha: expected .*, got nan"):
        PixelGenerator(alpha=float("nan")).fit(avatars)
    with error("block: expected a whole number of at least 1, got 0"):
        PixelGenerator(block=0).fit(avatars)
    with error(r"regions: expected the shape of the images, \(4, 6\), got \(6, 4\)"):
        PixelGenerator().fit(avatars, regions=np.zeros((6, 4)))
    with error("block: 2 was given together with regions"):
        PixelGenerator(block=2).fit(avatars, regions=np.zeros((4, 6)))
    with error(r"images: expected \(N, 4, 6, 3\), got shape \(1, 2, 2, 3\)"):
        PixelGenerator().fit(avatars).log_probability(avatars[0, :2, :2])
    with error("n: expected .*, got 1.5"):
        PixelGenerator().fit(avatars).sample(1.5)
    with error("^random_state: expected a whole number of at least 0, got -1$"):
        PixelGenerator(random_state=-1).fit(avatars).sample()
    with error("^random_state: expected a whole number of at least 0, got -1"):
        next(iter(PixelMixture(random_state=-1).fit(avatars, "aabbb")))
    with error("labels: expected one for each of 5 avatars, got 2"):
        PixelMixture().fit(avatars, "ab")
    with error("prior: .* add up to 1"):
        PixelMixture().fit(avatars, "aabbb", {"a": 0.5, "b": 0.6})
    with error("prior: no avatar has the style 'z'"):
        PixelMixture().fit(avatars, "aabbb", {"a": 0.5, "b": 0.3, "z": 0.2})
