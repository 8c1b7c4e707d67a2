"""Which of several replicas decides: a lease in the database that they share.

The holder renews it; when it has run out another takes it with the next term. Every commit of the judge touches the
lease of its own term in the same transaction. So a replica that slept through the end of its lease writes nothing any
more, whatever it believes: the database says no (a fencing token, as in M. Kleppmann, "How to do distributed locking").
"""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from coalmine.errors import Temporary
from coalmine.judge.tables import LEASE

SECONDS = 10.0
_log = structlog.get_logger("coalmine.judge")


class Standby(Temporary):
    """Another replica decides: nothing was written."""


class Lease:
    """One replica's view. `name` must be its own: whoever starts again under it takes its lease back at once.

    Times are those of the database's server, or of this machine where the database is a file. Not for several threads
    at once: the desk's lock holds them apart.
    """

    def __init__(
        self, engine: sa.Engine, name: str, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self.seconds, self.term = name, seconds, 0
        self._engine, self._clock = engine, clock
        self._renewed = 0.0
        self._has_asked = False

    @property
    def held(self) -> bool:
        """Whether nobody else can have taken it yet."""
        return bool(self.term) and self._clock() - self._renewed < self.seconds

    def hold(self) -> bool:
        """Take or renew it. Raises SQLAlchemyError where the database does not answer."""
        if self.term and self._clock() - self._renewed < self.seconds / 4:
            return True
        asked = self._clock()
        with self._engine.begin() as link:
            now = self._now(link)
            held = self._renew(link, now) if self.term else self._take(link, now)
        if held:
            self._renewed = asked
        return held

    def _renew(self, link: sa.Connection, now: float) -> bool:
        mine = (LEASE.c.holder == self.name, LEASE.c.term == self.term)
        if link.execute(sa.update(LEASE).where(*mine).values(until=now + self.seconds)).rowcount:
            return True
        _log.warning("lease lost", replica=self.name, term=self.term)
        self.term = 0
        return False

    def _take(self, link: sa.Connection, now: float) -> bool:
        free = LEASE.c.until < now
        if not self._has_asked:
            free = sa.or_(free, LEASE.c.holder == self.name)
        self._has_asked = True
        values = {"holder": self.name, "term": LEASE.c.term + 1, "until": now + self.seconds}
        if not link.execute(sa.update(LEASE).where(free).values(**values)).rowcount:
            return False
        self.term = int(link.execute(sa.select(LEASE.c.term)).scalar_one())
        _log.info("lease taken", replica=self.name, term=self.term)
        return True

    def guard(self, link: sa.Connection) -> None:
        """The first statement of every transaction that writes. Raises Standby where the lease is another's.

        An update that changes nothing: its lock on the row keeps a successor waiting until we have committed.
        """
        asked = self._clock()
        values: dict[str, object] = {"holder": self.name}
        renews = asked - self._renewed > self.seconds / 4  # in a long pass too
        if renews:
            values["until"] = self._now(link) + self.seconds
        mine = (LEASE.c.holder == self.name, LEASE.c.term == self.term)
        if not link.execute(sa.update(LEASE).where(*mine).values(**values)).rowcount:
            self.term = 0
            raise Standby("this replica does not decide", remedy="ask the one that holds the lease")
        if renews:
            self._renewed = asked

    def holder(self) -> str:
        """Who decides now, as the database says; empty: nobody."""
        with self._engine.connect() as link:
            return str(link.execute(sa.select(LEASE.c.holder)).scalar_one())

    def release(self) -> None:
        """Give it up, so that the next one need not wait."""
        if not self.term:
            return
        mine = (LEASE.c.holder == self.name, LEASE.c.term == self.term)
        with self._engine.begin() as link:
            link.execute(sa.update(LEASE).where(*mine).values(holder="", until=0.0))
        self.term = 0

    def _now(self, link: sa.Connection) -> float:
        if self._engine.dialect.name == "sqlite":
            return time.time()
        return float(link.execute(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).scalar_one())
