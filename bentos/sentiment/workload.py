"""All that the machinery asks of this model: `coalmine.steps.workload.Workload`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from coalmine.errors import BadInput
from coalmine.steps.workload import Row

from . import data, training


class Sentiment:
    """Is a sentence positive or negative?"""

    labels = data.LABELS
    domains = data.DOMAINS

    def rows(self, domains: Sequence[str], *, split: str) -> list[Row]:
        """Raises BadInput for an unknown domain or split; Missing or Temporary where the data cannot be fetched."""
        return data.rows(tuple(domains), split)

    def fit(self, rows: Sequence[Row], *, seed: int, options: Mapping[str, object]) -> Any:
        """Raises BadInput for an unknown option or value."""
        return training.fit(rows, seed=seed, options=_options(options))

    def refit(self, estimator: Any, rows: Sequence[Row], *, seed: int, options: Mapping[str, object]) -> Any:
        """On from a fitted one. Raises BadInput for an unknown option or value."""
        return training.refit(estimator, rows, seed=seed, options=_options(options))


def _options(given: Mapping[str, object]) -> training.Options:
    try:
        return training.Options.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(training.Options.model_fields)
        raise BadInput(
            first["msg"], where=f"option {'.'.join(map(str, first['loc']))}", remedy=f"one of {known}"
        ) from error


workload = Sentiment()
