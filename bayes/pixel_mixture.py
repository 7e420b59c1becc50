"""Avatars by style, then by pixel: a pixel generator per style, mixed by the probabilities of the styles."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from bayes.image_sampler import ImageSampler
from bayes.pixel_generator import PixelGenerator
from bayes.style_generator import RandomState
from mnad.run import UserError


class PixelMixture(ImageSampler, BaseEstimator):
    """Generator that first draws a style s and then an image from the avatars of this style.

    P(image) = sum_s P(s) P(image | s), summed in log space; P(image | s) is ``pixels`` fitted to the avatars
    of style s, and P(s | image) follows by Bayes' rule (``posterior``). A style is any label of the avatars:
    a value of one category, or a combination of several.

    Args:
        pixels: the generator of P(image | s), cloned for each style; None is ``PixelGenerator()``.
        random_state: seed (or numpy Generator) of ``sample`` and of the iteration; None is a new one every
            time.

    Attributes:
        styles_: list of the S styles of positive probability.
        log_priors_: (S,) ln P(s).
        generators_: list of the S fitted generators of P(image | s).
    """

    def __init__(self, pixels: PixelGenerator | None = None, random_state: RandomState = None) -> None:
        self.pixels = pixels
        self.random_state = random_state

    def fit(
        self,
        images: np.ndarray,
        labels: Sequence[Hashable],
        prior: Mapping[Hashable, float] | None = None,
        regions: np.ndarray | None = None,
    ) -> "PixelMixture":
        """Fit one generator per style.

        Args:
            images: (N, H, W, C) uint8.
            labels: the N styles of the avatars.
            prior: style to P(s), adding up to 1; None takes the shares of the styles among the labels.
            regions: (H, W) labels, see ``PixelGenerator.fit``.

        Raises:
            UserError: not one label per avatar, a prior that is no distribution, or a style of positive
                probability that no avatar has; and what ``PixelGenerator.fit`` raises.
        """
        labels = list(labels)
        if len(labels) != len(images):
            raise UserError(f"labels: expected one for each of {len(images)} avatars, got {len(labels)}")
        if prior is None:
            prior = {style: labels.count(style) / len(labels) for style in dict.fromkeys(labels)}
        shares = np.array(list(prior.values()), dtype=np.float64)
        if not ((shares >= 0).all() and np.isclose(shares.sum(), 1)):
            raise UserError(f"prior: expected probabilities that add up to 1, got {dict(prior)}")
        self.styles_ = [style for style, share in prior.items() if share > 0]
        self.log_priors_ = np.log(shares[shares > 0])
        pixels = PixelGenerator() if self.pixels is None else self.pixels
        self.generators_ = []
        for style in self.styles_:
            if style not in labels:
                raise UserError(f"prior: no avatar has the style {style!r}; expected probability 0 for it")
            members = [label == style for label in labels]
            self.generators_.append(clone(pixels).fit(images, members, regions))
        return self

    def log_probability(self, images: np.ndarray) -> float | np.ndarray:
        """ln P of one image (H, W, C) as a float, or of n images (n, H, W, C) as an array (n,)."""
        joint = self._log_joint(images)
        log_probabilities = logsumexp(joint, axis=0)
        return float(log_probabilities) if joint.ndim == 1 else log_probabilities

    def posterior(self, image: np.ndarray) -> dict[Hashable, float]:
        """Style to P(s | image) = P(s) P(image | s) / P(image), for one image (H, W, C).

        Raises:
            UserError: the image has probability zero under every style.
        """
        joint = self._log_joint(image)
        total = logsumexp(joint)
        if np.isneginf(total):
            raise UserError("posterior: the image has probability zero; expected a possible one (or alpha > 0)")
        return dict(zip(self.styles_, np.exp(joint - total).tolist(), strict=True))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One image (H, W, C): a style by its probability, then an avatar of this style."""
        style = rng.choice(len(self.styles_), p=np.exp(self.log_priors_ - logsumexp(self.log_priors_)))
        return self.generators_[style].draw(rng)

    def _log_joint(self, images: np.ndarray) -> np.ndarray:
        """ln P(s) + ln P(image | s): (S,) for one image, (S, n) for n."""
        check_is_fitted(self)
        conditional = np.array([generator.log_probability(images) for generator in self.generators_])
        return (self.log_priors_ + conditional.T).T
