"""What the judge remembers: analyses, append-only polls, events, and how far its sources were read.

The polls, what is counted but not yet cut, and the readers' positions are written in one transaction. SQLite by
default; the tables are plain SQLAlchemy Core.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from coalmine.errors import BadInput
from coalmine.records import Poll

_META = sa.MetaData()
_ANALYSES = sa.Table(
    "analyses",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("namespace", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("checksum", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("status", sa.String, nullable=False),  # open, baking, closed
    sa.Column("outcome", sa.String, nullable=False, default=""),  # promoted, rolled_back, stopped, superseded
    sa.Column("opened", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("final", sa.Text, nullable=False, default=""),  # the verdict at the end, as JSON
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("counting", sa.Text, nullable=False),
    sa.Column("granted", sa.Text, nullable=False, default="{}"),
    sa.UniqueConstraint("namespace", "name", "checksum", "attempt"),
)
_POLLS = sa.Table(
    "polls",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("analysis", sa.Integer, sa.ForeignKey("analyses.id"), nullable=False, index=True),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("metric", sa.String, nullable=False),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("n_c", "e_c", "n_b", "e_b", "step")),
)
_EVENTS = sa.Table(
    "events",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("analysis", sa.Integer, index=True),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("answer", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
_READERS = sa.Table(
    "readers", _META, sa.Column("source", sa.String, primary_key=True), sa.Column("position", sa.Text, nullable=False)
)


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


class Store:
    """The judge's database, by URL. Raises BadInput where it cannot be opened."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(url, connect_args={"timeout": 10} if url.startswith("sqlite") else {})
            if url.startswith("sqlite"):
                sa.event.listen(self._engine, "connect", _wal)
            _META.create_all(self._engine)
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise BadInput(
                f"the judge's database does not open: {error}", where=url, remedy="name one that can be written"
            ) from error

    def close(self) -> None:
        self._engine.dispose()

    def open(self, namespace: str, name: str, checksum: str, *, opened: float, policy: str, counting: str) -> Row:
        """A new attempt of this key, one above the last."""
        key = (_ANALYSES.c.namespace == namespace, _ANALYSES.c.name == name, _ANALYSES.c.checksum == checksum)
        with self._engine.begin() as link:
            last = link.execute(sa.select(sa.func.max(_ANALYSES.c.attempt)).where(*key)).scalar() or 0
            values = {
                "namespace": namespace, "name": name, "checksum": checksum, "attempt": last + 1, "status": "open",
                "opened": opened, "policy": policy, "counting": counting,
            }  # fmt: skip
            made = link.execute(sa.insert(_ANALYSES).values(**values)).inserted_primary_key
            row = link.execute(sa.select(_ANALYSES).where(_ANALYSES.c.id == (made[0] if made else 0))).one()
        return Row(*row)

    def update(self, analysis: int, **values: Any) -> None:
        with self._engine.begin() as link:
            link.execute(sa.update(_ANALYSES).where(_ANALYSES.c.id == analysis).values(**values))

    def commit(self, positions: dict[str, Any], counted: Sequence[Counted] = ()) -> None:
        """Positions, what is counted and what was cut: all of it or nothing."""
        with self._engine.begin() as link:
            for source, position in positions.items():
                text = json.dumps(position)
                changed = link.execute(
                    sa.update(_READERS).where(_READERS.c.source == source).values(position=text)
                ).rowcount
                if not changed:
                    link.execute(sa.insert(_READERS).values(source=source, position=text))
            for one in counted:
                where = _ANALYSES.c.id == one.analysis
                link.execute(sa.update(_ANALYSES).where(where).values(counting=one.counting))
                if one.polls:
                    link.execute(sa.insert(_POLLS), [{**asdict(poll), "analysis": one.analysis} for poll in one.polls])

    def positions(self) -> dict[str, Any]:
        with self._engine.connect() as link:
            return {row.source: json.loads(row.position) for row in link.execute(sa.select(_READERS))}

    def analyses(self, *, namespace: str = "", name: str = "", limit: int = 100) -> list[Row]:
        """Newest first."""
        query = sa.select(_ANALYSES).order_by(_ANALYSES.c.id.desc()).limit(limit)
        if namespace:
            query = query.where(_ANALYSES.c.namespace == namespace)
        if name:
            query = query.where(_ANALYSES.c.name == name)
        with self._engine.connect() as link:
            return [Row(*row) for row in link.execute(query)]

    def analysis(self, number: int) -> Row | None:
        with self._engine.connect() as link:
            row = link.execute(sa.select(_ANALYSES).where(_ANALYSES.c.id == number)).one_or_none()
        return None if row is None else Row(*row)

    def polls(self, analysis: int) -> list[Poll]:
        """In the order in which they were cut."""
        columns = [_POLLS.c[name] for name in ("t", "metric", "n_c", "e_c", "n_b", "e_b", "step")]
        query = sa.select(*columns).where(_POLLS.c.analysis == analysis).order_by(_POLLS.c.id)
        with self._engine.connect() as link:
            return [Poll(*row) for row in link.execute(query)]

    def record(self, kind: str, text: str, *, analysis: int | None, t: float, answer: int) -> None:
        with self._engine.begin() as link:
            link.execute(sa.insert(_EVENTS).values(analysis=analysis, t=t, kind=kind, answer=answer, text=text))

    def events(self, analysis: int) -> list[dict[str, Any]]:
        query = sa.select(_EVENTS).where(_EVENTS.c.analysis == analysis).order_by(_EVENTS.c.id)
        with self._engine.connect() as link:
            return [dict(row._mapping) for row in link.execute(query)]  # noqa: SLF001 (SQLAlchemy's public name)


def _wal(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
