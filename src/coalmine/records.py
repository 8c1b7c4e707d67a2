"""What crosses the arrows of the loop: frozen, plain, and free of I/O.

Times are Unix seconds (float). Rates are shares between 0 and 1. Weights are whole percent of the traffic
that goes to the canary. A record is made in one place, passed on whole, and never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from coalmine.errors import BadInput

_RELEASE_ID = re.compile(r"m(?P<version>[1-9][0-9]*)-(?P<sha>[0-9a-f]{7,40})\Z")


@dataclass(frozen=True, slots=True, order=True)
class ReleaseId:
    """`m<MLflow version>-<short sha>`; sha names the clean source tree from which the Bento was built."""

    version: int
    sha: str

    def __str__(self) -> str:
        return f"m{self.version}-{self.sha}"

    @classmethod
    def parse(cls, text: str) -> ReleaseId:
        """Read an id. Raises BadInput for anything else."""
        match = _RELEASE_ID.match(text)
        if match is None:
            raise BadInput(
                f"{text!r} is no release id", remedy="a release id looks like m3-1a2b3c4: see `coalmine status`"
            )
        return cls(int(match["version"]), match["sha"])


# ---- from data to a release -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows on disk that a training run names: rebuilt from the same sources they have the same digest."""

    path: str  # a Parquet file: columns text, label (0 or 1, or a number), weight, domain, entity
    digest: str  # sha256 of the rows' canonical form, not of the file
    rows: int
    positives: int | None  # rows with label 1; None where a number is predicted
    sources: tuple[str, ...]
    snapshot: Snapshot | None = None  # what people said, where it was learnt from


class Found(StrEnum):
    """What a look at data or at a signal says. "No data" is neither good nor bad, and never a number."""

    PASSED = "passed"
    FAILED = "failed"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class DataCheck:
    """One check of training data: its value against its bound, in a sentence, and where to look."""

    name: str
    found: Found
    value: float
    bound: float
    what: str
    look_at: tuple[str, ...] = ()  # numbers of rows, entities, users: never a text


