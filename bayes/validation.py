"""Checks that both generators share."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

import numpy as np

from mnad.run import UserError

MAX_COUNT = 1e100  # of counts and pseudo-counts, so that their sums are finite numbers


def check_alpha(alpha: float) -> float:
    """``alpha`` as a float.

    Raises:
        UserError: ``alpha`` is not a finite number of at least 0, or above ``MAX_COUNT``.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not math.isfinite(alpha) or alpha < 0:
        raise UserError(f"alpha: expected a finite number of at least 0, got {alpha!r}")
    if alpha > MAX_COUNT:
        raise UserError(f"alpha: expected at most {MAX_COUNT:g}, got {alpha!r}")
    return float(alpha)


def check_n(n: int, name: str = "n", most: int | None = None) -> int:
    """``n`` as an int; ``name`` is what the error calls it.

    Raises:
        UserError: ``n`` is not a whole number of at least 1, or above ``most``.
    """
    whole = isinstance(n, Integral) or (isinstance(n, Real) and math.isfinite(n) and int(n) == n)
    if isinstance(n, bool) or not whole or n < 1:
        raise UserError(f"{name}: expected a whole number of at least 1, got {n!r:.50}")
    if most is not None and n > most:
        raise UserError(f"{name}: expected at most {most:,}, got {int(n)!r:.50}")
    return int(n)


def make_rng(seed: int | np.random.Generator | None, name: str = "random_state") -> np.random.Generator:
    """A Generator from a seed; a Generator is returned as it is, None makes a new one. Errors call it ``name``.

    Raises:
        UserError: ``seed`` is neither a Generator nor None nor a whole number of at least 0.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool) and seed >= 0
    if not whole and not isinstance(seed, np.random.Generator | None):
        raise UserError(f"{name}: expected a whole number of at least 0, got {seed!r}")
    return np.random.default_rng(seed)


def check_style(style: Mapping[str, str], styles: Mapping[str, Sequence[str]]) -> None:
    """See that ``style`` (category to value) names categories and values of ``styles`` only.

    Raises:
        UserError: an unknown category or value.
    """
    for category, value in style.items():
        if category not in styles:
            raise UserError(f"{category!r} is no category; expected one of {list(styles)}")
        if value not in styles[category]:
            raise UserError(f"{category!r}: {value!r} is unknown; expected one of {list(styles[category])}")


def check_images(images: np.ndarray, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """``images`` as an array (N, H, W, C) of uint8, with (H, W, C) = ``shape`` if that is given.

    Raises:
        UserError: another type or shape, or nothing in it.
    """
    images = np.asarray(images)
    expected = "(N, H, W, C)" if shape is None else f"(N, {', '.join(map(str, shape))})"
    if images.dtype != np.uint8:
        raise UserError(f"{name}: expected uint8, got type {images.dtype}")
    if images.ndim != 4 or images.size == 0 or (shape is not None and images.shape[1:] != shape):
        raise UserError(f"{name}: expected {expected}, got shape {images.shape}")
    return images


def check_weights(weights: np.ndarray | None, n: int) -> np.ndarray:
    """``weights`` as an array (n,) of float64; None is 1 for each.

    Raises:
        UserError: another shape, a weight that is negative or no finite number, or all of them zero.
    """
    if weights is None:
        return np.ones(n)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,):
        raise UserError(f"sample_weight: expected one weight per avatar, shape ({n},), got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise UserError("sample_weight: expected finite weights of at least 0, not all of them 0")
    return weights
