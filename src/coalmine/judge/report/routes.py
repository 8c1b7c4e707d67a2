"""The report and the live page's inside over HTTP. Reading only: nothing here changes what the judge knows."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from coalmine.judge import report, views
from coalmine.judge.report import page, words
from coalmine.judge.routes import MISSING, Number, find

if TYPE_CHECKING:
    from coalmine.judge.desk import Desk
    from coalmine.judge.store import Row
    from coalmine.records import Poll

API = "/api/v1/analyses"
_POLLS = 20  # on one page of the table
_REMEMBERED = 8  # analyses whose polls are kept for whoever looks: they are read anew otherwise


def add(app: FastAPI, desk: Desk) -> None:
    """Routes: the report as HTML, JSON and PNG, and `/page` for the live page."""
    shelf = _Shelf(desk)

    @app.get(f"{API}/{{number}}/report.html", response_class=HTMLResponse, responses=MISSING, tags=["analyses"])
    def as_html(number: Number) -> Response:
        return HTMLResponse(report.html(_facts(desk, number)), headers=_named(number, "html", inline=True))

    @app.get(f"{API}/{{number}}/report.json", responses=MISSING, tags=["analyses"])
    def as_json(number: Number) -> Any:
        return JSONResponse(_finite(_facts(desk, number)))

    @app.get(
        f"{API}/{{number}}/report.png",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}, **MISSING},
        tags=["analyses"],
    )
    def as_png(number: Number) -> Response:
        return Response(report.png(_facts(desk, number)), media_type="image/png", headers=_named(number, "png"))

    @app.get("/page", response_class=HTMLResponse, include_in_schema=False)
    def inside(
        analysis: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        polls: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        history: Annotated[int, Query(ge=1, le=1000)] = 10,
    ) -> Response:
        rows = desk.store.analyses(limit=history + 1)
        number = analysis or (rows[0].id if rows else 0)
        facts = {**_facts(desk, number), "polls": shelf.polls(number, upto=polls)} if number else None
        shown = {"rows": [_line(desk, row) for row in rows[:history]], "more": len(rows) > history, "limit": history}
        return HTMLResponse(page.live(facts, {**shown, "chosen": number}), headers={"Cache-Control": "no-store"})


class _Shelf:
    """Polls that were read once: each look reads only what came since."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._kept: dict[int, list[Poll]] = {}
        self._lock = threading.Lock()

    def polls(self, number: int, *, upto: int) -> dict[str, Any]:
        """Newest first, those before number `upto` of the analysis (0: the newest), counted from its first."""
        known = self._known(number)
        end = min(upto, len(known)) or len(known)
        start = max(0, end - _POLLS)
        rows = [{"number": place + 1, **asdict(known[place])} for place in range(end - 1, start - 1, -1)]
        newer = 0 if end + _POLLS >= len(known) else end + _POLLS
        return {"rows": rows, "total": len(known), "end": end, "start": start, "newer": newer, "upto": upto}

    def _known(self, number: int) -> list[Poll]:
        with self._lock:
            known = self._kept.pop(number, [])
            known = known + self._desk.store.polls(number, after=len(known))
            while len(self._kept) >= _REMEMBERED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[number] = known
            return known


def _facts(desk: Desk, number: int) -> dict[str, Any]:
    live = find(desk, number)
    overrides = [asdict(said) for said in desk.store.overrides(number)]
    return report.facts(live, desk.clock(), events=desk.store.events(number), overrides=overrides)


def _line(desk: Desk, row: Row) -> dict[str, Any]:
    """One row of the history. A closed analysis' own is read from what was stored at its end."""
    if row.status == "closed":
        return _closed(row)
    live = desk.find(row.id)
    if live is None:
        return _closed(row)
    view = views.analysis(live, desk.clock())
    return {
        "id": row.id, "what": f"{row.namespace}/{row.name}", "release": view["release"], "started": row.opened,
        "headline": words.headline(view), "tone": words.tone(view), "why": view["sentence"],
    }  # fmt: skip


@lru_cache(maxsize=1024)
def _closed(row: Row) -> dict[str, Any]:
    final = json.loads(row.final) if row.final else {}
    counting = json.loads(row.counting)
    view = {"decision": final.get("decision", ""), "outcome": row.outcome, "status": row.status}
    return {
        "id": row.id, "what": f"{row.namespace}/{row.name}", "release": counting.get("release", ""),
        "started": row.opened, "headline": words.headline(view), "tone": words.tone(view),
        "why": final.get("reason", ""),
    }  # fmt: skip


def _named(number: int, ending: str, *, inline: bool = False) -> dict[str, str]:
    kind = "inline" if inline or ending == "png" else "attachment"
    return {"Content-Disposition": f'{kind}; filename="analysis-{number}.{ending}"'}


def _finite(value: Any) -> Any:
    """JSON has no infinity: evidence that is impossible becomes null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
