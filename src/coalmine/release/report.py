"""The report on a release: what changed, what was seen, what was decided, what it cost. JSON, HTML, and PNG.

Neither a dead judge nor a missing log keeps it from being written: it says what is missing and is completed later.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from coalmine.errors import CoalmineError, Temporary
from coalmine.records import Ending, Outcome, Release, ReleaseId, Report
from coalmine.release import links, page
from coalmine.release.cost import count
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings

_TIMEOUT = (1.0, 10.0)  # seconds to connect and to answer
_PAINTING = 30.0  # seconds for the picture; it takes half of one
_SETTLES = 600.0  # seconds after which an analysis that the judge never closed is taken as it is
UNNAMED = "canary"  # what the judge calls a canary whose counters name no release, as a gateway's do
_LINEAGE = (
    "model_version",
    "run_id",
    "dataset_digest",
    "snapshot",
    "git_sha",
    "environment",
    "bento_digest",
    "override",
)
_VERBS = {
    Outcome.FIRST_RELEASE: "went live as the first release",
    Outcome.PROMOTED: "was promoted",
    Outcome.ROLLED_BACK: "was rolled back",
    Outcome.SUPERSEDED: "was superseded by a newer push",
}


def write(settings: Settings, ending: Ending) -> Report:
    """Write the report of one attempt, or write it again with what has become known; remembered in the ledger."""
    ledger = Ledger(settings.database)
    facts = gather(settings, ending, ledger)
    stem = settings.reports / ending.model / f"{ending.release}-attempt{ending.attempt}"
    report = Report(ending.release, html=f"{stem}.html", json=f"{stem}.json", facts=facts)
    _put(Path(report.json), json.dumps(facts, indent=2, sort_keys=True) + "\n")
    _put(Path(report.html), page.render(facts))
    if picture := _picture(facts):
        _put(Path(f"{stem}.png"), picture)
    ledger.add_report(ending.model, ending.attempt, report, complete=bool(facts["complete"]))
    return report


def complete(settings: Settings) -> int:
    """Write again the reports that lacked something; returns how many are complete now. Cheap where none is open."""
    ledger, done = Ledger(settings.database), 0
    open_ones = {attempt for attempt, _ in ledger.reports(settings.model, incomplete=True)}
    for ending in ledger.closings(settings.model) if open_ones else []:
        if ending.attempt in open_ones:
            done += bool(write(settings, ending).facts["complete"])
    return done


def gather(settings: Settings, ending: Ending, ledger: Ledger) -> dict[str, Any]:
    """Everything the report says, as plain JSON. Times are Unix seconds, rates shares, evidence natural logarithms."""
    seen, missing = _evidence(settings, ending)
    analysis = seen.get("analysis")
    before = _before(ending, ledger)
    verb = _VERBS[ending.outcome]
    back = f"; {ending.primary} serves" if ending.outcome is Outcome.ROLLED_BACK and ending.primary else ""
    cost = count(settings.access_log, ending.release, started=ending.started, ended=ending.ended)
    weights = _weights(settings, ending) or [{"t": t, "weight": weight} for t, weight in cost.weights]
    weights = weights or (analysis or {}).get("weights", [])  # in a cluster: as the judge read Flagger's gauge
    return {
        "model": ending.model,
        "release": str(ending.release),
        "attempt": ending.attempt,
        "verdict": ending.outcome.value,
        "sentence": f"{ending.release} {verb}: {ending.reason}{back}" if ending.reason else f"{ending.release} {verb}",
        "reason": ending.reason,
        "started": ending.started,
        "ended": ending.ended,
        "seconds": round(ending.ended - ending.started, 3),
        "commit": ending.commit,
        "serves": str(ending.primary) if ending.primary else None,
        "before": str(before) if before else None,
        "changed": _changed(ledger, ending, before),
        "links": links.find(
            settings,
            commit=ending.commit,
            release={"model": ending.model, **_lineage(ledger.find(ending.model, ending.release))},
        ),
        "weights": weights,
        "evidence": analysis,
        "trace": seen.get("trace", []),
        "events": seen.get("events", []),
        "overrides": seen.get("overrides", []),
        "cost": {
            **{key: value for key, value in asdict(cost).items() if key != "weights"},
            "extra_failures": seen.get("cost", {}).get("extra_failures"),
        },
        "closing": ledger.steps(ending),
        "missing": missing,
        "complete": not missing,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _before(ending: Ending, ledger: Ledger) -> ReleaseId | None:
    """What served when the attempt began: what still does after a rollback, else what the attempt before it left."""
    if ending.outcome is Outcome.FIRST_RELEASE:
        return None
    if ending.primary != ending.release:
        return ending.primary
    earlier = [other for other in ledger.closings(ending.model) if other.attempt < ending.attempt]
    return max(earlier, key=lambda other: other.attempt).primary if earlier else None


def _changed(ledger: Ledger, ending: Ending, before: ReleaseId | None) -> list[dict[str, Any]]:
    new, old = (_lineage(ledger.find(ending.model, release)) if release else {} for release in (ending.release, before))
    return [
        {"field": name, "before": old.get(name), "after": new.get(name), "differs": old.get(name) != new.get(name)}
        for name in _LINEAGE
        if new.get(name) or old.get(name)
    ]


def _lineage(release: Release | None) -> dict[str, Any]:
    return asdict(release) | {"model_version": release.id.version} if release else {}


def _weights(settings: Settings, ending: Ending) -> list[dict[str, Any]]:
    from coalmine.rollout.store import SqliteStore  # noqa: PLC0415 - the rollout's record, where there is one

    events = SqliteStore(settings.database).events(ending.model, attempt=ending.attempt)
    return [{"t": e.t, "weight": e.weight, "text": e.text} for e in events if e.weight is not None]


def _evidence(settings: Settings, ending: Ending) -> tuple[dict[str, Any], str]:
    """The judge's own report on its analysis, and what is missing of it (empty: nothing)."""
    if ending.outcome is Outcome.FIRST_RELEASE:
        return {}, ""  # there was nothing to compare with
    try:
        with requests.Session() as session:
            session.trust_env = False  # it is on loopback: no proxy
            seen = _analysis(session, settings, ending)
        late = bool(seen) and seen["analysis"]["status"] != "closed" and _now() - ending.ended < _SETTLES
    except (CoalmineError, KeyError, TypeError) as error:
        return {}, f"the judge's evidence: {getattr(error, 'what', None) or repr(error)}"
    return seen, "the judge is still closing its analysis" if late else ""


