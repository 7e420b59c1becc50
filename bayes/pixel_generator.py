"""Avatars by pixel: the formula of total probability over the avatars, with exact log probabilities."""

import numpy as np
from scipy.special import xlogy
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from bayes.image_sampler import ImageSampler
from bayes.style_generator import RandomState
from bayes.validation import check_alpha, check_images, check_n, check_weights
from mnad.run import UserError

LEVELS = 256


class PixelGenerator(ImageSampler, BaseEstimator):
    """Generator of images that takes every value from one of the training avatars, chosen at random.

    With avatar a of weight w_a, W the sum of the weights and x_a(p) the avatar's value at position p (a
    channel of a pixel), the formula of total probability over the avatars reads

        P(v at p) = sum_a P(a) P(v at p | a),  P(a) = w_a / W,
        P(v at p | a) = (W [x_a(p) = v] + alpha) / (W + 256 alpha),

    that is P(v at p) = (sum of the weights of the avatars with value v there + alpha) / (W + 256 alpha): the
    maximum likelihood estimate at ``alpha = 0`` (an equal share for equal weights), the mean of the Dirichlet
    posterior over the 256 levels otherwise.

    What shares one choice of the avatar is a region r of positions. Regions are independent, so

        ln P(image) = sum_r ln sum_a P(a) prod_{p in r} P(v_p at p | a).

    By default every channel of every pixel is a region. Such images look like all avatars laid over each
    other, and at ``alpha > 0`` a share 256 alpha / (W + 256 alpha) of their values is noise, uniform over the
    levels. Choosing once per block (``block``) or once per region (``regions`` of ``fit``), or fitting images
    of a smaller size, gives pictures that resemble avatars; the probability is exact in each case.

    Iterating over a fitted generator draws (image, log probability) endlessly, beginning anew from
    ``random_state``.

    Args:
        alpha: pseudo-count of each of the 256 levels, at least 0, in the unit of the weights.
        block: None: every channel of every pixel chooses its avatar; b >= 1: all values of a block of b x b
            pixels share one choice.
        random_state: seed (or numpy Generator) of ``sample`` and of the iteration; None is a new one every
            time.

    Attributes:
        images_: (N, H, W, C) uint8, the avatars of positive weight (not copied if that is all of them).
        weights_: (N,) float64, their weights.
        total_: the sum of the weights.
        regions_: (H, W) int labels 0..R-1 of the regions, or None where every value is its own.
    """

    def __init__(self, alpha: float = 0.0, block: int | None = None, random_state: RandomState = None) -> None:
        self.alpha = alpha
        self.block = block
        self.random_state = random_state

    def fit(
        self, images: np.ndarray, sample_weight: np.ndarray | None = None, regions: np.ndarray | None = None
    ) -> "PixelGenerator":
        """Take the avatars in.

        Args:
            images: (N, H, W, C) uint8.
            sample_weight: (N,) weights of the avatars, finite, at least 0 and not all 0; None is 1 for each.
                A weight of 2 is the same as having the avatar twice. 0/1 weights condition on what the
                avatars share, for instance on a style.
            regions: (H, W) labels; pixels of one label share the choice of the avatar. Only with
                ``block=None``.

        Raises:
            UserError: a wrong shape or type, a weight or ``alpha`` out of range, or ``block`` together with
                regions.
        """
        check_alpha(self.alpha)
        images = check_images(images, "images")
        weights = check_weights(sample_weight, len(images))
        self.regions_ = self._regions(images.shape[1:3], regions)
        positive = weights > 0
        self.images_ = images if positive.all() else images[positive]
        self.weights_ = weights[positive]
        self.total_ = float(self.weights_.sum())
        return self

    def log_probability(self, images: np.ndarray) -> float | np.ndarray:
        """ln P of one image (H, W, C) as a float, or of n images (n, H, W, C) as an array (n,); uint8.

        -inf for an image that the generator cannot draw (only at ``alpha = 0``).

        Raises:
            UserError: the images have another size or type than the avatars.
        """
        check_is_fitted(self)
        images = np.asarray(images)
        single = images.ndim == 3
        images = check_images(images[None] if single else images, "images", self.images_.shape[1:])
        log_probabilities = np.array([self._log_probability(image) for image in images])
        return float(log_probabilities[0]) if single else log_probabilities

    def entropy(self) -> np.ndarray:
        """Entropy (H, W, C) in bits of the value at each position, -sum_v P(v) log2 P(v), between 0 and 8.

        The choice shared within a region does not matter here: each position's own distribution is the same.
        """
        check_is_fitted(self)
        normaliser = self.total_ + LEVELS * self.alpha
        entropy = np.zeros(self.images_.shape[1:])
        seen = np.zeros(self.images_.shape[1:])  # number of different levels among the avatars
        for image, weight in zip(self.images_, self.weights_, strict=True):
            agreeing = self._agreeing_weight(image)
            probability = (agreeing + self.alpha) / normaliser
            share = weight / agreeing  # the shares of the avatars with one level add up to 1
            entropy -= share * xlogy(probability, probability)
            seen += share
        unseen = self.alpha / normaliser
        entropy -= (LEVELS - seen) * xlogy(unseen, unseen)
        return np.maximum(entropy, 0) / np.log(2)

    def _regions(self, shape: tuple[int, int], regions: np.ndarray | None) -> np.ndarray | None:
        if self.block is None:
            if regions is None:
                return None
            regions = np.asarray(regions)
            if regions.shape != shape:
                raise UserError(f"regions: expected the shape of the images, {shape}, got {regions.shape}")
            return np.unique(regions, return_inverse=True)[1].reshape(shape)
        if regions is not None:
            raise UserError(f"block: {self.block!r} was given together with regions; expected only one of them")
        block = min(check_n(self.block, "block"), max(shape))
        rows, columns = (np.arange(length) // block for length in shape)
        return rows[:, None] * (columns[-1] + 1) + columns

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One image (H, W, C)."""
        avatars, shares, shape = len(self.images_), self.weights_ / self.total_, self.images_.shape[1:]
        if self.regions_ is None:
            choice = rng.choice(avatars, size=shape, p=shares)
        else:
            choice = rng.choice(avatars, size=self.regions_.max() + 1, p=shares)[self.regions_][..., None]
        image = np.take_along_axis(self.images_, choice[None], axis=0)[0]
        if self.alpha > 0:
            noisy = rng.random(shape) < LEVELS * self.alpha / (self.total_ + LEVELS * self.alpha)
            image[noisy] = rng.integers(LEVELS, size=np.count_nonzero(noisy), dtype=np.uint8)
        return image

    def _agreeing_weight(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C): the summed weight of the avatars that have the image's value there."""
        agreeing = np.zeros(image.shape)
        for avatar, weight in zip(self.images_, self.weights_, strict=True):
            agreeing += weight * (avatar == image)
        return agreeing

    def _log_probability(self, image: np.ndarray) -> float:
        normaliser = self.total_ + LEVELS * self.alpha
        if self.regions_ is None:
            # xlogy(1, 0) is -inf without a warning
            return float((xlogy(1.0, self._agreeing_weight(image) + self.alpha) - np.log(normaliser)).sum())
        labels = self.regions_.ravel()
        values = np.bincount(labels) * image.shape[2]  # number of values in each region
        hit, miss = (self.total_ + self.alpha) / normaliser, self.alpha / normaliser
        log_regions = np.full(values.shape, -np.inf)
        for avatar, weight in zip(self.images_, self.weights_, strict=True):
            hits = np.bincount(labels, weights=np.einsum("hwc->hw", avatar == image, dtype=int).ravel())
            # the sum of hits log P(value | a) and misses: xlogy(0, 0) is 0
            log_region = np.log(weight / self.total_) + xlogy(hits, hit) + xlogy(values - hits, miss)
            log_regions = np.logaddexp(log_regions, log_region)
        return float(log_regions.sum())
