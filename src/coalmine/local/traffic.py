"""People and their requests, replayed: a process that asks the edge for predictions and votes on the answers.

`python -m coalmine.local.traffic` reads orders as JSON lines from its standard input (such as
`{"domain": "tweets", "split": "traffic", "rate": 100}`), sends requests at that rate over keep-alive TLS, and ends
when its input closes. What it saw is in the `--stats` file, written anew twice a second. It sends to loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import ssl
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import aiohttp
from aiohttp.abc import AbstractResolver

from coalmine.files import write_whole
from coalmine.steps.workload import sibling

CONNECTIONS = 16
LONGEST = 15.0  # seconds that a client waits


class Asked(Protocol):
    """What `bentos/<model>/replay.py` gives: a request, and what somebody says of the answer."""

    @property
    def request(self) -> Mapping[str, object]: ...

    def thumb(self, answer: Mapping[str, object], rng: random.Random) -> bool | None: ...


@runtime_checkable
class Knows(Protocol):
    """Somebody who can say what the answer should have been: of a number, only that teaches."""

    def correction(self) -> str: ...


@dataclass(slots=True)
class Seen:
    """What the clients saw of one release in one arm."""

    requests: int = 0
    failed: int = 0  # answered with 5xx
    up: int = 0
    down: int = 0


@dataclass(slots=True)
class Stats:
    """What the clients saw in all. `lost` counts requests without any answer; `refused` those with another 4xx."""

    arms: dict[tuple[str, str], Seen] = field(default_factory=lambda: defaultdict(Seen))
    lost: int = 0
    refused: int = 0
    behind: int = 0  # requests not sent because all connections were busy
    votes_refused: int = 0

    def to_json(self) -> dict[str, Any]:
        arms = [
            {"release": release, "arm": arm, "requests": s.requests, "failed": s.failed, "up": s.up, "down": s.down}
            for (release, arm), s in sorted(self.arms.items())
        ]
        rest = {name: getattr(self, name) for name in ("lost", "refused", "behind", "votes_refused")}
        return {"t": time.time(), "arms": arms, **rest}


@dataclass(slots=True)
class Crowd:
    """Sends at an open-loop rate: a slow answer does not slow the next request, as with real people."""

    client: aiohttp.ClientSession
    asked: Callable[[str, str], Sequence[Asked]]  # domain and split -> what people ask there
    votes: float  # the share of predictions that somebody looks at closely enough to vote on
    rng: random.Random
    stats: Stats = field(default_factory=Stats)
    topic: tuple[str, str] = ("", "")
    rate: float = 0.0
    _busy: set[asyncio.Task[None]] = field(default_factory=set)

    def endless(self, domain: str, split: str) -> Iterator[Asked]:
        """What is asked there, in a shuffled order, over and over."""
        questions = self.asked(domain, split)
        while True:
            yield from self.rng.sample(questions, len(questions))

    async def run(self, ended: asyncio.Event) -> None:
        source: Iterator[Asked] = iter(())
        topic, due = ("", ""), time.monotonic()
        while not ended.is_set():
            if not self.rate:
                due = time.monotonic() + 0.05
            elif len(self._busy) >= 4 * CONNECTIONS:
                self.stats.behind += 1
                due += 1 / self.rate
            else:
                if self.topic != topic:
                    topic, source = self.topic, self.endless(*self.topic)
                task = asyncio.create_task(self._one(next(source)))
                self._busy.add(task)
                task.add_done_callback(self._busy.discard)
                due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*self._busy)

    async def _one(self, asked: Asked) -> None:
        answer = await self._answer("/predict", asked.request)
        if answer is None:
            return
        if 400 <= answer.status < 500:
            self.stats.refused += 1
            return
        arm = answer.headers.get("X-Coalmine-Arm", "")
        seen = self.stats.arms[answer.headers.get("X-Coalmine-Release", ""), arm]
        seen.requests += 1
        if answer.status >= 500:
            seen.failed += 1
        elif self.rng.random() < self.votes:
            await self._vote(seen, asked, await answer.json(content_type=None))

    async def _answer(self, path: str, content: Mapping[str, object]) -> aiohttp.ClientResponse | None:
        """The whole answer; None, counted as lost, where there is none."""
        try:
            async with self.client.post(path, json=content, allow_redirects=False) as answer:
                await answer.read()
                return answer
        except (aiohttp.ClientError, TimeoutError):
            self.stats.lost += 1
            return None

    async def _vote(self, seen: Seen, asked: Asked, answer: dict[str, Any]) -> None:
        good = asked.thumb(answer, self.rng)
        if good is None:
            return  # a rater who finds it neither positive nor negative gives no thumb
        await asyncio.sleep(self.rng.uniform(0.1, 1.0))
        word = {"prediction_id": answer["prediction_id"], "thumb": "up" if good else "down"}
        if isinstance(asked, Knows):
            word["correction"] = asked.correction()
        reply = await self._answer("/feedback", word)
        if reply is None:
            return
        if reply.status != 200:
            self.stats.votes_refused += 1
        elif good:
            seen.up += 1
        else:
            seen.down += 1


def door(url: str, *, ca: Path, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """A client of `url` by kept connections, for use in a running loop. `resolver`: for names that no DNS knows.

    By aiohttp: people share a processor with the servers that they ask, and cost it far less than by httpx.
    """
    trust = ssl.create_default_context(cafile=str(ca))
    connector = aiohttp.TCPConnector(ssl=trust, limit=4 * CONNECTIONS, resolver=resolver)
    return aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(total=LONGEST))


async def _orders(crowd: Crowd, ended: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        crowd.topic = (order.get("domain", crowd.topic[0]), order.get("split", crowd.topic[1]))
        crowd.rate = float(order.get("rate", crowd.rate))
    ended.set()


async def _keep_writing(crowd: Crowd, path: Path, ended: asyncio.Event) -> None:
    while not ended.is_set():
        _write(path, crowd.stats)
        await asyncio.sleep(0.5)


def _write(path: Path, stats: Stats) -> None:
    write_whole(path, json.dumps(stats.to_json()))


async def serve(given: argparse.Namespace) -> None:
    """Send until the input closes; the last answers are waited for and counted."""
    ended, stats = asyncio.Event(), given.stats
    asked = sibling(given.project, given.model, "replay").asked
    async with door(f"https://127.0.0.1:{given.port}", ca=given.ca) as client:
        crowd = Crowd(client, asked, given.votes, random.Random(given.seed))  # noqa: S311 - replayed people, no secret
        await asyncio.gather(_orders(crowd, ended), _keep_writing(crowd, stats, ended), crowd.run(ended))
    _write(stats, crowd.stats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the edge's HTTPS port on loopback")
    parser.add_argument("--ca", type=Path, required=True, help="the certificate authority to trust")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--votes", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
