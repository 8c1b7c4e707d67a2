"""The reader of Prometheus over a real connection: servers that fail, hang or talk nonsense, and ranges of the past."""

from __future__ import annotations

import threading

import httpx
import pytest

from coalmine.errors import Temporary
from coalmine.judge.counting import Counting
from coalmine.judge.policy import load_policy
from coalmine.judge.sources.promapi import Server, http_client
from coalmine.judge.sources.prometheus import PrometheusSource, episode_from_prometheus
from unit.judge.scraped import Scraped, prometheus
from unit.judge.test_prometheus_source import Reader, policy_text, sums

ANSWERS = [
    (500, b"{}"), (503, b"busy"), (400, b'{"status":"error"}'), (200, b"no json"), (200, b"[]"), (200, b'{"data":{}}'),
    (200, b'{"data":{"resultType":"vector","result":[]}}'), (200, b'{"data":{"resultType":"matrix","result":[1]}}'),
    (200, b'{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}'), (200, b"[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_nonsense_is_no_data_and_what_was_missed_is_counted_when_it_answers_again(answer: tuple[int, bytes]) -> None:
    """Over a real connection; NaN is no sample."""
    scraped = Scraped()
    clock = [100.0]
    with prometheus(scraped) as server, httpx.Client(base_url=server.url) as client:
        source = PrometheusSource(
            server.url, load_policy(policy_text()), namespace="n", name="m", client=client, clock=lambda: clock[0]
        )
        scraped.scrape(100, "requests", 5, arm="canary", code="200")
        position = source.read(None).position
        server.answer = answer
        clock[0] = 111
        batch = source.read(position)
        assert (batch.items, batch.position) == ((), position)
        assert source.failures == 1
        assert source.error
        server.answer = None
        scraped.scrape(115, "requests", float("nan"), arm="canary", code="200")
        scraped.scrape(120, "requests", 8, arm="canary", code="200")
        clock[0] = 122
        assert sums(list(source.read(position).items)) == {("errors", "canary", ""): (3, 0)}
        assert source.error == ""


def test_a_server_that_hangs_or_is_not_there_is_no_data() -> None:
    """Within its budget of time, and without an exception."""
    with prometheus(Scraped()) as server, httpx.Client(base_url=server.url) as client:
        server.pause = threading.Event()
        api = Server(client, budget=0.3)
        source = PrometheusSource(server.url, load_policy(policy_text()), namespace="n", name="m", api=api)
        assert source.read(None).position is None
        assert source.failures == 1
    with httpx.Client(base_url="http://127.0.0.1:9") as client:
        gone = PrometheusSource("", load_policy(policy_text()), namespace="n", name="m", client=client)
        assert gone.read(None).items == ()
        assert gone.failures == 1


def test_a_range_of_the_past_makes_the_polls_that_were_made_live() -> None:
    """By the same code; what the policy cannot use is told, and so is a server that does not answer."""
    scraped, policy = Scraped(), load_policy(policy_text())
    for step in range(200):
        t = 1000.0 + 10 * step
        for arm in ("canary", "primary"):
            scraped.scrape(t, "requests", (7 * step) % 350, arm=arm, code="200")
            scraped.scrape(t, "requests", step // 20, arm=arm, code="500")
    reader, counting = Reader(scraped), Counting()
    live = [poll for step in range(200) for poll in counting.outcomes(reader.read(1000.5 + 10 * step), policy)]
    with prometheus(scraped) as server, httpx.Client(base_url=server.url) as client:
        polls = episode_from_prometheus(
            server.url, policy, namespace="n", name="m", start=1000.5, end=2990.5, client=client
        )
        server.answer = (500, b"")
        with pytest.raises(Temporary):
            episode_from_prometheus(server.url, policy, namespace="n", name="m", start=1, end=60, client=client)
    assert polls[: len(live)] == live
    assert len(live) > 60
    assert sum(poll.e_c for poll in polls) == 9


def test_a_login_in_the_address_is_used_and_never_shown() -> None:
    """As basic authentication."""
    with prometheus(Scraped()) as server:
        url = server.url.replace("http://", "http://judge:secret@")
        source = PrometheusSource(url, load_policy(policy_text()), namespace="n", name="m")
        assert source.read(None).position is not None
        assert server.logins == {"Basic anVkZ2U6c2VjcmV0"}
        server.answer = (500, b"")
        with pytest.raises(Temporary) as caught:
            episode_from_prometheus(url, load_policy(policy_text()), namespace="n", name="m", start=1, end=60)
        assert "secret" not in str(caught.value)
        http_client(url).close()
