"""The judge's tables, and how an older database becomes one of today's.

The number of the version lies in the database itself. An upgrade is one transaction: it happens whole or not at all.
"""

from __future__ import annotations

import sqlalchemy as sa

from coalmine.errors import BadInput

VERSION = 2  # 1: the tables of 0.1, which kept no number; 2: parts and squares of polls, overrides, the lease
META = sa.MetaData()
COUNTS = ("n_c", "e_c", "n_b", "e_b", "step")

ANALYSES = sa.Table(
    "analyses",
    META,
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
POLLS = sa.Table(
    "polls",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("analysis", sa.Integer, sa.ForeignKey("analyses.id"), nullable=False, index=True),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("metric", sa.String, nullable=False),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
    sa.Column("part", sa.String, nullable=False, server_default=""),
    sa.Column("q_c", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("q_b", sa.BigInteger, nullable=False, server_default="0"),
)
EVENTS = sa.Table(
    "events",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("analysis", sa.Integer, index=True),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("answer", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
READERS = sa.Table(
    "readers", META, sa.Column("source", sa.String, primary_key=True), sa.Column("position", sa.Text, nullable=False)
)
OVERRIDES = sa.Table(
    "overrides",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("analysis", sa.Integer, sa.ForeignKey("analyses.id"), nullable=False, index=True),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("action", sa.String, nullable=False),  # approve, hold, rollback, clear
    sa.Column("who", sa.String, nullable=False),  # the token's name, and the person where one was named
    sa.Column("why", sa.Text, nullable=False),
)
LEASE = sa.Table(
    "lease",
    META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String, nullable=False),  # the replica that decides; empty: none
    sa.Column("term", sa.BigInteger, nullable=False),  # grows with each holder: the fence against the one before
    sa.Column("until", sa.Double, nullable=False),
)
_VERSION = sa.Table("judge_schema", META, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
_LOCK = 4_017_251  # an advisory lock of PostgreSQL: two replicas that start at once make the tables once


def prepare(engine: sa.Engine) -> None:
    """Make the tables, or upgrade those of an older version. Raises BadInput where the database is a newer one's."""
    with engine.connect() as link:
        if engine.dialect.name == "sqlite":
            link.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 by itself begins none before a change of tables
        else:
            link.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        found = _version(link)
        if found > VERSION:
            raise BadInput(
                f"the judge's database is of version {found}, this program knows {VERSION}",
                where=engine.url.render_as_string(),
                remedy="use the newer coalmine that wrote it, or name another database",
            )
        if found == 1:
            _add_columns(link)
        if found < VERSION:
            META.create_all(link)
            link.execute(sa.delete(_VERSION))
            link.execute(sa.insert(_VERSION).values(version=VERSION))
            link.execute(sa.insert(LEASE).values(id=1, holder="", term=0, until=0.0))
        link.commit()


def _version(link: sa.Connection) -> int:
    """0: nothing is there yet."""
    tables = sa.inspect(link).get_table_names()
    if "judge_schema" in tables:
        return int(link.execute(sa.select(_VERSION.c.version)).scalar_one())
    return 1 if "analyses" in tables else 0


def _add_columns(link: sa.Connection) -> None:
    for name in ("part", "q_c", "q_b"):
        column = sa.schema.CreateColumn(POLLS.c[name]).compile(dialect=link.dialect)
        link.exec_driver_sql(f"ALTER TABLE polls ADD COLUMN {column}")
