"""Records and what turned out to be true of them, in two domains, split by entity.

What `records` gives is made up, so that all of this runs as it was generated: put your own data in its place. Then
measure anew what gates.yaml asks for.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from coalmine.errors import BadInput
from coalmine.release import fields
from coalmine.steps.workload import Row

LABELS = ("punctual", "late")  # the names of labels 0 and 1
DOMAINS = ("city", "country")  # the first is what a model starts with; all of them are evaluated on
FIELDS = fields.read(Path(__file__).parent / "fields.yaml")


class Split(StrEnum):
    """Disjoint by entity, so that no release wins by memory."""

    TRAIN = "train"
    EVALUATION = "evaluation"  # the offline gate
    FEEDBACK = "feedback"  # traffic whose votes a retraining learns from
    TRAFFIC = "traffic"  # traffic that judges what was learnt


_SHARES = ((Split.TRAIN, 0.5), (Split.EVALUATION, 0.2), (Split.FEEDBACK, 0.15), (Split.TRAFFIC, 0.15))


@dataclass(frozen=True, slots=True)
class Record:
    """One case. Records of one `entity` (a customer, a patient) never stand on both sides of a split."""

    domain: str
    entity: str
    fields: Mapping[str, object]
    target: int  # 0 or 1, the place in LABELS


@lru_cache(maxsize=1)
def records() -> tuple[Record, ...]:
    """All of them, always in the same order."""
    return tuple(_made_up(random.Random(11), 1200))  # noqa: S311 (an example's dice, no secret)


def _made_up(rng: random.Random, count: int) -> list[Record]:
    """Which deliveries take longer than was promised. In the country nobody is found at once."""
    made = []
    for number in range(count):
        area, vehicle = DOMAINS[number % 2], rng.choice(("bike", "van"))
        distance, weight = round(rng.uniform(0.5, 12), 1), round(rng.uniform(0.1, 20), 1)
        minutes = 5 + 3 * distance + 0.4 * weight + 4 * (vehicle == "bike") + 4 * (area == "country") + rng.gauss(0, 2)
        given = {"distance_km": distance, "weight_kg": weight, "area": area, "vehicle": vehicle}
        late = minutes > 12 + 3 * distance
        made.append(Record(area, f"{area}/{number // 4}", given, int(late)))
    return made


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
    return answer["label"] == truth(record)


def truth(record: Record) -> str:
    """As a correction."""
    return LABELS[record.target]
