"""Outcomes that somebody pushes: kept in the judge's own database before they are acknowledged, each id once.

Whoever counts may so repeat a push until it is acknowledged. Rows are read on by their order of arrival. What a policy
makes of them is decided when they are read: a row that fits no running analysis is passed over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from coalmine.errors import BadInput
from coalmine.judge.policy import Policy
from coalmine.judge.policy.metrics import Resource
from coalmine.judge.sources import Batch, Outcomes, Position
from coalmine.judge.sources.bodies import Pushed, PushedOutcome, converted
from coalmine.judge.sources.growth import Growth, Sample

_META = sa.MetaData()
_PUSHED = sa.Table(
    "pushed",
    _META,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("namespace", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("id", sa.String, nullable=False),
    sa.Column("received", sa.Double, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.UniqueConstraint("namespace", "name", "id"),
    sqlite_autoincrement=True,  # a pruned row's number must not come again: readers are beyond it
)
KEPT = 7 * 86400.0  # seconds for which an id is known, so that a late repetition is not counted twice
_AHEAD = 300.0  # seconds by which the sender's clock may be ahead
_LIMIT = 5000  # rows of one reading
_LOCK = 4_017_252  # an advisory lock of PostgreSQL: numbers become visible in their order, or readers would skip some


def prepare(engine: sa.Engine) -> None:
    """Make the table where it is not there yet; several replicas may do so at once."""
    with engine.connect() as link:
        if engine.dialect.name == "sqlite":
            link.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 by itself begins none before a change of tables
        _lock(link)
        _META.create_all(link)
        link.commit()


def accept(engine: sa.Engine, pushed: Pushed, *, now: float | None = None) -> tuple[int, int]:
    """Keep what is new: (how many were stored, how many were there already). It is on disk when this returns.

    Raises:
        BadInput: a time in the future; nothing is stored then.
        SQLAlchemyError: the database does not answer; the sender should repeat the push.
    """
    now = time.time() if now is None else now
    for number, one in enumerate(pushed.outcomes):
        if one.t > now + _AHEAD:
            raise BadInput(
                f"t is {one.t - now:.0f} s in the future", where=f"outcomes.{number}.t", remedy="set the sender's clock"
            )
    key = {"namespace": pushed.namespace, "name": pushed.name, "received": now}
    rows = [{**key, "id": one.id, "body": one.model_dump_json(exclude_defaults=True)} for one in pushed.outcomes]
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    with engine.connect() as link:
        before = _careful(link)
        _lock(link)
        stored = len(link.execute(insert(_PUSHED).values(rows).on_conflict_do_nothing().returning(_PUSHED.c.seq)).all())
        link.execute(sa.delete(_PUSHED).where(_PUSHED.c.received < now - KEPT))
        link.commit()
        _careful(link, before)
    return stored, len(rows) - stored


def _careful(link: sa.Connection, level: str = "2") -> str:
    """The judge's SQLite does not wait for the disk at each commit, for polls can be read again; a push cannot."""
    if link.dialect.name != "sqlite":
        return ""
    before = str(link.exec_driver_sql("PRAGMA synchronous").scalar())
    link.exec_driver_sql(f"PRAGMA synchronous={level}")
    return before


def _lock(link: sa.Connection) -> None:
    if link.dialect.name == "postgresql":
        link.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def check(pushed: Pushed, policy: Policy) -> None:
    """Raises BadInput at the first outcome that this policy cannot use. For an early answer: `read` passes it over."""
    for number, one in enumerate(pushed.outcomes):
        try:
            if not isinstance(policy.metrics.get(one.metric), Resource) or one.value is None:
                converted(one, policy, namespace=pushed.namespace, name=pushed.name)
        except ValueError as error:
            raise BadInput(str(error), where=f"outcomes.{number}", remedy="see the policy's metrics") from error


@dataclass(slots=True)
class _Open:
    """The windows of resources that are open, by Canary and metric."""

    windows: dict[str, Growth] = field(default_factory=dict)

    def dump(self) -> str:
        return json.dumps({key: one.dump() for key, one in self.windows.items()}, separators=(",", ":"))

    @classmethod
    def load(cls, position: Position) -> _Open:
        held = json.loads(str(position.get("windows", "{}")))
        return cls({key: Growth.load(one) for key, one in held.items()})


class Push:
    """A Source of Outcomes over everything that is pushed. `policy_of` gives a running analysis' policy, else None."""

    def __init__(self, engine: sa.Engine, policy_of: Callable[[str, str], Policy | None]) -> None:
        self._engine, self._policy_of = engine, policy_of
        prepare(engine)

    def read(self, position: Position | None) -> Batch[Outcomes]:
        """Rows after `position`. Raises SQLAlchemyError where the judge's own database fails."""
        with self._engine.connect() as link:
            if position is None:
                newest = link.execute(sa.select(sa.func.coalesce(sa.func.max(_PUSHED.c.seq), 0))).scalar_one()
                return Batch((), {"seq": int(newest), "windows": "{}"})
            query = sa.select(_PUSHED).where(_PUSHED.c.seq > int(position["seq"])).order_by(_PUSHED.c.seq)
            rows = link.execute(query.limit(_LIMIT)).all()
        if not rows:
            return Batch((), position)
        held = _Open.load(position)
        items: list[Outcomes] = []
        skipped = 0
        for row in rows:
            try:
                items += self._row(held, row.namespace, row.name, row.body)
            except ValueError:
                skipped += 1
        place: Position = {"seq": int(rows[-1].seq), "windows": held.dump()}
        return Batch(tuple(items), place, more=len(rows) == _LIMIT, skipped=skipped)

    def _row(self, held: _Open, namespace: str, name: str, body: str) -> Iterable[Outcomes]:
        policy = self._policy_of(namespace, name)
        if policy is None:
            held.windows = {key: one for key, one in held.windows.items() if not key.startswith(f"{namespace}/{name}/")}
            return ()
        one = PushedOutcome.model_validate_json(body)
        rules = policy.metrics.get(one.metric)
        if isinstance(rules, Resource) and one.value is not None:
            window = held.windows.setdefault(f"{namespace}/{name}/{one.metric}", Growth())
            return list(_sampled(window, rules, one, one.value, key=(namespace, name)))
        return converted(one, policy, namespace=namespace, name=name)


def _sampled(
    window: Growth, rules: Resource, one: PushedOutcome, value: float, *, key: tuple[str, str]
) -> Iterator[Outcomes]:
    for arm, part, n, e in window.take(rules, [Sample(one.t, one.arm, value, one.process)]):
        release = one.release if arm == one.arm else ""
        yield Outcomes(*key, one.t, one.metric, arm, n, e, part=part, release=release, weight=one.weight)
