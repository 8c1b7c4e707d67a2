"""What a version was made from, and what became of it: commit -> snapshot -> run -> version -> release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coalmine.errors import BadInput, CoalmineError
from coalmine.feedback.opening import open_lake
from coalmine.pipeline.plan import runs_of
from coalmine.records import ReleaseId, Snapshot
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings
from coalmine.steps.register import find_version
from coalmine.steps.tracking import TAG, calling_mlflow, connect

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Taken:
    """The snapshot that was learnt from. `lost` says why its rows cannot be had any more; empty: they can."""

    digest: str
    record: Snapshot | None  # None where this lake does not know it
    lost: str


@dataclass(frozen=True, slots=True)
class Shipped:
    """One release of the version."""

    release: str
    source: str  # the commit that it was built from
    bento_digest: str
    outcomes: tuple[str, ...]  # of its canaries, each with the commit on main that asked for it


@dataclass(frozen=True, slots=True)
class Lineage:
    """One version's whole way."""

    model: str
    version: int
    aliases: tuple[str, ...]
    commit: str  # the source that trained it
    environment: str
    snapshot: Taken | None  # None where nothing that people said was learnt from
    dataset: str
    rows: str
    retraining: str  # the pipeline's run, and why it began; empty where it was trained by hand
    run: str
    model_digest: str
    gate: str
    releases: tuple[Shipped, ...]


@calling_mlflow()
def trace(settings: Settings, which: str) -> Lineage:
    """By a release id, a version's number or an alias. Raises BadInput for one that is not known."""
    release = _release(which)
    ledger = Ledger(settings.database)
    if release is not None and ledger.find(settings.model, release) is None:
        raise BadInput(f"no release {release} is known", where=str(settings.database), remedy="see `coalmine status`")
    found = find_version(settings, release.version if release else which)
    client = connect(settings).MlflowClient()
    version = client.get_model_version(found.model, str(found.version))
    tags: Mapping[str, str] = client.get_run(found.run_id).data.tags
    return Lineage(
        model=found.model,
        version=found.version,
        aliases=tuple(sorted(map(str, version.aliases))),
        commit=found.git_sha,
        environment=found.environment,
        snapshot=_taken(settings, found.snapshot) if found.snapshot else None,
        dataset=found.dataset_digest,
        rows=tags.get(TAG + "sources", ""),
        retraining=_retraining(settings, found.retraining) if found.retraining else "",
        run=found.run_id,
        model_digest=tags.get(TAG + "model_digest", ""),
        gate=str(version.tags.get(TAG + "gate", "")),
        releases=_shipped(settings, ledger, found.version),
    )


def _release(which: str) -> ReleaseId | None:
    try:
        return ReleaseId.parse(which)
    except BadInput:
        return None  # then it is a version, or no such thing, which the registry says


def _taken(settings: Settings, digest: str) -> Taken:
    from coalmine.feedback import snapshots  # noqa: PLC0415 (polars and deltalake: only where there is a snapshot)

    lake = open_lake(settings)
    known = [(one, lost) for one, lost in snapshots.recorded(lake) if one.digest == digest]
    if not known:
        return Taken(digest, None, "this lake does not know it")
    record, lost = known[-1]
    return Taken(digest, record, lost)


def _retraining(settings: Settings, run_id: str) -> str:
    """Its scheduler's name for it, and why it began, where this state folder remembers."""
    try:
        return f"{run_id}: {runs_of(settings).get(run_id).why}"
    except CoalmineError:
        return run_id


def _shipped(settings: Settings, ledger: Ledger, version: int) -> tuple[Shipped, ...]:
    endings = ledger.closings(settings.model)
    return tuple(
        Shipped(
            release=str(one.id),
            source=one.git_sha,
            bento_digest=one.bento_digest,
            outcomes=tuple(
                f"{ending.outcome.value} ({ending.commit[:_SHORT]})" for ending in endings if ending.release == one.id
            ),
        )
        for one in reversed(ledger.releases(settings.model))
        if one.id.version == version
    )


def lines(found: Lineage) -> list[str]:
    """For people: one line for each arrow of the loop."""
    said = [("commit", found.commit[:_SHORT])]
    said.append(("snapshot", _told(found.snapshot)))
    said.append(("dataset", f"{found.dataset[:_SHORT]}  {found.rows}"))
    said.append(("retraining", found.retraining or "none: trained by hand"))
    said.append(("run", f"{found.run}, model digest {found.model_digest[:_SHORT]}"))
    names = f" ({', '.join(found.aliases)})" if found.aliases else ""
    said.append(("version", f"{found.model} {found.version}{names}, gate {found.gate}"))
    said += [("release", _sent(one)) for one in found.releases] or [("release", "none")]
    return [f"{name:11} {words}" for name, words in said]


def _told(taken: Taken | None) -> str:
    if taken is None:
        return "none: nothing that people said"
    if taken.record is None or taken.lost:
        return f"{taken.digest[:_SHORT]}  its rows cannot be had any more: {taken.lost}"
    record = taken.record
    again = f"again by: coalmine collect --snapshot {taken.digest[:_SHORT]}"
    at = record.versions[record.query.table]
    return f"{taken.digest[:_SHORT]}  {record.rows} rows of {record.query.table} at version {at}; {again}"


def _sent(one: Shipped) -> str:
    became = ", ".join(one.outcomes) or "no canary of it has ended"
    return f"{one.release}  built from {one.source[:_SHORT]}, {became}"
