"""Styles by category: estimates, probabilities, conditioning, bad input."""

from fractions import Fraction
from itertools import islice
from math import log, prod
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from bayes import StyleGenerator
from mnad.run import UserError
from styles import styles, styles_count

TINY = {"hair": ["no", "long", "short"], "hat": ["yes", "no"]}
TINY_COUNT = {"hair": [0, 3, 1], "hat": [1, 3]}


@pytest.fixture(scope="module")
def generator():
    return StyleGenerator(random_state=0).fit(styles, styles_count)


def test_assignment_table():
    assert {category: len(values) for category, values in styles.items()} == {
        "прическа": 7,
        "цвет волос": 6,
        "аксесуар": 3,
        "одежда": 4,
        "цвет одежды": 8,
    }
    assert {category: sum(counts) for category, counts in styles_count.items()} == dict.fromkeys(styles, 50)
    assert styles_count["прическа"] == [7, 0, 1, 23, 1, 11, 7]
    assert styles["цвет волос"][styles_count["цвет волос"].index(24)] == "серебристо серый"


def test_maximum_likelihood_is_the_share():
    generator = StyleGenerator().fit(TINY, TINY_COUNT)
    assert generator.probabilities_["hair"].tolist() == [0, 0.75, 0.25]
    assert generator.log_probabilities_["hair"][0] == -np.inf
    assert generator.probability({"hair": "long", "hat": "yes"}) == pytest.approx(3 / 16, rel=1e-12)
    assert generator.log_probability({"hair": "no", "hat": "yes"}) == -np.inf
    assert generator.probability({"hair": "short"}) == pytest.approx(1 / 4), "the hat is summed out"


def test_smoothing_by_hand():
    generator = StyleGenerator(alpha=0.5).fit(TINY, TINY_COUNT)
    np.testing.assert_allclose(generator.probabilities_["hair"], [0.5 / 5.5, 3.5 / 5.5, 1.5 / 5.5])
    np.testing.assert_allclose(generator.probabilities_["hat"], [1.5 / 5, 3.5 / 5])
    assert generator.log_probability({"hair": "no", "hat": "no"}) == pytest.approx(log(0.5 / 5.5 * 0.7))


def test_smoothing_makes_an_unseen_category_even():
    generator = StyleGenerator(alpha=1).fit(TINY, {"hair": [0, 0, 0], "hat": [1, 3]})
    np.testing.assert_allclose(generator.probabilities_["hair"], [1 / 3] * 3)


@pytest.mark.parametrize("alpha", [0, 1, 0.01])
def test_all_4032_styles_have_total_probability_1(alpha):
    table = StyleGenerator(alpha).fit(styles, styles_count).distribution()
    assert len(table) == 4032
    assert not table[list(styles)].duplicated().any()
    assert table["probability"].sum() == pytest.approx(1, abs=1e-12)
    assert (table["probability"] > 0).sum() == (3456 if alpha == 0 else 4032)
    np.testing.assert_allclose(np.exp(table["log_probability"]), table["probability"])


def test_probabilities_against_exact_fractions(generator):
    sample = generator.sample(20, random_state=3)
    for _, row in sample.iterrows():
        exact = prod(Fraction(styles_count[c][styles[c].index(row[c])], 50) for c in styles)
        assert row["probability"] == pytest.approx(float(exact), rel=1e-12)
        assert row["log_probability"] == pytest.approx(log(exact), rel=1e-12)
        assert generator.probability(row[list(styles)]) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("alpha", [0, 2])
def test_sampled_frequencies_match_the_estimates(alpha):
    n = 20_000
    generator = StyleGenerator(alpha).fit(styles, styles_count)
    sample = generator.sample(n, random_state=1)
    for category, values in styles.items():
        observed = sample[category].value_counts().reindex(values, fill_value=0).to_numpy()
        expected = n * generator.probabilities_[category]
        possible = expected > 0
        assert observed[~possible].sum() == 0
        assert chisquare(observed[possible], expected[possible]).pvalue > 1e-3, category
    # Independence: the joint of two categories is the product.
    joint = sample.groupby(["аксесуар", "одежда"]).size()
    expected = [n * generator.probability({"аксесуар": a, "одежда": b}) for a, b in joint.index]
    assert len(joint) == 12
    assert chisquare(joint, expected).pvalue > 1e-3


