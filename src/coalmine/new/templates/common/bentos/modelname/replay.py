"""People replayed: what they ask, and what one of them says of the answer. For `coalmine.local.traffic`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from . import data

DOMAINS = data.DOMAINS


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and what turned out to be true."""

    record: data.Record

    @property
    def request(self) -> dict[str, object]:
        """The body of POST /predict."""
        return dict(self.record.fields)

    def thumb(self, answer: Mapping[str, object], rng: random.Random) -> bool | None:  # noqa: ARG002 (some are drawn)
        """Whether this person is content with the answer; None where they do not say."""
        return data.content(self.record, answer)

    def correction(self) -> str:
        """What the answer should have been, as POST /feedback takes it."""
        return data.truth(self.record)


def asked(domain: str, split: str) -> list[Asked]:
    """What people ask in this domain. Raises BadInput for an unknown domain or split."""
    return [Asked(record) for record in data.records_of(domain, split)]
