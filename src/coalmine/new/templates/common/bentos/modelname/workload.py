"""All that the machinery asks of this model: `coalmine.steps.workload.Workload`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from coalmine.errors import BadInput
from coalmine.steps.workload import Row

from . import data, training


class ModelName:
    """Its rows and its training."""

    labels = data.LABELS
    domains = data.DOMAINS

    def rows(self, domains: Sequence[str], *, split: str) -> list[Row]:
        """Raises BadInput for an unknown domain or split, and for a record that the service would refuse."""
        return data.rows(tuple(domains), split)

    def fit(self, rows: Sequence[Row], *, seed: int, options: Mapping[str, object]) -> Any:
        """Raises BadInput for an unknown option or value."""
        try:
            chosen = training.Options.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            known = ", ".join(training.Options.model_fields)
            raise BadInput(
                first["msg"], where=f"option {'.'.join(map(str, first['loc']))}", remedy=f"one of {known}"
            ) from error
        return training.fit(rows, seed=seed, options=chosen)


workload = ModelName()
