"""The fields of a record that a model predicts on, `bentos/<model>/fields.yaml`: checked once, and written one way.

    schema: 1
    fields:
      age: {low: 0, high: 120}               a number between its bounds, both included
      vehicle: {values: [bike, van]}         one of these words
      weight_kg: {low: 0, optional: true}    may be left out, or null

What is checked becomes an item: the record as JSON, in the file's order, whole numbers as 1.0. That text is what the
prediction log keeps, what feedback is joined to, and what a row of training data holds, so that all three are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coalmine.documents import read_document
from coalmine.errors import BadInput

MANY = "records"  # a request with this field holds several records
Columns = Sequence[tuple[str, tuple[str, ...]]]  # a field's name and its words; no words for a number


class Kind(BaseModel):
    """One field: a number, or with `values` one of these words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = -math.inf
    high: float = math.inf
    values: tuple[str, ...] = ()
    optional: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Kind:
        if self.values and (self.low, self.high) != (-math.inf, math.inf):
            raise ValueError("either bounds or values")
        if not self.low <= self.high or len(set(self.values)) != len(self.values):
            raise ValueError("bounds the wrong way round, or a value twice")
        return self

    @property
    def middle(self) -> float:
        """Of the bounds; where one is missing the other, else 0."""
        bounds = [bound for bound in (self.low, self.high) if math.isfinite(bound)]
        return sum(bounds) / len(bounds) if bounds else 0.0

    def check(self, value: object, where: str) -> float | str | None:
        """The value as it is written. Raises BadInput naming the field."""
        if value is None and self.optional:
            return None
        if self.values:
            if value not in self.values:
                raise BadInput(f"not one of {', '.join(self.values)}", where=where)
            return str(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadInput("missing" if value is None else "not a number", where=where)
        if not self.low <= value <= self.high:
            raise BadInput(f"not between {self.low:g} and {self.high:g}", where=where)
        return float(value)


class Fields(BaseModel):
    """The file, field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(alias="schema")
    fields: dict[str, Kind] = Field(min_length=1)

    @property
    def columns(self) -> Columns:
        """What `matrix` is told: plain values, so that a pickled pipeline needs no class of this project."""
        return tuple((name, kind.values) for name, kind in self.fields.items())

    def item(self, record: object, *, where: str = "") -> str:
        """A record as JSON. Raises BadInput naming the field; a field that is not in the file is one too."""
        if not isinstance(record, Mapping):
            raise BadInput(f"not an object with the fields {', '.join(self.fields)}", where=where or MANY)
        before = f"{where}." if where else ""
        if unknown := [str(name) for name in record if name not in self.fields]:
            raise BadInput(f"unknown; known are {', '.join(self.fields)}", where=before + unknown[0])
        checked = {name: kind.check(record.get(name), before + name) for name, kind in self.fields.items()}
        return json.dumps(checked, separators=(",", ":"), ensure_ascii=False)

    def example(self) -> str:
        """An item that passes, for a service's first predictions: each number in the middle, the first of the words."""
        record = {name: kind.values[0] if kind.values else kind.middle for name, kind in self.fields.items()}
        return self.item(record)

    def items(self, body: Mapping[str, object], *, most: int = 64) -> list[str]:
        """The items of a request: the body is a record itself, or holds a list of them. Raises BadInput."""
        if MANY not in body:
            return [self.item(body)]
        records = body[MANY]
        if len(body) > 1 or not isinstance(records, list) or not 1 <= len(records) <= most:
            raise BadInput(f"alone, and a list of 1 to {most} records", where=MANY)
        return [self.item(record, where=f"{MANY}[{number}]") for number, record in enumerate(records)]


def read(path: Path) -> Fields:
    """Read `fields.yaml`. Raises BadInput naming file and field."""
    found = read_document(path, Fields, remedy="see the head of coalmine.release.fields")
    if MANY in found.fields:
        raise BadInput(f"a field named {MANY!r}: a list of records has that name", where=str(path), remedy="rename it")
    return found


def matrix(items: Sequence[str], columns: Columns) -> Any:
    """Items as rows of floats: a word as its place in `columns`, what is missing as NaN.

    A pickled pipeline names this function: it is part of what a release relies on.

    Returns:
        A numpy array of shape (len(items), len(columns)).
    """
    import numpy as np  # noqa: PLC0415 (heavy: only where one trains or serves)

    rows = np.full((len(items), len(columns)), np.nan)
    places = [(name, {word: float(place) for place, word in enumerate(words)}) for name, words in columns]
    for row, item in enumerate(items):
        record = json.loads(item)
        for column, (name, words) in enumerate(places):
            value = record[name]
            if value is not None:
                rows[row, column] = words[value] if words else value
    return rows
