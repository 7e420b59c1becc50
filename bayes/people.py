"""People whose attributes reproduce given counts exactly."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes.style_generator import check_counts
from bayes.validation import make_rng
from mnad.run import UserError


def make_people(
    styles: Mapping[str, Sequence[str]], styles_count: Mapping[str, Sequence[int]], seed: int = 0
) -> pd.DataFrame:
    """One row per person and one column per category: each category's multiset of values, shuffled.

    Raises:
        UserError: a negative seed; counts that do not match the values, are negative, or add up to different totals.
    """
    rng = make_rng(seed, "seed")
    columns = {}
    for category, values in styles.items():
        counts = check_counts(category, values, styles_count[category]).astype(int)
        columns[category] = rng.permutation(np.repeat(values, counts))
    totals = {category: len(column) for category, column in columns.items()}
    if len(set(totals.values())) != 1:
        raise UserError(f"styles_count: the totals {totals} differ; expected the same number of people")
    return pd.DataFrame(columns)
