"""Counts that somebody else made, pushed to the judge; each id counts once, so a push may be repeated."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from coalmine.errors import BadInput
from coalmine.judge.answers import Stored
from coalmine.judge.desk import Desk
from coalmine.judge.routes_write import DENIED, Bearer, allowed
from coalmine.judge.sources import push
from coalmine.judge.sources.bodies import Pushed
from coalmine.judge.tokens import Tokens


def router(desk: Desk, tokens: Tokens) -> APIRouter:
    made = APIRouter(tags=["push"])

    @made.post("/api/v1/push", response_model=Stored, responses=DENIED)
    def pushed(body: Pushed, authorization: Bearer = None) -> Any:
        """Outcomes of one Canary. They count for the analysis that runs when they are read, by its policy."""
        allowed(tokens, "push", authorization, desk=desk).require("push", body.namespace)
        if any("\x00" in one.id for one in body.outcomes):  # PostgreSQL keeps no such text
            raise BadInput("an id holds a NUL", where="outcomes")
        policy = desk.running_policy(body.namespace, body.name)
        if policy is not None:
            push.check(body, policy)
        stored, already = push.accept(desk.store.engine, body, now=desk.clock())
        return Stored(stored=stored, already=already)

    return made
