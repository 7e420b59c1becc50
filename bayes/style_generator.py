"""Styles by category: independent categorical distributions with maximum likelihood or smoothed estimates."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from numbers import Real

import numpy as np
import pandas as pd
from scipy.special import xlogy
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from bayes.validation import MAX_COUNT, check_alpha, check_n, check_style, make_rng
from mnad.run import UserError

Style = dict[str, str]
RandomState = int | np.random.Generator | None


class StyleGenerator(BaseEstimator):
    """Naive Bayes generator of styles: one independent categorical distribution per category.

    With n_k people out of N having value k of a category of K values, the estimate is the mean of the
    Dirichlet posterior, P(k) = (n_k + alpha) / (N + alpha K), which at ``alpha = 0`` is the maximum
    likelihood estimate n_k / N. A style s has one value per category, and P(s) is the product of P(s_c) over
    the categories c.

    Iterating over a fitted generator draws (style, probability) endlessly, beginning anew from
    ``random_state``.

    Args:
        alpha: pseudo-count added to every value of every category, at least 0.
        random_state: seed (or numpy Generator) of ``sample`` and of the iteration; None is a new one every
            time.

    Attributes:
        categories_: the names of the categories, in order.
        values_: category to the tuple of its values.
        probabilities_: category to the array (K,) of P(k).
        log_probabilities_: category to the array (K,) of ln P(k); -inf where P(k) is 0.
    """

    def __init__(self, alpha: float = 0.0, random_state: RandomState = None) -> None:
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, styles: Mapping[str, Sequence[str]], styles_count: Mapping[str, Sequence[float]]) -> "StyleGenerator":
        """Estimate the probabilities from counts.

        Args:
            styles: category to its values.
            styles_count: category to the counts of these values, in the same order, each at least 0.

        Raises:
            UserError: ``alpha`` is negative, the categories or lengths differ, a value is listed twice, a
                count is negative or no number, or all counts of a category are zero (with ``alpha = 0``).
        """
        alpha = check_alpha(self.alpha)
        if not styles or set(styles) != set(styles_count or ()):
            raise UserError(
                f"styles_count: expected the categories of styles, {list(styles)}, got {list(styles_count)}"
            )
        self.categories_ = tuple(styles)
        self.values_ = {category: tuple(values) for category, values in styles.items()}
        self.probabilities_, self.log_probabilities_ = {}, {}
        for category, values in self.values_.items():
            counts = check_counts(category, values, styles_count[category])
            total = counts.sum() + alpha * len(values)
            if total == 0:
                raise UserError(f"styles_count[{category!r}]: all counts are zero; expected a positive one")
            self.probabilities_[category] = (counts + alpha) / total
            # xlogy(1, 0) is -inf without a warning
            self.log_probabilities_[category] = xlogy(1.0, counts + alpha) - np.log(total)
        return self

    def log_probability(self, style: Mapping[str, str]) -> float:
        """ln P(style) = sum of ln P(value) over the categories of ``style``; those left out are summed out.

        Raises:
            UserError: an unknown category or value.
        """
        return float(sum(self.log_probabilities_[c][i] for c, i in self._indices(style).items()))

    def probability(self, style: Mapping[str, str]) -> float:
        """P(style) in [0, 1]; see ``log_probability``."""
        return float(np.exp(self.log_probability(style)))

    def sample(
        self, n: int = 1, random_state: RandomState = None, given: Mapping[str, str] | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` independent styles, each from P(style | given).

        Args:
            n: number of styles, at least 1.
            random_state: seed or Generator; None takes the estimator's own.
            given: known attributes (category to value). By Bayes' rule P(s | given) = P(s) / P(given) for the
                styles that agree with ``given`` and 0 for the others.

        Returns:
            One row per style: a column per category, then ``probability`` P(style | given) and
            ``log_probability``.

        Raises:
            UserError: ``n`` below 1; a negative seed; an unknown category or value in ``given``, or one of probability
                zero.
        """
        known, rng = self._known(given), self._rng(random_state)
        return self._table(self._draw(check_n(n), rng, known), known)

    def distribution(self, given: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Every style (that agrees with ``given``) with its probability; the probabilities sum to 1.

        Returns and raises as ``sample``, in the order of ``styles``, without the random draw.
        """
        known = self._known(given)
        choices = ([known[c]] if c in known else range(len(values)) for c, values in self.values_.items())
        return self._table(np.array(list(product(*choices))), known)

    def __iter__(self) -> Iterator[tuple[Style, float]]:
        """Endless (style, probability); the first n are the rows of ``sample(n)`` with the same seed."""
        rng = self._rng(None)
        while True:
            (indices,) = self._draw(1, rng, {})
            style = {c: self.values_[c][i] for c, i in zip(self.categories_, indices, strict=True)}
            yield style, self.probability(style)

    def _rng(self, random_state: RandomState) -> np.random.Generator:
        check_is_fitted(self)
        return make_rng(self.random_state if random_state is None else random_state)

    def _indices(self, style: Mapping[str, str]) -> dict[str, int]:
        """Category to the position of its value."""
        check_is_fitted(self)
        check_style(style, self.values_)
        return {category: self.values_[category].index(value) for category, value in style.items()}

    def _known(self, given: Mapping[str, str] | None) -> dict[str, int]:
        known = self._indices(given or {})
        for category, index in known.items():
            if self.probabilities_[category][index] == 0:
                value = self.values_[category][index]
                raise UserError(f"given {category!r}: {value!r} has probability zero; expected a possible value")
        return known

    def _draw(self, n: int, rng: np.random.Generator, known: Mapping[str, int]) -> np.ndarray:
        """Value indices (n, categories) by inverting each category's cumulative distribution.

        Row-major uniforms, so that n draws of one row are the same as one draw of n rows.
        """
        uniform = rng.random((n, len(self.categories_)))
        indices = np.empty(uniform.shape, dtype=int)
        for column, category in enumerate(self.categories_):
            cumulative = np.cumsum(self.probabilities_[category])
            # side="right" steps over values of probability zero; the division makes the last entry exactly 1
            indices[:, column] = np.searchsorted(cumulative / cumulative[-1], uniform[:, column], side="right")
            if category in known:
                indices[:, column] = known[category]
        return indices

    def _table(self, indices: np.ndarray, known: Mapping[str, int]) -> pd.DataFrame:
        table = pd.DataFrame({c: np.array(self.values_[c])[indices[:, i]] for i, c in enumerate(self.categories_)})
        log_joint = sum(self.log_probabilities_[c][indices[:, i]] for i, c in enumerate(self.categories_))
        log_given = sum(self.log_probabilities_[c][i] for c, i in known.items())
        table["log_probability"] = log_joint - log_given
        table.insert(len(self.categories_), "probability", np.exp(table["log_probability"]))
        return table


def check_counts(category: str, values: Sequence[str], counts: Sequence[float]) -> np.ndarray:
    """The counts of one category as an array (K,) of float64.

    Raises:
        UserError: no values, a value twice, another number of counts than of values, or a count that is
            negative, no finite number, or above ``MAX_COUNT``.
    """
    name = f"styles_count[{category!r}]"
    if not values or len(set(values)) != len(values):
        raise UserError(f"styles[{category!r}]: expected one or more different values, got {list(values)}")
    if len(counts) != len(values):
        raise UserError(f"{name}: expected one for each of {len(values)} values, got {len(counts)} counts")
    for value, number in zip(values, counts, strict=True):
        if not isinstance(number, Real) or isinstance(number, bool):
            raise UserError(f"{name}: expected numbers, got {list(counts)!r:.200}")
        if not 0 <= number <= MAX_COUNT:
            raise UserError(
                f"{name}: {value!r} has count {number!r:.50}; expected a finite number of at least 0, at most "
                f"{MAX_COUNT:g}"
            )
    return np.array(counts, dtype=np.float64)
