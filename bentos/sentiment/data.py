"""Sentences rated by some 20 people each (Hutto & Gilbert, ICWSM 2014), in four domains, split by document.

Files `<name>_GroundTruth.txt` (id, mean, text) and `<name>_anonDataRatings.txt` (id, mean, sd, ratings as JSON), with
no header. One begins with a BOM, 21 rows are out of order, and 198 tweets carry another mean in the first file than in
the ratings: so rows are joined by id, and means are taken from the ratings.
"""

from __future__ import annotations

import hashlib
import html
import json
import random
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from coalmine.errors import BadInput
from coalmine.steps.workload import Row

from .fetch import archive, members

LABELS = ("negative", "positive")  # the names of labels 0 and 1
UNDECIDED = 0.3  # a mean nearer to 0 than this is no label to learn from
_NAMES = {
    "tweets": "tweets",
    "reviews": "amazonReviewSnippets",
    "films": "movieReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
DOMAINS = tuple(_NAMES)


class Split(StrEnum):
    """Disjoint by document, so that no release wins by memory."""

    TRAIN = "train"
    EVALUATION = "evaluation"  # the offline gate
    FEEDBACK = "feedback"  # traffic whose votes a retraining learns from
    TRAFFIC = "traffic"  # traffic that judges what was learnt


# Where models start from (tweets) most documents train; where they drift to, most are for people to vote on.
_SHARES: dict[str, tuple[tuple[Split, float], ...]] = {
    "tweets": ((Split.TRAIN, 0.60), (Split.EVALUATION, 0.15), (Split.FEEDBACK, 0.10), (Split.TRAFFIC, 0.15)),
    "reviews": ((Split.TRAIN, 0.10), (Split.EVALUATION, 0.15), (Split.FEEDBACK, 0.55), (Split.TRAFFIC, 0.20)),
    "films": ((Split.TRAIN, 0.10), (Split.EVALUATION, 0.15), (Split.FEEDBACK, 0.55), (Split.TRAFFIC, 0.20)),
    "editorials": ((Split.TRAIN, 0.10), (Split.EVALUATION, 0.15), (Split.FEEDBACK, 0.55), (Split.TRAFFIC, 0.20)),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and what people said of it. Ratings are whole numbers, -4 (negative) to 4."""

    id: str
    domain: str
    document: str
    text: str
    mean: float
    ratings: tuple[int, ...]

    @property
    def label(self) -> int:
        return int(self.mean > 0)

    @property
    def decided(self) -> bool:
        """Whether the raters agree enough for a label."""
        return abs(self.mean) >= UNDECIDED


def split_of(domain: str, document: str) -> Split:
    """The split of a document: by its hash alone, so that it stays there whatever else is loaded."""
    number = int.from_bytes(hashlib.sha256(f"{domain}/{document}".encode()).digest()[:8]) / 2**64
    for split, share in _SHARES[_known(domain)]:
        if number < share:
            return split
        number -= share
    return Split.TRAFFIC


def sentences(domain: str, split: str, *, cache: Path | None = None) -> list[Sentence]:
    """All sentences of one domain and split, undecided ones included, in the files' order.

    Raises: BadInput for an unknown domain or split; what `fetch.archive` raises.
    """
    if split not in set(Split):
        raise BadInput(f"unknown split {split!r}", where="split", remedy=f"one of {', '.join(Split)}")
    return [item for item in load(_known(domain), cache=cache) if split_of(domain, item.document) == split]


def rows(domains: tuple[str, ...], split: str, *, cache: Path | None = None) -> list[Row]:
    """Labelled rows of weight 1 to train or evaluate on: the decided sentences only."""
    return [
        Row(text=item.text, label=item.label, weight=1.0, domain=domain, entity=f"{domain}/{item.document}")
        for domain in domains
        for item in sentences(domain, split, cache=cache)
        if item.decided
    ]


def thumb(sentence: Sentence, predicted: int | str, rng: random.Random) -> bool | None:
    """One rater's word on a prediction: True up, False down, None no vote (the rater found it neutral).

    `predicted` is a label (0, 1) or its name. The rater is drawn by `rng`. Counted as a thumb down, a rating of 0
    would mostly measure how neutral the traffic is.
    """
    label = LABELS.index(predicted) if isinstance(predicted, str) else predicted
    rating = rng.choice(sentence.ratings)
    return None if rating == 0 else (rating > 0) == bool(label)


def load(domain: str, *, cache: Path | None = None) -> tuple[Sentence, ...]:
    """All sentences of `domain`, fetched where need be, in the order of the file of texts."""
    return _load(_known(domain), archive(cache))


@lru_cache(maxsize=len(_NAMES))
def _load(domain: str, path: Path) -> tuple[Sentence, ...]:
    names = (f"{_NAMES[domain]}_GroundTruth.txt", f"{_NAMES[domain]}_anonDataRatings.txt")
    files = members(path, names)
    rated = {row[0]: row for row in table(files[names[1]], columns=4, name=names[1])}
    texts = table(files[names[0]], columns=3, name=names[0])
    if len(rated) != len(texts):
        raise BadInput(f"{len(texts)} texts but {len(rated)} rated ids", where=names[1])
    return tuple(_sentence(domain, number, _plain(text), rated[number]) for number, _, text in texts)


def table(content: bytes, *, columns: int, name: str) -> list[list[str]]:
    """Rows of a file of the archive. Quotes mean nothing here: a CSV reader's defaults silently drop rows."""
    lines = content.decode("utf-8-sig").split("\r\n")
    found = [line.split("\t") for line in lines if line]
    for number, row in enumerate(found, start=1):
        if len(row) != columns:
            raise BadInput(f"line {number} has {len(row)} columns, not {columns}", where=name)
    return found


def _plain(text: str) -> str:
    """Without HTML's entities: some of the texts were escaped twice (`&amp;amp;`)."""
    return html.unescape(html.unescape(text))


def _sentence(domain: str, number: str, text: str, rated: list[str]) -> Sentence:
    ratings = tuple(int(rating) for rating in json.loads(rated[3]))
    document, _, _ = number.rpartition("_")
    # A tweet is its own document, and the same words sent twice are one: ids would put them into two splits.
    words = " ".join(text.lower().split())
    document = document or hashlib.sha256(words.encode()).hexdigest()[:16]
    return Sentence(number, domain, document, text, float(rated[1]), ratings)


def _known(domain: str) -> str:
    if domain not in _NAMES:
        raise BadInput(f"unknown domain {domain!r}", where="domain", remedy=f"one of {', '.join(DOMAINS)}")
    return domain
