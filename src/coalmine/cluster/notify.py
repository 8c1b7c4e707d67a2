"""Telling people how an attempt ended: a Slack-shaped webhook hears of each end, PagerDuty's Events v2 of rollbacks.

Addresses and keys are secrets: they are read from a folder of files at each use and stand in no log, message or
argument. A notification carries a key of its attempt, the same in each try: PagerDuty makes one incident of it, and a
person can see that two messages are one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from coalmine.errors import BadInput, Temporary
from coalmine.records import Ending, Outcome

SLACK_URL, PAGERDUTY_KEY, PAGERDUTY_URL = "slack-url", "pagerduty-key", "pagerduty-url"
_EVENTS_V2 = "https://events.pagerduty.com/v2/enqueue"
_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_SUMMARY = 1024  # characters that PagerDuty takes
_TEXT = 2900  # characters of a Slack block, which takes 3000
_LATE = 86_400.0  # seconds after which nobody wants to hear of it any more
_ICONS = {Outcome.ROLLED_BACK: ":x:", Outcome.SUPERSEDED: ":fast_forward:"}
_VERBS = {
    Outcome.FIRST_RELEASE: "is the first release and serves",
    Outcome.PROMOTED: "was promoted",
    Outcome.ROLLED_BACK: "was rolled back",
    Outcome.SUPERSEDED: "was superseded",
}


@dataclass(frozen=True, slots=True)
class News:
    """What is told. `done` are the closing's steps so far, `report` a link or empty."""

    namespace: str
    name: str
    env: str
    ending: Ending
    done: Mapping[str, str]
    report: str = ""

    @property
    def key(self) -> str:
        """Names the attempt for ever: its number may begin anew with a new volume, its time does not."""
        end = self.ending
        return f"coalmine/{self.env}/{self.namespace}/{self.name}/{end.release}/{end.outcome}/{end.ended:.0f}"

    @property
    def sentence(self) -> str:
        end = self.ending
        back = f"; {end.primary} serves" if end.outcome is Outcome.ROLLED_BACK and end.primary else ""
        return f"{self.namespace}/{self.name}: {end.release} {_VERBS[end.outcome]}{back}"


def sinks(folder: Path | None) -> dict[str, Callable[[News], str]]:
    """Whom there is to tell, by name. What it returns is kept as the step's detail."""
    if folder is None:
        return {}
    found: dict[str, Callable[[News], str]] = {}
    if (folder / SLACK_URL).exists():
        found["slack"] = lambda news: _slack(folder, news)
    if (folder / PAGERDUTY_KEY).exists():
        found["pagerduty"] = lambda news: _pagerduty(folder, news)
    return found


def _slack(folder: Path, news: News) -> str:
    return _send("slack", _secret(folder / SLACK_URL), slack_body(news), news)


def _pagerduty(folder: Path, news: News) -> str:
    if news.ending.outcome is not Outcome.ROLLED_BACK:
        return "left: nothing to wake anybody for"
    given = folder / PAGERDUTY_URL
    url = _secret(given) if given.exists() else _EVENTS_V2
    return _send("pagerduty", url, pagerduty_body(news, _secret(folder / PAGERDUTY_KEY)), news)


def slack_body(news: News) -> dict[str, Any]:
    """An incoming webhook's body: plain text for the notification, blocks for the channel."""
    end = news.ending
    icon = _ICONS.get(end.outcome, ":white_check_mark:")
    facts = [f"*environment* {news.env}", f"*attempt* {end.attempt}", f"*commit* {end.commit[:12] or 'not known'}"]
    facts += [f"*{step}* {detail}" for step, detail in news.done.items() if step in ("heal", "alias", "quarantine")]
    said = _escaped(f"{news.sentence}\n{end.reason}")[:_TEXT]
    link = [f"<{news.report}|report>"] if news.report else []
    small = "  ".join([*map(_escaped, facts), *link, f"`{news.key}`"])[:_TEXT]
    return {
        "text": f"{icon} {_escaped(news.sentence)}",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": f"{icon} {said}"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": small}]},
        ],
    }


def pagerduty_body(news: News, routing_key: str) -> dict[str, Any]:
    """Events API v2. The severity is `error`: the release before serves; `critical` where nothing else does."""
    end = news.ending
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": news.key,
        "payload": {
            "summary": f"{news.sentence}: {end.reason}"[:_SUMMARY],
            "source": f"{news.namespace}/{news.name}",
            "severity": "error" if end.primary else "critical",
            "timestamp": datetime.fromtimestamp(end.ended, UTC).isoformat(timespec="seconds"),
            "component": end.model,
            "group": news.env,
            "class": "canary rollback",
            "custom_details": {"attempt": end.attempt, "commit": end.commit, "reason": end.reason, **news.done},
        },
    }
    return body | ({"links": [{"href": news.report, "text": "report"}]} if news.report else {})


def _send(sink: str, url: str, body: Mapping[str, Any], news: News) -> str:
    """Raises Temporary where it is worth another try, BadInput where the address or key is wrong."""
    late = datetime.now(UTC).timestamp() - news.ending.ended > _LATE
    if late:
        return "left: it ended more than a day ago"
    try:
        reply = httpx.post(url, json=body, headers={"Idempotency-Key": news.key}, timeout=_TIMEOUT)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        remedy = f"write the webhook's address into the file {sink}-url of --notify"
        raise BadInput(f"{sink}: no address: {type(error).__name__}", remedy=remedy) from None
    except httpx.HTTPError as error:
        raise Temporary(f"{sink} does not answer: {type(error).__name__}") from None  # its text may hold the address
    if reply.status_code < 300:
        return f"told {news.key}"
    if reply.status_code in (408, 429) or reply.status_code >= 500:
        raise Temporary(f"{sink} answers {reply.status_code}")
    raise BadInput(f"{sink} refuses: {reply.status_code}", remedy="is its address or key still good?")


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Temporary(f"cannot be read: {type(error).__name__}", where=str(path)) from None


def _escaped(text: str) -> str:
    """As Slack wants it: these three and no others."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
