"""What was recorded of rollouts: files of polls, access logs, a judge's own database, a Prometheus range."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from coalmine.errors import BadInput
from coalmine.judge.fold import BAKED
from coalmine.judge.policy import Policy
from coalmine.records import Poll

_COUNTS = ("n_c", "e_c", "n_b", "e_b")
_REMEDY = 'a poll is {"t": seconds, "metric": name, "n_c": .., "e_c": .., "n_b": .., "e_b": ..[, "step": weight]}'
_MOST, _MOST_SUMMED = 10**7, 10**14  # of one poll: outcomes, and sums (scores are in millionths)
_TRIED = 20  # lines
_OUTCOMES = {True: "promoted", False: "not promoted", None: ""}
_UNBOUNDED = ("counts", "score")  # kinds whose e may be above n


@dataclass(frozen=True, slots=True)
class Recording:
    """One rollout. `opened`: when its analysis began (Unix seconds); `outcome`: what came of it where that is known."""

    name: str
    polls: tuple[Poll, ...]
    opened: float
    outcome: str = ""


def from_files(paths: Sequence[Path], policy: Policy) -> list[Recording]:
    """Files of polls give one recording each; access logs are read as one log, in the given order, and give one for
    each rollout in them. What a file is, its first line tells.

    Raises:
        BadInput: a file that cannot be read or is neither, or both kinds at once.
    """
    kinds = {path: _kind(path) for path in paths}
    if set(kinds.values()) == {"polls"}:
        return [from_polls(path, policy) for path in paths]
    if "polls" in kinds.values():
        first = next(path for path, kind in kinds.items() if kind == "polls")
        raise BadInput("polls beside access logs", where=str(first), remedy="back-test them one after the other")
    return _from_logs(paths, policy)


def from_polls(path: Path, policy: Policy) -> Recording:
    """A file of polls. Raises BadInput as read_polls, and where it holds none."""
    free = {name for name, rules in policy.metrics.items() if rules.kind in _UNBOUNDED}
    polls = read_polls(path, unbounded=free)
    if not polls:
        raise BadInput("no poll in the file", where=str(path), remedy=_REMEDY)
    return Recording(path.name, tuple(polls), polls[0].t)


def from_database(url: str, analysis: int) -> tuple[Recording, str]:
    """One analysis of a judge's own database, and the policy's text that it was judged by.

    Raises:
        BadInput: it does not open, or holds no such analysis, or no poll of it.
    """
    from coalmine.judge.store import Store, database_url  # noqa: PLC0415 (SQLAlchemy loads only where one is read)

    if "://" not in url:
        _is_a_judges(Path(url))
    store = Store(database_url(url))
    try:
        row, polls = store.analysis(analysis), tuple(store.polls(analysis))
    finally:
        store.close()
    if row is None or not polls:
        what = "no such analysis" if row is None else "no poll was cut in this analysis"
        raise BadInput(what, where=f"--analysis {analysis}", remedy="the judge's /api/v1/analyses lists what there is")
    return Recording(f"{row.namespace}/{row.name} {analysis}", polls, row.opened, row.outcome), row.policy


def _is_a_judges(path: Path) -> None:
    """Before it is opened as one: opening makes the tables that are missing, and no other file is to get them."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'analyses'").fetchone()
    except sqlite3.Error as error:
        raise BadInput(
            str(error), where=str(path), remedy="name the judge's database: SQLite's file, or a URL"
        ) from error
    if found is None:
        raise BadInput("no judge's database", where=str(path), remedy="the file that `coalmine judge serve` was given")


def from_prometheus(url: str, policy: Policy, namespace: str, name: str, *, start: float, end: float) -> Recording:
    """A range of a Prometheus, read by the policy's queries. Raises BadInput where it holds no outcome."""
    from coalmine.judge.sources.prometheus import episode_from_prometheus  # noqa: PLC0415 (httpx loads only here)

    polls = episode_from_prometheus(url, policy, namespace=namespace, name=name, start=start, end=end)
    if not polls:
        raise BadInput(
            f"no outcome of {namespace}/{name} within the range",
            where=url,
            remedy="see the policy's prometheus.profile",
        )
    return Recording(f"{namespace}/{name}", tuple(polls), start)


def _kind(path: Path) -> str:
    """`log` or `polls`, by the first line that is a JSON object: a log that was rotated may begin with half a line."""
    if path.suffix == ".gz":
        return "log"
    try:
        with path.open(encoding="utf-8") as file:
            rows = (_object(line) for line in islice(file, _TRIED))
            found = next((row for row in rows if row is not None), {})
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=str(path), remedy="name a readable file of polls or access log") from error
    return "log" if "arm" in found or ("status" in found and "metric" not in found) else "polls"


def _object(text: str) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _from_logs(paths: Sequence[Path], policy: Policy) -> list[Recording]:
    from coalmine.judge.episodes import episodes  # noqa: PLC0415 (the reader of whole logs loads only where one is read)

    found: list[Recording] = []
    for one in episodes(paths, policy):
        title = f"{one.canary} {one.release}".strip()
        again = sum(recording.name.partition(" #")[0] == title for recording in found)
        if one.polls:
            name = f"{title} #{again + 1}" if again else title
            found.append(Recording(name, tuple(one.polls), one.started, _OUTCOMES[one.promoted]))
    if not found:
        raise BadInput(
            "no rollout in the log",
            where=str(paths[0]),
            remedy="an access log with canary lines: docs/reference/access-log.md",
        )
    return found


def read_polls(path: Path, *, unbounded: Collection[str] = ()) -> list[Poll]:
    """One JSON object a line; a line without `step` stays in the step of the line before.

    `unbounded`: metrics whose e may be above n (counts, sums of scores).

    Raises:
        BadInput: no such file, or a line that is no poll; it names line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=str(path), remedy="name a readable file of polls") from error
    polls: list[Poll] = []
    for number, text in enumerate(lines, start=1):
        if text.strip():
            step = polls[-1].step if polls else 0
            poll = _poll(text, step, where=f"{path}:{number}")
            if poll.metric not in unbounded and (poll.e_c > poll.n_c or poll.e_b > poll.n_b):
                raise BadInput("more bad outcomes than outcomes", where=f"{path}:{number}", remedy=_REMEDY)
            polls.append(poll)
    return polls


def _poll(text: str, step: int, *, where: str) -> Poll:
    try:
        row = json.loads(text)
        counts = {name: row[name] for name in _COUNTS} | {name: row.get(name, 0) for name in ("q_c", "q_b")}
        t, metric, part = float(row["t"]), str(row["metric"]), str(row.get("part", ""))
        step = row.get("step", step)
    except KeyError as error:
        raise BadInput(f"{error.args[0]} is missing", where=where, remedy=_REMEDY) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"no poll: {error}", where=where, remedy=_REMEDY) from error
    for name, value in counts.items():
        _is_count(name, value, 0, _MOST if name.startswith("n_") else _MOST_SUMMED, where=where)
    _is_count("step", step, BAKED, 100, where=where)
    if not math.isfinite(t):
        raise BadInput("t: not a time", where=where, remedy=_REMEDY)
    return Poll(t, metric, step=step, part=part, **counts)


def _is_count(name: str, value: Any, least: int, most: int, *, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{name}: {str(value)[:40]} is no count up to {most:,}", where=where, remedy=_REMEDY)
