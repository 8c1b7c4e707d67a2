"""The bounds of `bentos/<model>/checks.yaml`, and what each check says of rows and votes. Pure: frames in, words out.

"No data" is an answer of its own: a share of four votes is no share. It neither passes nor fails.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from coalmine.documents import read_document
from coalmine.records import DataCheck, Found
from coalmine.steps.workload import Task

if TYPE_CHECKING:
    import polars as pl

Share = Annotated[float, Field(ge=0, le=1)]
FILE = "checks.yaml"
_SHOWN = 5  # rows that a failed check names


class Checks(BaseModel):
    """The file, field by field. A model without the file has these defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(default=1, alias="schema")
    longest: int = Field(default=20_000, ge=1)  # characters of one text
    missing: Share = 0.0  # rows without a text or an entity
    duplicates: Share = 0.05  # rows that repeat text and label of an earlier one
    minority: Share = 0.1  # the rarer label's weight, at least
    contradictions: Share = 0.4  # weight against the majority among texts that several people voted on
    one_user: Share = 0.2  # votes from the busiest user that gives a name
    votes: int = Field(default=50, ge=1)  # below so many, nothing is said of votes


def load_checks(path: Path) -> Checks:
    """Read `checks.yaml`; the defaults where there is none. Raises BadInput naming file and field."""
    if not path.exists():
        return Checks()
    return read_document(path, Checks, remedy="see docs/how-to/check-training-data.md", may_be_empty=True)


def schema(frame: pl.DataFrame, checks: Checks, *, task: Task = Task.CLASSIFICATION) -> list[DataCheck]:
    """Columns, types and ranges, by one pandera schema; all that is wrong at once."""
    import pandera.polars as pa  # noqa: PLC0415 (seconds to import: only where rows are checked)
    import polars as pl  # noqa: PLC0415 (as above)
    from pandera.errors import SchemaErrors  # noqa: PLC0415 (as above)

    named = task is Task.CLASSIFICATION
    label = pa.Check.isin([0.0, 1.0]) if named else pa.Check.in_range(-1e300, 1e300)  # no infinity, not "no number"
    wanted = pa.DataFrameSchema(
        {
            "text": pa.Column(pl.String, pa.Check.str_length(max_value=checks.longest), nullable=True),
            "label": pa.Column(pl.Float64, label),
            "weight": pa.Column(pl.Float64, [pa.Check.gt(0), pa.Check.le(1)]),
            "domain": pa.Column(pl.String, pa.Check.str_length(min_value=1)),
            "entity": pa.Column(pl.String, nullable=True),
        },
        strict=True,
    )
    if frame.schema.get("label") == pl.Int64:  # as Parquet keeps labels that are whole numbers
        frame = frame.with_columns(pl.col("label").cast(pl.Float64))
    try:
        wanted.validate(frame, lazy=True)
    except SchemaErrors as error:
        rows = error.failure_cases.rows(named=True)
        ranges = [row for row in rows if row["index"] is not None]
        shape = [row for row in rows if row["index"] is None]
        return [_said("schema", shape), _said("ranges", ranges)]
    return [_said("schema", []), _said("ranges", [])]


def _said(check: str, cases: list[dict[str, object]]) -> DataCheck:
    """Never the text itself: it is somebody's. Numbers of rows say where to look."""
    if not cases:
        return DataCheck(check, Found.PASSED, 0.0, 0.0, f"{check} as declared")
    kinds = sorted({f"{row['column'] or row['failure_case']}: {row['check']}" for row in cases})
    rows = tuple(f"row {row['index']}" for row in cases if row["index"] is not None)[:_SHOWN]
    return DataCheck(check, Found.FAILED, float(len(cases)), 0.0, f"{len(cases)} times {'; '.join(kinds)}", rows)


def rows(frame: pl.DataFrame, checks: Checks) -> list[DataCheck]:
    """Missing values and duplicates."""
    import polars as pl  # noqa: PLC0415 (as above)

    numbered = frame.with_row_index("row")
    blank = pl.any_horizontal(pl.col("text", "entity").fill_null("").str.strip_chars().str.len_chars() == 0)
    again = ~pl.struct("text", "label", "domain").is_first_distinct()
    return [
        _share("missing", numbered.filter(blank), len(frame), checks.missing, "rows without a text or an entity"),
        _share("duplicates", numbered.filter(again), len(frame), checks.duplicates, "rows that repeat an earlier one"),
    ]


