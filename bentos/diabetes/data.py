"""442 patients with diabetes at their first visit, and how far the disease had come a year later (Efron, Hastie,
Johnstone & Tibshirani, Annals of Statistics 2004), in two domains by age, split by patient.

scikit-learn ships the table, so nothing is fetched. A model starts with the younger half; the older one is where it
drifts to, and what it learns there it learns from corrections: the truth that comes a year late. An example of the
machinery on a small table of another time, and nothing to treat anybody by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from coalmine.errors import BadInput
from coalmine.release import fields
from coalmine.steps.workload import Row

LABELS: tuple[str, ...] = ()  # none: a number is predicted
DOMAINS = ("younger", "older")  # the first is what a model starts with; all of them are evaluated on
ELDER = 50.0  # years: where the older half begins
TOLERANCE = 60.0  # people are content with an answer no further from the truth; as in gates.yaml
FIELDS = fields.read(Path(__file__).parent / "fields.yaml")


class Split(StrEnum):
    """Disjoint by entity, so that no release wins by memory."""

    TRAIN = "train"
    EVALUATION = "evaluation"  # the offline gate
    FEEDBACK = "feedback"  # traffic whose corrections a retraining learns from
    TRAFFIC = "traffic"  # traffic that judges what was learnt


_SHARES = ((Split.TRAIN, 0.5), (Split.EVALUATION, 0.2), (Split.FEEDBACK, 0.15), (Split.TRAFFIC, 0.15))


@dataclass(frozen=True, slots=True)
class Record:
    """One case. Records of one `entity` (a customer, a patient) never stand on both sides of a split."""

    domain: str
    entity: str
    fields: Mapping[str, object]
    target: float


@lru_cache(maxsize=1)
def records() -> tuple[Record, ...]:
    """All of them, in the table's order."""
    from sklearn.datasets import load_diabetes  # noqa: PLC0415 (takes seconds: only where rows are read)

    table = load_diabetes(scaled=False)  # in the units that a request has
    return tuple(
        _record(measured, target) for measured, target in zip(table.data.tolist(), table.target.tolist(), strict=True)
    )


def _record(measured: Sequence[float], target: float) -> Record:
    """The table has no names of patients: what was measured of one is taken for the name."""
    given: dict[str, object] = dict(zip(FIELDS.fields, measured, strict=True))
    given["sex"] = {1.0: "a", 2.0: "b"}[measured[1]]
    entity = hashlib.sha256(FIELDS.item(given).encode()).hexdigest()[:16]
    return Record("older" if measured[0] >= ELDER else "younger", entity, given, target)


def split_of(entity: str) -> Split:
    """By the entity's hash alone, so that it stays there whatever else is loaded."""
    number = int.from_bytes(hashlib.sha256(entity.encode()).digest()[:8]) / 2**64
    for split, share in _SHARES:
        if number < share:
            return split
        number -= share
    return _SHARES[-1][0]


def records_of(domain: str, split: str) -> list[Record]:
    """Those of one domain and split. Raises BadInput for an unknown one."""
    if domain not in DOMAINS:
        raise BadInput(f"unknown domain {domain!r}", where="domain", remedy=f"one of {', '.join(DOMAINS)}")
    if split not in set(Split):
        raise BadInput(f"unknown split {split!r}", where="split", remedy=f"one of {', '.join(Split)}")
    return [record for record in records() if record.domain == domain and split_of(record.entity) == split]


def rows(domains: tuple[str, ...], split: str) -> list[Row]:
    """Rows of weight 1 to train or evaluate on."""
    return [
        Row(FIELDS.item(record.fields), record.target, 1.0, domain, record.entity)
        for domain in domains
        for record in records_of(domain, split)
    ]


def content(record: Record, answer: Mapping[str, object]) -> bool:
    """What somebody who knows the truth says of an answer."""
    return abs(float(str(answer["value"])) - record.target) <= TOLERANCE


def truth(record: Record) -> str:
    """As a correction."""
    return str(record.target)
