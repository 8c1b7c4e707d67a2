"""People replayed: what they ask, and what one of them says of the answer. For drivers such as the demo."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from . import data

DOMAINS = data.DOMAINS


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and the people who rated its text."""

    sentence: data.Sentence

    @property
    def request(self) -> dict[str, str]:
        """The body of POST /predict."""
        return {"text": self.sentence.text}

    def thumb(self, answer: Mapping[str, object], rng: random.Random) -> bool | None:
        """One rater's thumb on the answer; None where that rater found the text neutral."""
        return data.thumb(self.sentence, str(answer["label"]), rng)


def asked(domain: str, split: str) -> list[Asked]:
    """What people ask in this domain. Raises BadInput for an unknown domain or split."""
    return [Asked(sentence) for sentence in data.sentences(domain, split)]
