"""Predictions -> columns: what is watched of each, by name. Pure; scikit-learn's hashing for texts only.

An input that is a JSON object is a row of a table: each of its fields is a signal. Any other input is a text. A value
that is not there is left out of its signal and counted by `quality.rows`, so that it is never taken for a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coalmine.drift import distances
from coalmine.drift.distances import Floats, Ints

Values: TypeAlias = NDArray[Any]  # one row for each prediction that has the signal: numbers, texts, or vectors
COLUMNS = 64  # of a text's hashed embedding
PROJECTIONS = 16
_WORD = re.compile(r"\w+")


class Kind(StrEnum):
    """How a signal's windows are compared."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    PROJECTED = "projected"  # vectors, by sliced Wasserstein
    CLASSIFIED = "classified"  # vectors, by the classifier two-sample test
    RIGHT = "right"  # 1 or 0: only fewer of them is bad


@dataclass(frozen=True, slots=True)
class Seen:
    """One prediction as the lake has it. `right` is None as long as no label has come."""

    id: str
    t: float
    input: str | None
    label: str | None = None
    score: float | None = None
    sketch: tuple[float, ...] | None = None
    right: bool | None = None


def columns(rows: Sequence[Seen], *, vocabulary: AbstractSet[str] = frozenset()) -> dict[str, tuple[Kind, Values]]:
    """Every signal that these rows have, in order of arrival. `vocabulary`: words of the fitting rows, if known."""
    inputs = [row.input for row in rows if row.input is not None and row.input.strip()]
    tables = [table for text in inputs if (table := _table(text)) is not None]
    found = _of_tables(tables) if inputs and len(tables) == len(inputs) else _of_texts(inputs, vocabulary)
    sketches = [row.sketch for row in rows if row.sketch is not None]
    if sketches:
        found |= _vectors(np.asarray(sketches, dtype=np.float64))
    labels = [row.label for row in rows if row.label is not None]
    if labels:
        found["prediction.label"] = (Kind.CATEGORICAL, np.asarray(labels, dtype=np.str_))
    scores = [row.score for row in rows if row.score is not None and math.isfinite(row.score)]
    if scores:
        found["prediction.score"] = (Kind.NUMERIC, np.asarray(scores, dtype=np.float64))
    if rows:
        found["quality.rows"] = (Kind.CATEGORICAL, np.asarray([quality(row) for row in rows], dtype=np.str_))
    return found


def rightness(rows: Sequence[Seen]) -> dict[str, tuple[Kind, Values]]:
    """The signal that comes late: whether predictions were right, in the order in which their labels came."""
    known = [float(row.right) for row in rows if row.right is not None]
    return {"accuracy.labels": (Kind.RIGHT, np.asarray(known, dtype=np.float64))} if known else {}


def quality(row: Seen) -> str:
    """What is wrong with a row as data; `whole` where nothing is."""
    if row.input is None or not row.input.strip():
        return "no input"
    if row.score is not None and not math.isfinite(row.score):
        return "score is no number"
    return "whole" if row.label or row.score is not None else "no prediction"


def distance(kind: Kind, bag: Values, parts: Ints) -> Floats:
    """The distance of each part of the bag to the rest of it."""
    return _DISTANCES[kind](bag, parts)


def drivers(name: str, kind: Kind, window: Values, reference: Values) -> str:
    """In a sentence: what of the signal has changed. For people; nothing is decided by it."""
    if kind in (Kind.PROJECTED, Kind.CLASSIFIED):
        spread = reference.std(axis=0) + 1e-12
        shift = (window.mean(axis=0) - reference.mean(axis=0)) / spread
        most = np.argsort(-np.abs(shift))[:3]
        return f"{name}: columns " + ", ".join(f"{place} ({shift[place]:+.2f} sd)" for place in most)
    if kind is Kind.CATEGORICAL:
        names = sorted(set(reference.tolist()) | set(window.tolist()))
        moved = sorted(names, key=lambda one: -abs(float((window == one).mean() - (reference == one).mean())))
        shares = ((one, float((reference == one).mean()), float((window == one).mean())) for one in moved[:3])
        return f"{name}: " + ", ".join(f"{one} {was:.3f} -> {now:.3f}" for one, was, now in shares)
    return f"{name}: mean {float(reference.mean()):.4g} -> {float(window.mean()):.4g}"


# ---- pieces ------------------------------------------------------------------------------------------------------


def _table(text: str) -> Mapping[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _of_tables(tables: Sequence[Mapping[str, object]]) -> dict[str, tuple[Kind, Values]]:
    found: dict[str, tuple[Kind, Values]] = {}
    for key in sorted({key for table in tables for key in table}):
        given = [table[key] for table in tables if table.get(key) is not None]
        numbers = [float(v) for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
        if given and len(numbers) == len(given):
            found[f"input.{key}"] = (Kind.NUMERIC, np.asarray(numbers, dtype=np.float64))
        elif given:
            found[f"input.{key}"] = (Kind.CATEGORICAL, np.asarray([json.dumps(v) for v in given], dtype=np.str_))
    whole = [name for name, (kind, values) in found.items() if kind is Kind.NUMERIC and len(values) == len(tables)]
    return found | (_vectors(np.column_stack([found[name][1] for name in whole])) if len(whole) > 1 else {})


def _of_texts(texts: Sequence[str], vocabulary: AbstractSet[str]) -> dict[str, tuple[Kind, Values]]:
    if not texts:
        return {}
    words = [words_of(text) for text in texts]
    found: dict[str, Callable[[str, list[str]], float]] = {
        "input.characters": lambda text, _: len(text),
        "input.symbols": lambda text, _: sum(not c.isalnum() and not c.isspace() for c in text) / len(text),
    }
    if vocabulary:
        found["input.unseen"] = lambda _, said: sum(word not in vocabulary for word in said) / max(1, len(said))
    made: dict[str, tuple[Kind, Values]] = {
        name: (Kind.NUMERIC, np.asarray([of(*pair) for pair in zip(texts, words, strict=True)], dtype=np.float64))
        for name, of in found.items()
    }
    return made | _vectors(embed(texts))


def words_of(text: str) -> list[str]:
    """A text's words, as the vocabulary has them."""
    return _WORD.findall(text.lower())


def embed(texts: Sequence[str]) -> Floats:
    """Hashed pieces of words, as unit vectors: nothing is fitted, so no row has been seen before."""
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415 (seconds: only where texts are)

    hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=COLUMNS)
    return np.asarray(hashing.transform(texts).toarray(), dtype=np.float64)


def _vectors(values: Floats) -> dict[str, tuple[Kind, Values]]:
    return {"embedding.projected": (Kind.PROJECTED, values), "embedding.classified": (Kind.CLASSIFIED, values)}


def _categorical(bag: Values, parts: Ints) -> Floats:
    _, codes = np.unique(bag, return_inverse=True)
    return distances.total_variation(codes.astype(np.int64), parts)


def _projected(bag: Values, parts: Ints) -> Floats:
    directions = distances.random_directions(bag.shape[1], PROJECTIONS, seed=0)
    return distances.sliced_wasserstein(distances.standardised(bag), parts, directions=directions)


def _classified(bag: Values, parts: Ints) -> Floats:
    return distances.discriminant(distances.standardised(bag), parts)


_DISTANCES: Mapping[Kind, Callable[[Values, Ints], Floats]] = {
    Kind.NUMERIC: distances.wasserstein,
    Kind.CATEGORICAL: _categorical,
    Kind.PROJECTED: _projected,
    Kind.CLASSIFIED: _classified,
    Kind.RIGHT: distances.shortfall,
}
