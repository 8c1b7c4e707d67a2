"""What the judge remembers: analyses, append-only polls, overrides and events, and how far its sources were read.

The polls, what is counted but not yet cut, and the readers' positions are written in one transaction. SQLite by
default, PostgreSQL by URL; the statements are plain SQLAlchemy Core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from coalmine.errors import BadInput
from coalmine.judge.tables import ANALYSES, COUNTS, EVENTS, OVERRIDES, POLLS, READERS, prepare
from coalmine.records import Poll

_BUSY_SECONDS = 10
_WORTH = ("t", "metric", *COUNTS, "part", "q_c", "q_b")
_TIMEOUTS = f"-c lock_timeout={_BUSY_SECONDS}s -c statement_timeout={_BUSY_SECONDS}s"


@dataclass(frozen=True, slots=True)
class Row:
    """One analysis as stored."""

    id: int
    namespace: str
    name: str
    checksum: str
    attempt: int
    status: str
    outcome: str
    opened: float
    ended: float | None
    final: str
    policy: str
    counting: str
    granted: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What one pass over the sources made of one analysis."""

    analysis: int
    counting: str  # Counting.dump() as JSON
    polls: tuple[Poll, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One manual override as stored: `action` is approve, hold, rollback or clear."""

    analysis: int
    t: float
    action: str
    who: str
    why: str


class Store:
    """The judge's database, by URL. Raises BadInput where it cannot be opened.

    `guard` is called first in each transaction that writes; what it raises forbids the transaction.
    """

    def __init__(self, url: str) -> None:
        self.guard: Callable[[sa.Connection], None] | None = None
        shown = url
        try:
            known = _url(url)
            shown = known.render_as_string()
            self.engine = sa.create_engine(known, pool_pre_ping=True, connect_args=_arguments(known))
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise _unopened(error, shown) from error
        if known.get_backend_name() == "sqlite":
            sa.event.listen(self.engine, "connect", _wal)
        try:
            prepare(self.engine)
        except BadInput:
            self.engine.dispose()
            raise
        except sa.exc.SQLAlchemyError as error:
            self.engine.dispose()
            raise _unopened(error, shown) from error

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as link:
            if self.guard is not None:
                self.guard(link)
            yield link

    def open(self, namespace: str, name: str, checksum: str, *, opened: float, policy: str, counting: str) -> Row:
        """A new attempt of this key, one above the last."""
        key = (ANALYSES.c.namespace == namespace, ANALYSES.c.name == name, ANALYSES.c.checksum == checksum)
        with self._writing() as link:
            last = link.execute(sa.select(sa.func.max(ANALYSES.c.attempt)).where(*key)).scalar() or 0
            values = {
                "namespace": namespace, "name": name, "checksum": checksum, "attempt": last + 1, "status": "open",
                "opened": opened, "policy": policy, "counting": counting,
            }  # fmt: skip
            made = link.execute(sa.insert(ANALYSES).values(**values)).inserted_primary_key
            row = link.execute(sa.select(ANALYSES).where(ANALYSES.c.id == (made[0] if made else 0))).one()
        return Row(*row)

    def update(self, analysis: int, **values: Any) -> None:
        with self._writing() as link:
            link.execute(sa.update(ANALYSES).where(ANALYSES.c.id == analysis).values(**values))

    def commit(self, positions: dict[str, Any], counted: Sequence[Counted] = ()) -> None:
        """Positions, what is counted and what was cut: all of it or nothing."""
        polls = [{**asdict(poll), "analysis": one.analysis} for one in counted for poll in one.polls]
        with self._writing() as link:
            for source, position in positions.items():
                _put(link, source, json.dumps(position))
            if counted:
                change = sa.update(ANALYSES).where(ANALYSES.c.id == sa.bindparam("of"))
                link.execute(
                    change.values(counting=sa.bindparam("to")), [{"of": c.analysis, "to": c.counting} for c in counted]
                )
            if polls:
                link.execute(sa.insert(POLLS), polls)

    def positions(self) -> dict[str, Any]:
        with self.engine.connect() as link:
            return {row.source: json.loads(row.position) for row in link.execute(sa.select(READERS))}

    def forget(self, source: str) -> None:
        """A reader that is no more: its position goes."""
        with self._writing() as link:
            link.execute(sa.delete(READERS).where(READERS.c.source == source))

    def analyses(self, *, namespace: str = "", name: str = "", limit: int = 100, running: bool = False) -> list[Row]:
        """Newest first; `running`: only those that are not closed."""
        query = sa.select(ANALYSES).order_by(ANALYSES.c.id.desc()).limit(limit)
        if namespace:
            query = query.where(ANALYSES.c.namespace == namespace)
        if name:
            query = query.where(ANALYSES.c.name == name)
        if running:
            query = query.where(ANALYSES.c.status != "closed")
        with self.engine.connect() as link:
            return [Row(*row) for row in link.execute(query)]

    def analysis(self, number: int) -> Row | None:
        if not 0 < number < 1 << 31:  # PostgreSQL would call it out of range
            return None
        with self.engine.connect() as link:
            row = link.execute(sa.select(ANALYSES).where(ANALYSES.c.id == number)).one_or_none()
        return None if row is None else Row(*row)

    def polls(self, analysis: int, *, after: int = 0) -> list[Poll]:
        """In the order in which they were cut; `after` skips so many."""
        columns = [POLLS.c[name] for name in _WORTH]
        query = sa.select(*columns).where(POLLS.c.analysis == analysis).order_by(POLLS.c.id).offset(after)
        with self.engine.connect() as link:
            return [Poll(**dict(zip(_WORTH, row, strict=True))) for row in link.execute(query)]

    def record(self, kind: str, text: str, *, analysis: int | None, t: float, answer: int) -> None:
        with self._writing() as link:
            link.execute(sa.insert(EVENTS).values(analysis=analysis, t=t, kind=kind, answer=answer, text=text))

    def events(self, analysis: int) -> list[dict[str, Any]]:
        query = sa.select(EVENTS).where(EVENTS.c.analysis == analysis).order_by(EVENTS.c.id)
        with self.engine.connect() as link:
            return [dict(row._mapping) for row in link.execute(query)]  # noqa: SLF001 (SQLAlchemy's public name)

    def override(self, said: Said) -> None:
        """Append it, with a line among the events: both or neither."""
        line = {"kind": f"override-{said.action}", "answer": 200, "text": f"{said.who}: {said.why}"}
        with self._writing() as link:
            link.execute(sa.insert(OVERRIDES).values(**asdict(said)))
            link.execute(sa.insert(EVENTS).values(analysis=said.analysis, t=said.t, **line))

    def last_override(self) -> int:
        """The number of the newest override of all; it grows with each. 0: there is none."""
        with self.engine.connect() as link:
            return int(link.execute(sa.select(sa.func.coalesce(sa.func.max(OVERRIDES.c.id), 0))).scalar_one())

    def overrides(self, analysis: int) -> list[Said]:
        """Oldest first; the newest is the one in force."""
        columns = (OVERRIDES.c[name] for name in ("analysis", "t", "action", "who", "why"))
        query = sa.select(*columns).where(OVERRIDES.c.analysis == analysis).order_by(OVERRIDES.c.id)
        with self.engine.connect() as link:
            return [Said(*row) for row in link.execute(query)]


def database_url(database: str) -> str:
    """A path becomes SQLite's URL, its folder is made; a URL stays. Raises BadInput."""
    if "://" in database:
        return database
    try:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(str(error), where=database, remedy="name a folder that can be written") from error
    return f"sqlite:///{Path(database).absolute()}"


def _unopened(error: Exception, shown: str) -> BadInput:
    remedy = "name one that can be written; PostgreSQL needs pip install 'coalmine[judge,postgres]'"
    cause = getattr(error, "orig", None) or error
    return BadInput(f"the judge's database does not open: {cause}", where=shown, remedy=remedy)


def _url(text: str) -> sa.URL:
    """Of PostgreSQL's drivers we bring psycopg 3: plain postgresql:// means that one."""
    url = sa.make_url(text)
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _arguments(url: sa.URL) -> dict[str, Any]:
    """A database that hangs must fail: a hook waits for it."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": _BUSY_SECONDS}
    if url.get_backend_name() == "postgresql":
        return {"connect_timeout": 5, "options": _TIMEOUTS}
    raise BadInput(
        f"{url.get_backend_name()} is not known here", where="--database", remedy="use SQLite (a path) or PostgreSQL"
    )


def _put(link: sa.Connection, source: str, text: str) -> None:
    where = READERS.c.source == source
    if not link.execute(sa.update(READERS).where(where).values(position=text)).rowcount:
        link.execute(sa.insert(READERS).values(source=source, position=text))


def _wal(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