def test_zero_counts_are_never_drawn(generator):
    sample = generator.sample(50_000, random_state=2)
    assert "длинные в пучок" not in set(sample["прическа"])
    assert {"длинные волнистые", "короткая волнистые"} <= set(sample["прическа"])
    first_zero = StyleGenerator().fit({"a": ["x", "y", "z"]}, {"a": [0, 1, 0]})
    assert set(first_zero.sample(1000, random_state=0)["a"]) == {"y"}
    for edge in (0.0, np.nextafter(1, 0)):
        uniform = SimpleNamespace(random=lambda shape, edge=edge: np.full(shape, edge))
        assert first_zero._draw(1, uniform, {}).tolist() == [[1]]


def test_conditioning_agrees_with_enumeration():
    generator = StyleGenerator(alpha=0.3).fit(styles, styles_count)
    given = {"аксесуар": "круглые очки", "цвет волос": "рыжий"}
    everything = generator.distribution()
    agrees = (everything["аксесуар"] == "круглые очки") & (everything["цвет волос"] == "рыжий")
    posterior = everything[agrees].copy()
    posterior["probability"] /= posterior["probability"].sum()
    conditional = generator.distribution(given)
    assert len(conditional) == 7 * 4 * 8
    assert conditional["probability"].sum() == pytest.approx(1)
    assert (conditional[list(styles)].to_numpy() == posterior[list(styles)].to_numpy()).all()
    np.testing.assert_allclose(conditional["probability"], posterior["probability"], rtol=1e-10)
    sample = generator.sample(500, 0, given)
    assert set(sample["аксесуар"]) == {"круглые очки"}
    assert sample["одежда"].nunique() == 4
    merged = sample.merge(conditional, on=list(styles), suffixes=("", "_enumerated"))
    assert len(merged) == 500
    np.testing.assert_allclose(merged["probability"], merged["probability_enumerated"])


def test_iteration_is_the_sample_with_the_same_seed(generator):
    drawn = list(islice(generator, 4))
    assert drawn == list(islice(generator, 4)), "begins anew"
    sample = generator.sample(4)
    assert [style for style, _ in drawn] == sample[list(styles)].to_dict("records")
    np.testing.assert_allclose([probability for _, probability in drawn], sample["probability"])
    assert not sample.equals(generator.sample(4, random_state=1))


def test_estimator_manners(generator):
    assert clone(StyleGenerator(alpha=2)).get_params() == {"alpha": 2, "random_state": None}
    for use in (StyleGenerator().sample, StyleGenerator().distribution, lambda: next(iter(StyleGenerator()))):
        with pytest.raises(NotFittedError):
            use()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"hair": [1, 2], "hat": [1, 3]}, r"styles_count\['hair'\]: expected one for each of 3 values, got 2 counts"),
        ({"hair": [1, -2, 0], "hat": [1, 3]}, r"styles_count\['hair'\]: 'long' has count -2"),
        ({"hair": [1, float("nan"), 0], "hat": [1, 3]}, r"styles_count\['hair'\]: 'long' has count nan"),
        ({"hair": [1, 1, "many"], "hat": [1, 3]}, r"styles_count\['hair'\]: expected numbers, got .*'many'"),
        ({"hair": [1, 2, 3], "hat": [0, 0]}, r"styles_count\['hat'\]: all counts are zero"),
        ({"hair": [1, 2, 3]}, r"styles_count: expected the categories of styles, \['hair', 'hat'\], got \['hair'\]"),
    ],
)
def test_bad_counts(counts, message):
    with pytest.raises(UserError, match=message) as error:
        StyleGenerator().fit(TINY, counts)
    assert "\n" not in str(error.value)


def test_bad_arguments(generator):
    with pytest.raises(UserError, match=r"styles\['a'\].*different values"):
        StyleGenerator().fit({"a": ["x", "x"]}, {"a": [1, 2]})
    with pytest.raises(UserError, match=r"alpha: expected a finite number of at least 0, got -0.1"):
        StyleGenerator(alpha=-0.1).fit(TINY, TINY_COUNT)
    with pytest.raises(UserError, match=r"'шляпа' is no category; expected one of .*'прическа'"):
        generator.sample(given={"шляпа": "нет"})
    with pytest.raises(UserError, match=r"'аксесуар': 'монокль' is unknown; expected one of .*'круглые очки'"):
        generator.sample(given={"аксесуар": "монокль"})
    with pytest.raises(UserError, match=r"'длинные в пучок' has probability zero"):
        generator.sample(given={"прическа": "длинные в пучок"})
    with pytest.raises(UserError, match="n: expected a whole number of at least 1, got 0"):
        generator.sample(0)
    with pytest.raises(UserError, match=r"^random_state: expected a whole number of at least 0, got -1$"):
        generator.sample(1, -1)
    with pytest.raises(UserError, match=r"^random_state: expected .*, got 1\.5"):
        next(iter(StyleGenerator(random_state=1.5).fit(TINY, TINY_COUNT)))
