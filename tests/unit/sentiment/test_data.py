"""What docs say of the rated sentences is true of the files, and no split knows another's documents."""

from __future__ import annotations

import random
from collections import Counter
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.errors import BadInput

FACTS = {  # domain: sentences, decided ones, percent of them positive
    "tweets": (4200, 3754, 69),
    "reviews": (3708, 3176, 59),
    "films": (10605, 10318, 50),
    "editorials": (5190, 3709, 41),
}


@pytest.mark.parametrize("domain", FACTS)
def test_counts_are_those_measured(data: ModuleType, domain: str) -> None:
    found = data.load(domain)
    decided = [item for item in found if item.decided]
    positive = round(100 * sum(item.label for item in decided) / len(decided))
    assert (len(found), len(decided), positive) == FACTS[domain]
    assert len({item.id for item in found}) == len(found)


def test_all_single_ratings_are_kept(data: ModuleType) -> None:
    ratings = [rating for domain in data.DOMAINS for item in data.load(domain) for rating in item.ratings]
    assert len(ratings) == 536_520
    assert set(ratings) == set(range(-4, 5))


def test_bom_is_no_part_of_the_first_id(data: ModuleType, fetch: ModuleType) -> None:
    name = "amazonReviewSnippets_anonDataRatings.txt"
    content = fetch.members(fetch.archive(), (name,))[name]
    assert content.startswith(b"\xef\xbb\xbf")
    assert data.table(content, columns=4, name=name)[0][0] == "1_1"


def test_rows_out_of_order_get_their_own_ratings(data: ModuleType, fetch: ModuleType) -> None:
    names = ("amazonReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_anonDataRatings.txt")
    files = fetch.members(fetch.archive(), names)
    texts = data.table(files[names[0]], columns=3, name=names[0])
    rated = data.table(files[names[1]], columns=4, name=names[1])
    assert sum(text[0] != other[0] for text, other in zip(texts, rated, strict=True)) == 21
    means = {row[0]: float(row[1]) for row in texts}
    assert all(item.mean == pytest.approx(means[item.id], abs=0.01) for item in data.load("reviews"))


def test_means_come_from_the_ratings_where_the_files_differ(data: ModuleType, fetch: ModuleType) -> None:
    name = "tweets_GroundTruth.txt"
    rows = data.table(fetch.members(fetch.archive(), (name,))[name], columns=3, name=name)
    told = {row[0]: float(row[1]) for row in rows}
    different = [item for item in data.load("tweets") if abs(item.mean - told[item.id]) > 0.005]
    assert len(different) == 198
    for item in different:
        assert item.mean == pytest.approx(sum(item.ratings) / len(item.ratings), abs=0.01)


@pytest.mark.parametrize("domain", FACTS)
def test_html_is_unescaped(data: ModuleType, domain: str) -> None:
    assert not any(mark in item.text for item in data.load(domain) for mark in ("&amp;", "&quot;", "&lt;", "&#"))


@pytest.mark.parametrize("domain", FACTS)
def test_splits_are_disjoint_by_document_and_cover_everything(data: ModuleType, domain: str) -> None:
    parts = [data.sentences(domain, split) for split in data.Split]
    documents = [{item.document for item in part} for part in parts]
    assert sum(map(len, parts)) == len(data.load(domain))
    assert sum(map(len, documents)) == len(set().union(*documents))
    assert all(len(part) > 300 for part in parts)


def test_the_same_tweet_sent_twice_is_one_document(data: ModuleType) -> None:
    words = Counter(" ".join(item.text.lower().split()) for item in data.load("tweets"))
    twice = {text for text, count in words.items() if count > 1}
    documents = {item.document for item in data.load("tweets") if " ".join(item.text.lower().split()) in twice}
    assert twice
    assert len(documents) == len(twice)


@given(st.text(max_size=30), st.sampled_from(sorted(FACTS)))
def test_a_document_always_falls_into_the_same_split(data: ModuleType, document: str, domain: str) -> None:
    assert data.split_of(domain, document) == data.split_of(domain, document)


def test_undecided_sentences_are_traffic_but_no_labels(data: ModuleType) -> None:
    sentences = data.sentences("tweets", "train")
    rows = data.rows(("tweets",), "train")
    assert len(rows) == sum(item.decided for item in sentences) < len(sentences)
    assert {row.label for row in rows} == {0, 1}


def test_a_thumb_is_one_raters_sign_against_the_prediction(data: ModuleType) -> None:
    rng = random.Random(1)
    likes = data.Sentence("1", "tweets", "d", "good", 2.0, (3, 1))
    neutral = data.Sentence("2", "tweets", "d", "it", 0.0, (0, 0))
    assert data.thumb(likes, 1, rng) is True
    assert data.thumb(likes, "negative", rng) is False
    assert data.thumb(neutral, 1, rng) is None


def test_thumbs_are_those_of_the_ratings_and_repeat_with_the_seed(data: ModuleType) -> None:
    """On a decided tweet a rater agrees with the mean's sign in .819 of cases, opposes in .030, is neutral in .152.

    Of all single ratings it is .835, .028 and .137: clearer tweets were rated by more people.
    """

    def draw() -> list[bool | None]:
        rng = random.Random(7)
        return [data.thumb(item, item.label, rng) for item in data.load("tweets") if item.decided]

    first = draw()
    assert first == draw()
    shares = {word: first.count(word) / len(first) for word in (True, False, None)}
    assert shares == {
        True: pytest.approx(0.819, abs=0.02),
        False: pytest.approx(0.030, abs=0.01),
        None: pytest.approx(0.152, abs=0.02),
    }


@pytest.mark.parametrize(("domain", "split"), [("tweet", "train"), ("tweets", "test")])
def test_unknown_names_are_refused_with_those_known(data: ModuleType, domain: str, split: str) -> None:
    with pytest.raises(BadInput, match="one of"):
        data.sentences(domain, split)
