"""People at the cluster's door: requests over TLS through the gateway, votes on the answers, and a count of both."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from cluster.node.layout import BENCH_DOMAIN
from cluster.platform import Platform
from coalmine.local import traffic
from coalmine.local.traffic import LONGEST, Crowd, Seen, Stats
from coalmine.steps.workload import sibling

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Traffic:
    """`rate` requests a second for `model` until the `with` ends; `votes` of the answers get a thumb."""

    platform: Platform
    model: str
    rate: float = 40.0
    votes: float = 0.3
    seed: int = 1
    stats: Stats = field(default_factory=Stats)
    broken: BaseException | None = None
    _crowd: Crowd | None = None
    _ended: Callable[[], None] = lambda: None
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(begun)), daemon=True)
        self._thread.start()
        assert begun.wait(60), "the traffic does not begin"
        return self

    def __exit__(self, *_: object) -> None:
        self._ended()
        self._thread.join(2 * LONGEST)
        if self.broken:
            raise self.broken

    def pace(self, rate: float) -> None:
        """From now on so many requests a second: the fewer, the longer until a release has shown what it must."""
        self.rate = rate
        if self._crowd:
            self._crowd.rate = rate

    def seen(self, release: str) -> Seen:
        """What was seen of a release, in whichever arm."""
        whole = Seen()
        for (named, _), part in list(self.stats.arms.items()):
            if named == release:
                whole.requests += part.requests
                whole.failed += part.failed
                whole.up += part.up
                whole.down += part.down
        return whole

    @property
    def total(self) -> int:
        return sum(part.requests for part in list(self.stats.arms.values()))

    @property
    def failed(self) -> int:
        return sum(part.failed for part in list(self.stats.arms.values()))

    def told(self, release: str) -> str:
        """In a line: what people went through, and how much of it by this release."""
        seen = self.seen(release)
        at = f"{seen.requests} at it, {seen.failed} failed, {seen.down} thumbs down"
        return f"requests {self.total}, lost {self.stats.lost}; {at}"

    async def _run(self, begun: threading.Event) -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        self._ended = lambda: loop.call_soon_threadsafe(ended.set)  # type: ignore[assignment]
        asked = sibling(ROOT, "sentiment", "replay").asked
        try:
            async with door(self.platform, self.model) as client:
                self._crowd = crowd = Crowd(client, asked, self.votes, random.Random(self.seed), stats=self.stats)
                crowd.topic, crowd.rate = ("tweets", "traffic"), self.rate
                begun.set()
                await crowd.run(ended)
        except BaseException as error:  # noqa: BLE001 - the test's own thread tells it
            self.broken = error
            begun.set()


def door(platform: Platform, model: str) -> aiohttp.ClientSession:
    """A client by the model's host name, which leads to the gateway's address. The certificate must fit the name."""
    label = "gateway.envoyproxy.io/owning-gateway-name=coalmine"
    [service] = platform.kubectl.within("envoy-gateway-system").items("service", "--selector", label)
    way = _Way(str(service["spec"]["clusterIP"]))
    return traffic.door(f"https://{model}.{BENCH_DOMAIN}", ca=platform.authority.certificate, resolver=way)


class _Way(AbstractResolver):
    """To one address, whatever the name."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family  # the address is of one
        return [ResolveResult(hostname=host, host=self._address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""
