"""How far a part of a bag of rows is from the rest of it, for many parts at once. Pure; numpy only.

`parts` has shape (parts, rows of a part): numbers of rows of the bag, each at most once in a part. One of them is the
window that is looked at; the others were drawn by lot. Each distance treats all rows of the bag alike but for their
part (scales and unknown covariances are the whole bag's), so that the window's may be ranked among the others.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
_RIDGE = 0.1  # of the mean variance, added to each: a bag may have fewer rows than columns


def wasserstein(values: Floats, parts: Ints) -> Floats:
    """W1 between the values of each part and those outside: the area between the two distribution functions.

    Between two neighbours of a part its distribution function is constant, and the bag's is crossed at most once, at
    a place that depends on the level alone: so two cumulative sums over the bag serve all parts.
    """
    count, size = len(values), parts.shape[1]
    order = np.argsort(values, kind="stable")
    places = np.empty(count, dtype=np.int64)
    places[order] = np.arange(count)
    gaps = np.diff(values[order])
    width = np.concatenate(([0.0], np.cumsum(gaps)))  # from the smallest value to each place
    area = np.concatenate(([0.0], np.cumsum(gaps * np.arange(1, count) / count)))  # below the bag's function
    edges = np.sort(places[parts], axis=1)
    ends = np.zeros((len(parts), 1), dtype=np.int64)
    low, high = np.concatenate((ends, edges), axis=1), np.concatenate((edges, ends + count - 1), axis=1)
    level = np.arange(size + 1) / size
    # The first place at which the bag's function, (place + 1) / count, reaches the level.
    crossing = np.ceil(np.arange(size + 1) * count / size - 1e-9).astype(np.int64) - 1
    middle = np.clip(crossing, low, high)
    below = level * (width[middle] - width[low]) - (area[middle] - area[low])
    above = (area[high] - area[middle]) - level * (width[high] - width[middle])
    # Against the bag; against the rest of it all differences are larger by count / (count - size).
    return np.asarray((below + above).sum(axis=1) * count / (count - size), dtype=np.float64)


def sliced_wasserstein(vectors: Floats, parts: Ints, *, directions: Floats) -> Floats:
    """The mean W1 over projections. `directions`: shape (columns, projections), unit vectors."""
    projected = vectors @ directions
    return np.asarray(np.mean([wasserstein(column, parts) for column in projected.T], axis=0), dtype=np.float64)


def random_directions(columns: int, count: int, *, seed: int) -> Floats:
    """Unit vectors, uniform on the sphere. The same for each window, chosen before any is seen."""
    drawn = np.random.default_rng(seed).standard_normal((columns, count))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0), dtype=np.float64)


def standardised(vectors: Floats) -> Floats:
    """Each column with the bag's own mean 0 and deviation 1; a constant column stays 0."""
    spread = vectors.std(axis=0)
    return np.asarray((vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1.0), dtype=np.float64)


def discriminant(vectors: Floats, parts: Ints) -> Floats:
    """How well a ridge classifier tells a part from the rest: the squared distance of the means in its metric.

    This is the classifier two-sample test with Fisher's discriminant (the margin between the two mean scores). Its
    covariance is the bag's, so that one factorisation serves all parts and no row is lost to a held-out half.
    """
    count, size = len(vectors), parts.shape[1]
    centred = vectors - vectors.mean(axis=0)
    covariance = centred.T @ centred / count
    ridge = _RIDGE * max(float(np.trace(covariance)) / len(covariance), float(np.finfo(np.float64).tiny))
    factor = np.linalg.cholesky(covariance + ridge * np.eye(len(covariance)))
    whitened = np.linalg.solve(factor, centred.T).T
    # Centred rows sum to zero: the rest's sum is the part's with its sign turned.
    means = np.stack([whitened[part].sum(axis=0) for part in parts]) * (1 / size + 1 / (count - size))
    return np.asarray((means**2).sum(axis=1), dtype=np.float64)


def total_variation(codes: Ints, parts: Ints) -> Floats:
    """Half the sum of the differences between the shares of each category. `codes`: 0, 1, ... for each row."""
    count, size = len(codes), parts.shape[1]
    kinds = int(codes.max()) + 1
    cells = codes[parts] + kinds * np.arange(len(parts))[:, None]
    inside = np.bincount(cells.ravel(), minlength=kinds * len(parts)).reshape(len(parts), kinds)
    rest = np.bincount(codes, minlength=kinds) - inside
    return np.asarray(0.5 * np.abs(inside / size - rest / (count - size)).sum(axis=1), dtype=np.float64)


def shortfall(good: Floats, parts: Ints) -> Floats:
    """By how much the mean of each part is below the mean outside; negative where it is above."""
    count, size = len(good), parts.shape[1]
    inside = good[parts].sum(axis=1)
    return np.asarray((good.sum() - inside) / (count - size) - inside / size, dtype=np.float64)
