"""People ask, vote on what they are told, and count what they do not get."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

from coalmine.local.traffic import Crowd, Stats


class Question:
    """Somebody who likes every answer."""

    request: Mapping[str, object] = {"text": "good"}

    def thumb(self, answer: Mapping[str, object], rng: random.Random) -> bool | None:
        del answer, rng
        return True


async def seen(answer: dict[str, Any], *, votes: int) -> Stats:
    """What a crowd sees of a server that answers so, after a second; `votes`: how that server answers to a vote."""

    async def predict(_: web.Request) -> web.Response:
        return web.Response(**answer)

    async def feedback(_: web.Request) -> web.Response:
        return web.Response(status=votes)

    app = web.Application()
    app.router.add_post("/predict", predict)
    app.router.add_post("/feedback", feedback)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as client:
            crowd = Crowd(client, lambda *_: [Question()], 1.0, random.Random(1), topic=("a", "b"), rate=20.0)
            ended = asyncio.Event()
            asyncio.get_running_loop().call_later(1.0, ended.set)
            await crowd.run(ended)
            return crowd.stats
    finally:
        await runner.cleanup()


def test_an_answer_of_whatever_type_is_voted_on() -> None:
    told = {"text": '{"prediction_id": "it"}', "headers": {"X-Coalmine-Release": "m1", "X-Coalmine-Arm": "canary"}}
    stats = asyncio.run(seen(told, votes=200))
    arm = stats.arms["m1", "canary"]
    assert arm.requests == arm.up > 0
    assert (arm.failed, stats.lost, stats.refused, stats.votes_refused) == (0, 0, 0, 0)


def test_a_redirect_is_not_followed_and_a_vote_that_is_refused_is_counted() -> None:
    told = {"status": 307, "text": '{"prediction_id": "it"}', "headers": {"Location": "/nowhere"}}
    stats = asyncio.run(seen(told, votes=409))
    assert stats.votes_refused == stats.arms["", ""].requests > 0
    assert stats.refused == 0