def balance(frame: pl.DataFrame, checks: Checks) -> DataCheck:
    """The rarer label's share of the weight."""
    import polars as pl  # noqa: PLC0415 (as above)

    by_label = {int(label): float(weight) for label, weight in frame.group_by("label").agg(pl.sum("weight")).rows()}
    total = sum(by_label.values())
    rare = min((by_label.get(label, 0.0), label) for label in (0, 1))
    value = rare[0] / total if total else 0.0
    verdict = Found.PASSED if value >= checks.minority else Found.FAILED
    words = f"label {rare[1]} has {value:.3f} of the weight, at least {checks.minority:g} is asked"
    return DataCheck("balance", verdict, value, checks.minority, words)


def _share(check: str, hits: pl.DataFrame, of: int, bound: float, what: str) -> DataCheck:
    value = len(hits) / of if of else 0.0
    verdict = Found.PASSED if value <= bound else Found.FAILED
    named = tuple(f"row {row}" for row in hits["row"].head(_SHOWN)) if verdict is Found.FAILED else ()
    return DataCheck(
        check, verdict, value, bound, f"{len(hits)} of {of} {what} ({value:.4f}, at most {bound:g})", named
    )


def leakage(
    frame: pl.DataFrame, *, entities: AbstractSet[str], prints: AbstractSet[str], fingerprints: list[str]
) -> DataCheck:
    """Rows whose entity or whose words stand in the held-out split; `fingerprints` are the rows' own, in order."""
    pairs = enumerate(zip(frame["entity"], fingerprints, strict=True))
    hits = [row for row, (entity, own) in pairs if entity in entities or own in prints]
    verdict = Found.FAILED if hits else Found.PASSED
    words = f"{len(hits)} rows share an entity or the words with a held-out row"
    named = tuple(f"row {row}: entity {frame['entity'][row]}" for row in hits[:_SHOWN])
    return DataCheck("leakage", verdict, float(len(hits)), 0.0, words, named)


def contradictions(frame: pl.DataFrame, checks: Checks, *, domain: str) -> DataCheck:
    """Among texts of `domain` that got both labels: the weight that went against the majority."""
    import polars as pl  # noqa: PLC0415 (as above)

    learnt = frame.filter(pl.col("domain") == domain)
    if len(learnt) < checks.votes:
        words = f"{len(learnt)} rows from feedback, {checks.votes} are needed to say anything"
        return DataCheck("contradictions", Found.NO_DATA, float(len(learnt)), float(checks.votes), words)
    texts = learnt.group_by("entity").agg(pl.sum("weight").alias("all"), pl.max("weight").alias("most"))
    against = texts.with_columns((pl.col("all") - pl.col("most")).alias("against")).sort("against", "entity")
    value = float(against["against"].sum()) / float(against["all"].sum())
    verdict = Found.PASSED if value <= checks.contradictions else Found.FAILED
    words = f"{value:.3f} of what people said is against the majority on the same text, at most {checks.contradictions}"
    worst = tuple(f"entity {name}" for name in against["entity"].tail(_SHOWN)) if verdict is Found.FAILED else ()
    return DataCheck("contradictions", verdict, value, checks.contradictions, words, worst)


def flood(users: list[str], checks: Checks) -> DataCheck:
    """Whether one user gives most of the votes; `users` has one name a vote, '' where none was given."""
    if len(users) < checks.votes:
        words = f"{len(users)} votes, {checks.votes} are needed to say anything"
        return DataCheck("flood", Found.NO_DATA, float(len(users)), float(checks.votes), words)
    counts: dict[str, int] = {}
    for user in filter(None, users):
        counts[user] = counts.get(user, 0) + 1
    most, busiest = max(((count, user) for user, count in counts.items()), default=(0, ""))
    value = most / len(users)
    verdict = Found.PASSED if value <= checks.one_user else Found.FAILED
    anonymous = users.count("") / len(users)
    words = f"the busiest user gave {value:.3f} of {len(users)} votes, at most {checks.one_user:g}"
    words += f"; {anonymous:.3f} came without a name"
    return DataCheck(
        "flood", verdict, value, checks.one_user, words, (f"user {busiest}",) if verdict is Found.FAILED else ()
    )