def _analysis(session: requests.Session, settings: Settings, ending: Ending) -> dict[str, Any]:
    """What the judge reports of the newest analysis of this release that was opened in the attempt's time."""
    wanted = {"namespace": settings.namespace, "name": settings.canary, "limit": "20"}
    for found in _get(session, f"{settings.judge_url}/api/v1/analyses", wanted):
        of_this = found.get("release") in (str(ending.release), UNNAMED)
        if of_this and ending.started - 5.0 <= float(found["started"]) <= ending.ended + 5.0:
            return dict(_get(session, f"{settings.judge_url}/api/v1/analyses/{found['id']}/report.json", {}))
    return {}


def _picture(facts: dict[str, Any]) -> bytes:
    """The main plot, painted by a process that ends with it. Nothing where there is no evidence, or no painting it:
    the report goes without.
    """
    if not facts["evidence"]:
        return b""
    given = {"title": f"{facts['model']} {facts['release']}", "analysis": facts["evidence"], "trace": facts["trace"]}
    command = [sys.executable, "-I", "-m", "coalmine.judge.report"]
    text = json.dumps(given | {"sentence": facts["sentence"]}).encode()
    try:
        return subprocess.run(command, input=text, capture_output=True, timeout=_PAINTING, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def _get(session: requests.Session, url: str, params: dict[str, str]) -> Any:
    try:
        reply = session.get(url, params=params, timeout=_TIMEOUT)
        reply.raise_for_status()
        return reply.json()
    except requests.ConnectionError as error:
        raise Temporary("the judge does not answer") from error
    except requests.RequestException as error:
        raise Temporary(f"the judge's answer is of no use: {error}") from error


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _put(path: Path, content: str | bytes) -> None:
    """Whole or not at all: a report is read while it may be written again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
    fresh.replace(path)
