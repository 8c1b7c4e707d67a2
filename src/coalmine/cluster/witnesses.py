"""What others have on record of an attempt: the judge's analysis and Flagger's events. From them comes the reason.

They are asked for words and numbers alone. That an attempt ended, and how, is the Canary's own status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from coalmine.cluster.attempts import End, Kind
from coalmine.cluster.seen import seconds
from coalmine.errors import Temporary
from coalmine.records import Outcome
from coalmine.release.report import UNNAMED

_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
_EARLIER = 120.0  # seconds: an analysis is opened at confirm-rollout, some ticks before the canary is under way
_SKEW = 5.0  # seconds by which clocks of two nodes may differ
_ECHO = (
    "Canary failed!",
    "Post-rollout hook",
    "Rollback check",
    "New revision detected",
)  # warnings that explain nothing
Analysis = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judge:
    """The judge's records over its REST interface. Raises Temporary where it does not answer."""

    url: str

    def analyses(self, namespace: str, name: str) -> list[Analysis]:
        """The newest twenty of a Canary, newest first."""
        given = {"namespace": namespace, "name": name, "limit": "20"}
        try:
            reply = httpx.get(f"{self.url}/api/v1/analyses", params=given, timeout=_TIMEOUT, trust_env=False)
            reply.raise_for_status()
            return list(reply.json())
        except (httpx.HTTPError, ValueError) as error:
            raise Temporary(f"the judge does not answer: {type(error).__name__}", where=self.url) from error


def of_attempt(analyses: Iterable[Analysis], end: End) -> Analysis | None:
    """The newest analysis of this release within the attempt's time; one that was opened and left is passed over."""
    fitting = [
        one
        for one in analyses
        if one.get("release") in (str(end.release), UNNAMED, "")
        and end.started - _EARLIER <= float(one["started"]) <= end.ended + _SKEW
    ]
    told = [one for one in fitting if one.get("outcome") != "superseded" and one.get("decision") != "SUPERSEDED"]
    return next(iter(told or fitting), None)


def says_rollback(analysis: Analysis | None) -> bool:
    return analysis is not None and analysis.get("decision") == "ROLLBACK"


def reason(end: End, analysis: Analysis | None, events: Iterable[Mapping[str, Any]], *, silent: bool) -> str:
    """Why the attempt ended, in one sentence with its numbers. `silent`: the judge could not be asked."""
    if end.outcome is Outcome.SUPERSEDED:
        return end.note
    if end.outcome is Outcome.FIRST_RELEASE:
        return "there was nothing to compare it with"
    if end.outcome is Outcome.PROMOTED:
        told = str((analysis or {}).get("reason") or "")
        return _prefix(end) + (told or "promoted by Flagger; the judge's word on it is not on record")
    if says_rollback(analysis):
        return _prefix(end) + str((analysis or {})["reason"])
    return _prefix(end) + _by_flagger(end, last_warning(events, end), silent=silent)


def _by_flagger(end: End, warning: str, *, silent: bool) -> str:
    said = f': "{warning}"' if warning else ""
    if end.note:
        return f"{end.note}{said}"
    if end.failed_checks and end.failed_checks >= end.threshold:
        checks = f"{end.failed_checks} failed checks reached Flagger's threshold of {end.threshold}"
        return f"the judge did not answer: {checks}{said}" if silent else f"{checks}{said}"
    if warning:
        return f"rolled back by Flagger{said}"
    return "rolled back by Flagger, which left no reason; the judge had not decided"


def _prefix(end: End) -> str:
    if end.kind is Kind.CONFIG:
        return "a change beside the release file: "
    return "going back after a fault in the bake time: " if end.kind is Kind.RETURN else ""


def last_warning(events: Iterable[Mapping[str, Any]], end: End) -> str:
    """The last of Flagger's warnings up to the end that is no echo of the end itself."""
    found = [
        (_time(event), int(event["metadata"].get("resourceVersion") or 0), str(event.get("note") or ""))
        for event in events
        if event.get("type") == "Warning" and not str(event.get("note") or "").startswith(_ECHO)
    ]
    timely = [one for one in found if end.started - _SKEW <= one[0] <= end.ended + _SKEW]
    # The count of failed checks is said after the check that failed last, and only repeats what the status shows.
    telling = [one for one in timely if "failed checks threshold reached" not in one[2]] or timely
    return max(telling)[2] if telling else ""


def _time(event: Mapping[str, Any]) -> float:
    series = event.get("series") or {}
    stamps = (series.get("lastObservedTime"), event.get("eventTime"), event.get("deprecatedLastTimestamp"))
    return next((seconds(stamp) for stamp in stamps if stamp), 0.0)
