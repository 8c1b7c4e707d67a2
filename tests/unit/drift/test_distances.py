"""Each distance equals its definition, does not depend on what it must not, and is nought where nothing differs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from sklearn.linear_model import Ridge

from coalmine.drift import distances, signals
from coalmine.drift.distances import Floats, Ints
from coalmine.drift.signals import Kind
from unit.drift import slow_distances as slow

NUMBERS = st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=3, max_size=30)
SEEDS = st.integers(0, 10_000)


def parts_of(rows: int, seed: int, count: int = 4) -> Ints:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, rows))
    return np.stack([rng.permutation(rows)[:size] for _ in range(count)])


def vectors(rows: int, columns: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, columns))


@given(NUMBERS, SEEDS)
def test_wasserstein_is_the_area_between_the_distribution_functions(values: list[float], seed: int) -> None:
    """Ties, parts of any size and constant values included; SciPy says the same."""
    parts = parts_of(len(values), seed)
    found = distances.wasserstein(np.asarray(values), parts)
    for part, one in zip(parts, found, strict=True):
        assert one == pytest.approx(slow.wasserstein(values, part.tolist()), abs=1e-9)
        rest = np.delete(values, part)
        assert one == pytest.approx(wasserstein_distance(np.asarray(values)[part], rest), abs=1e-9)


@given(st.lists(st.integers(0, 5), min_size=3, max_size=30), SEEDS)
def test_total_variation_is_half_the_difference_of_the_shares(codes: list[int], seed: int) -> None:
    parts = parts_of(len(codes), seed)
    found = distances.total_variation(np.asarray(codes), parts)
    wanted = [slow.total_variation(codes, part.tolist()) for part in parts]
    assert found.tolist() == pytest.approx(wanted, abs=1e-12)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=30), SEEDS)
def test_shortfall_is_the_difference_of_the_means(good: list[float], seed: int) -> None:
    parts = parts_of(len(good), seed)
    wanted = [slow.shortfall(good, part.tolist()) for part in parts]
    assert distances.shortfall(np.asarray(good), parts).tolist() == pytest.approx(wanted, abs=1e-12)


@given(SEEDS)
def test_the_classifier_ranks_parts_as_a_fitted_ridge_does(seed: int) -> None:
    """scikit-learn's ridge on the labels "in the part, or not": the margin between its mean scores, made monotone."""
    rows, parts = vectors(40, 3, seed), parts_of(40, seed)
    found = distances.discriminant(rows, parts)
    strength = 0.1 * float(np.trace(np.cov(rows.T, bias=True))) / 3 * len(rows)
    margins = []
    for part in parts:
        inside = np.zeros(len(rows), dtype=bool)
        inside[part] = True
        scores = Ridge(alpha=strength).fit(rows, inside.astype(float)).predict(rows)
        margins.append(scores[inside].mean() - scores[~inside].mean())
    # The fitted weights are the discriminant's, times n1 n2 / n^2: the same for all parts of one size.
    size = parts.shape[1]
    assert found.tolist() == pytest.approx([m * 40**2 / (size * (40 - size)) for m in margins], rel=1e-6)


@given(SEEDS)
def test_sliced_wasserstein_is_the_mean_over_projections(seed: int) -> None:
    rows, parts = vectors(20, 4, seed), parts_of(20, seed)
    directions = distances.random_directions(4, 5, seed=seed)
    wanted = [np.mean([slow.wasserstein((rows @ d).tolist(), part.tolist()) for d in directions.T]) for part in parts]
    assert distances.sliced_wasserstein(rows, parts, directions=directions).tolist() == pytest.approx(wanted, rel=1e-9)


@given(SEEDS, st.floats(0.1, 10), st.floats(-5, 5))
def test_units_do_not_matter_where_they_must_not(seed: int, scale: float, shift: float) -> None:
    """W1 scales with its values; the classifier on standardised columns is blind to scale and place."""
    rows, parts = vectors(30, 3, seed), parts_of(30, seed)
    one = distances.wasserstein(rows[:, 0], parts)
    assert distances.wasserstein(rows[:, 0] * scale + shift, parts) == pytest.approx(one * scale, rel=1e-6, abs=1e-9)
    same = distances.discriminant(distances.standardised(rows), parts)
    moved = distances.discriminant(distances.standardised(rows * scale + shift), parts)
    assert moved == pytest.approx(same, rel=1e-6)


@given(SEEDS)
def test_the_order_of_a_bag_does_not_matter(seed: int) -> None:
    """What makes the ranks valid: all rows are treated alike but for their part."""
    rows, parts = vectors(25, 3, seed), parts_of(25, seed)
    turned = np.random.default_rng(seed + 1).permutation(25)
    where = np.argsort(turned)
    right = (rows[:, 0] > 0).astype(float)
    for kind, bag in (
        (Kind.NUMERIC, rows[:, 0]),
        (Kind.CATEGORICAL, right.astype(str)),
        (Kind.CLASSIFIED, rows),
        (Kind.PROJECTED, rows),
        (Kind.RIGHT, right),
    ):
        moved = signals.distance(kind, bag[turned], where[parts])
        assert moved == pytest.approx(signals.distance(kind, bag, parts), rel=1e-6, abs=1e-9)


def test_what_does_not_differ_has_no_distance() -> None:
    """Equal values, one category, constant vectors."""
    parts, same = parts_of(12, 3), np.ones(12)
    assert not distances.wasserstein(same, parts).any()
    assert not distances.total_variation(same.astype(np.int64) * 0, parts).any()
    assert distances.discriminant(np.ones((12, 3)), parts) == pytest.approx(np.zeros(4))
    assert not distances.standardised(np.ones((12, 3))).any()


def test_directions_are_unit_vectors_and_the_same_for_the_same_seed() -> None:
    directions = distances.random_directions(5, 9, seed=3)
    assert np.linalg.norm(directions, axis=0) == pytest.approx(np.ones(9))
    assert (directions == distances.random_directions(5, 9, seed=3)).all()