@dataclass(frozen=True, slots=True)
class Validation:
    """A dataset that may be trained on: no check failed."""

    dataset: Dataset
    checks: tuple[DataCheck, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model in MLflow's tracking store, not yet in the registry."""

    model: str
    run_id: str
    model_uri: str
    dataset_digest: str
    git_sha: str
    environment: str  # sha256 over the installed distributions and their versions
    snapshot: str = ""  # the digest of what people said; empty where nothing of it was learnt from
    retraining: str = ""  # the pipeline's run; empty where it was trained by hand


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One line of the offline gate: a value against its bound."""

    name: str
    value: float
    bound: float
    passed: bool
    ceiling: bool = False  # True where the value must not be above the bound: an error, not a share

    @property
    def margin(self) -> float:
        """By how much it passed (>= 0) or failed (< 0)."""
        return self.bound - self.value if self.ceiling else self.value - self.bound


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the offline gate says of a candidate. `override` is a person's reason for going on regardless."""

    candidate: Candidate
    champion_version: int | None
    checks: tuple[GateCheck, ...]
    override: str = ""
    gain: float | None = None  # over the champion, the mean of the compared slices; None where there is none

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version in MLflow's registry with its lineage."""

    model: str
    version: int
    run_id: str
    dataset_digest: str
    git_sha: str
    environment: str
    override: str = ""
    snapshot: str = ""
    retraining: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """A built Bento: what a release file may name. Written once by `package`, never changed."""

    model: str
    id: ReleaseId
    run_id: str
    dataset_digest: str
    git_sha: str
    environment: str
    bento_tag: str
    bento_path: str
    bento_digest: str  # sha256 over the Bento's files
    created: float
    override: str = ""
    snapshot: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """A release that main names: the end of a retraining."""

    release: ReleaseId
    commit: str


# ---- the rollout ------------------------------------------------------------------------------------------------


class Slot(StrEnum):
    """The edge's two upstreams. Which of them is the canary changes with every promotion."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Slot:
        return Slot.GREEN if self is Slot.BLUE else Slot.BLUE


class Arm(StrEnum):
    PRIMARY = "primary"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Split:
    """What the edge does with requests: one immutable state, put in force by one atomic rename.

    `primary_slot` serves 100 - `weight` percent and the other slot `weight` percent. A slot without a release
    gets no traffic. `epoch` grows by one with every change and is written into each access-log line.
    """

    epoch: int
    primary_slot: Slot
    primary: ReleaseId | None
    canary: ReleaseId | None
    weight: int


class Phase(StrEnum):
    """Flagger's phases, by its own names (pkg/apis/flagger/v1beta1/status.go)."""

    INITIALIZING = "Initializing"
    INITIALIZED = "Initialized"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    WAITING_PROMOTION = "WaitingPromotion"
    PROMOTING = "Promoting"
    FINALISING = "Finalising"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"

    @property
    def terminal(self) -> bool:
        return self in (Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED)


class Outcome(StrEnum):
    """How an attempt ended: what the closer acts on and the report says."""

    FIRST_RELEASE = "first_release"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one attempt, read from the rollout's own state; the closer acts on it once."""

    model: str
    attempt: int  # counts the attempts of this model on this machine, from 1
    release: ReleaseId
    primary: ReleaseId | None  # what is primary after the end; None when a failed first release was withdrawn
    outcome: Outcome
    reason: str
    commit: str  # the commit on main that asked for `release`
    started: float
    ended: float
    baked: bool = False  # True where the end came in, or after, the bake time that follows a promotion


# ---- the judge --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Poll:
    """Counts of one metric since the previous poll, both arms, taken at the same point."""

    t: float
    metric: str
    n_c: int
    e_c: int
    n_b: int
    e_b: int
    step: int = 0  # the weight in force when these were routed
    part: str = ""  # a latency edge, a class of a mix, a resource's limit or growth
    q_c: int = 0  # sums of squares, of scores only
    q_b: int = 0


class Decision(StrEnum):
    ROLLBACK = "ROLLBACK"
    PROMOTE = "PROMOTE"
    CONTINUE = "CONTINUE"
    INCONCLUSIVE = "INCONCLUSIVE"


# ---- feedback ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word on one prediction. `good` is None for a correction that gives the right label only."""

    prediction: str  # the UUIDv7 alone
    release: ReleaseId
    predicted_at: float
    t: float
    good: bool | None
    correction: str = ""
    user: str = ""


class Kind(StrEnum):
    """What people say of a prediction, and what they do after it."""

    THUMB = "thumb"  # value 1 (up) or 0 (down)
    RATING = "rating"  # value 1 to 5
    CORRECTION = "correction"  # the right answer alone, without a value
    CLICK = "click"
    CONVERSION = "conversion"  # value: what it was worth, 1 where nothing is said
    DWELL = "dwell"  # value: seconds

    @property
    def explicit(self) -> bool:
        """Somebody's word, where the others are only what somebody did."""
        return self in (Kind.THUMB, Kind.RATING, Kind.CORRECTION)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of feedback. `id` is the client's own, or follows from what is said: a repeated one is the same."""

    id: str
    prediction: str  # the UUIDv7 alone
    release: ReleaseId
    predicted_at: float
    t: float
    kind: Kind
    value: float | None = None
    correction: str = ""
    user: str = ""
    tenant: str = "default"


# ---- the lake ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows of the lake: half open in time (of the prediction, Unix seconds); None leaves open."""

    table: str = "labels"
    since: float | None = None
    until: float | None = None
    tenant: str | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of the lake that a training run names: rebuilt from the same versions they have the same digest."""

    digest: str  # sha256 of the query and of the rows' canonical form: no file, no time and no path goes into it
    versions: Mapping[str, int]  # of each table
    query: Query
    rows: int
    made_at: float


@dataclass(frozen=True, slots=True)
class Report:
    """Where the report on a release was written."""

    release: ReleaseId
    html: str
    json: str
    facts: dict[str, object] = field(default_factory=dict)
