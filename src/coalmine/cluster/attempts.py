"""From looks at a Canary to attempts and their ends: a pure fold, each end told exactly once.

Flagger keeps no history, and a watcher may miss any part of it (it was down, the watch broke). So each rule starts from
what is shown now and what was known before, never from a step in between:

- an attempt is open from the first look that shows the canary under way until a look that shows an end;
- an end is told by its condition's time: the same one shown again is not told again;
- which release failed is taken from the open attempt, since the target may name a newer one by now;
- which release is primary is taken from the primary's own pod template, which Flagger copies on promotion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from coalmine.cluster.seen import Seen
from coalmine.records import Outcome, Phase, ReleaseId

UNDER_WAY = (Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FINALISING)
_UNDECIDED = (Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.WAITING)
_STARTING = (None, Phase.INITIALIZING)


class Kind(StrEnum):
    """What an attempt tries; only the first kind is ever quarantined or healed."""

    RELEASE = "release"
    CONFIG = "config"  # the release that serves, with another pod template: the release file is not to blame
    RETURN = "return"  # the release before, after a fault in the bake time


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that is under way. `failed_checks` is the most that was seen: Flagger writes 0 when it ends."""

    number: int
    release: ReleaseId
    kind: Kind
    primary: ReleaseId | None  # what serves if it fails
    started: float
    applied: str = ""  # Flagger's hash of its pod template
    failed_checks: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A failure of which it is not yet known whose it is: the target names another release than what was under way.

    Either that one failed and this was pushed since: then Flagger begins it at its next tick. Or this one took its
    place unseen and failed: then the next tick leaves it where it is.
    """

    mark: str
    applied: str
    written: float


@dataclass(frozen=True, slots=True)
class Bake:
    """A promotion within its bake time. `before` is what a fault goes back to."""

    attempt: int
    release: ReleaseId
    before: ReleaseId
    started: float
    promoted: float


@dataclass(frozen=True, slots=True)
class End:
    """The end of one attempt, by the status alone. The reason and the commit are found afterwards."""

    attempt: int
    release: ReleaseId
    kind: Kind
    primary: ReleaseId | None
    outcome: Outcome
    started: float
    ended: float
    failed_checks: int = 0
    threshold: int = 0
    weight: int = 0  # the most that the canary had
    note: str = ""  # what the status alone gives as a reason
    baked: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """All that is remembered of one Canary between looks."""

    attempt: int = 0  # number of the newest
    primary: ReleaseId | None = None
    mark: str = ""  # the end that was last told
    open: Attempt | None = None
    bake: Bake | None = None
    returning: ReleaseId | None = None  # git was healed in a bake time: the next canary of this one goes back
    doubt: Doubt | None = None
    stale: str = ""  # Flagger's hash of a release that was reverted under way: it keeps it until the canary ends


def follow(track: Track | None, seen: Seen) -> tuple[Track, tuple[End, ...]]:
    """What is known after a look, and the ends that it shows. The same look again shows none."""
    if seen.target is None and seen.primary is None:
        return track or Track(), ()  # a Canary that is none of ours, or Deployments that are still to come
    known = track or _adopted(seen)
    known, ends = _ended(known, seen)
    known, more = _superseded(known, seen)
    return _under_way(known, seen), (*ends, *more)


def bake_failed(track: Track, *, t: float) -> tuple[Track, End | None]:
    """The judge found a fault within the bake time: the promotion is taken back, once."""
    bake = track.bake
    if bake is None:
        return track, None
    end = End(
        bake.attempt,
        bake.release,
        Kind.RELEASE,
        bake.before,
        Outcome.ROLLED_BACK,
        started=bake.started,
        ended=t,
        baked=True,
    )
    return replace(track, bake=None, returning=bake.before), end


def baked(track: Track) -> Track:
    """The bake time is over without a fault."""
    return replace(track, bake=None)


def _adopted(seen: Seen) -> Track:
    """The first look of all. A Canary that failed and whose git names the primary again was closed by somebody."""
    settled = seen.phase is Phase.FAILED and (seen.applied == seen.promoted or seen.target == seen.primary)
    starting = seen.phase in (*_STARTING, Phase.INITIALIZED)
    known = None if starting or seen.phase in (Phase.PROMOTING, Phase.FINALISING) else seen.primary
    if seen.phase is Phase.SUCCEEDED:
        known = None  # told as a promotion: the alias must agree with what serves, whoever closed it before
    return Track(primary=known, mark=seen.mark if settled else "")


def _ended(track: Track, seen: Seen) -> tuple[Track, tuple[End, ...]]:
    if seen.phase is Phase.FAILED and seen.mark != track.mark:
        return _failed(track, seen)
    if track.doubt is not None:
        return _resolved(track, seen)
    if seen.phase is None or not seen.phase.terminal or seen.mark == track.mark:
        return track, ()
    return _serves(track, replace(track, mark=seen.mark, open=None), seen)


def _failed(track: Track, seen: Seen) -> tuple[Track, tuple[End, ...]]:
    attempt, before = track.open, tuple[End, ...]()
    if seen.target not in (None, track.primary) and not _is_its(attempt, seen):
        doubt = Doubt(seen.mark, seen.applied, seen.written)
        if not _again(track.doubt, doubt):
            return replace(track, doubt=doubt), ()
        if attempt is not None:
            note = f"{seen.target} was pushed during the canary"
            before = (_end(attempt, seen, Outcome.SUPERSEDED, note=note),)
        attempt = _begun(track, seen)
    known = replace(track, mark=seen.mark, open=None, doubt=None)
    if attempt is None:
        return known, ()  # the target names what serves: nobody knows what failed
    returning = None if attempt.kind is Kind.RETURN else known.returning
    known = replace(known, attempt=attempt.number, returning=returning)
    note = "the primary did not become ready with the promoted release" if seen.weight else ""
    return known, (*before, _end(attempt, seen, Outcome.ROLLED_BACK, note=note))


def _is_its(attempt: Attempt | None, seen: Seen) -> bool:
    return attempt is not None and (seen.target == attempt.release or seen.applied == attempt.applied)


def _again(before: Doubt | None, now: Doubt) -> bool:
    """Whether a tick has passed over it."""
    return (
        before is not None and (before.mark, before.applied) == (now.mark, now.applied) and now.written > before.written
    )


def _resolved(track: Track, seen: Seen) -> tuple[Track, tuple[End, ...]]:
    """Flagger went on from the failure with what the target names: what was under way before had failed."""
    attempt = track.open
    known = replace(track, doubt=None, open=None)
    if attempt is None:
        return known, ()
    return known, (_end(attempt, seen, Outcome.ROLLED_BACK),)


def _serves(track: Track, known: Track, seen: Seen) -> tuple[Track, tuple[End, ...]]:
    """Initialized or Succeeded: the primary's own template says what was let in."""
    serves = seen.primary or (track.open.release if track.open else seen.target)
    if serves is None:
        return known, ()
    attempt, before = track.open, tuple[End, ...]()
    if attempt is not None and attempt.release != serves:
        note = f"{serves} was pushed during the canary"
        before = (_end(replace(attempt, primary=serves), seen, Outcome.SUPERSEDED, note=note),)
        attempt = None  # Flagger copies what the target is at that moment, so something else may have been let in
    if serves == track.primary and attempt is None:
        return known, before
    attempt = attempt or replace(_begun(track, seen), release=serves)
    first = seen.phase is Phase.INITIALIZED
    outcome = Outcome.FIRST_RELEASE if first else Outcome.PROMOTED
    end = _end(replace(attempt, primary=serves), seen, outcome)
    bake = None
    if attempt.kind is Kind.RELEASE and track.primary is not None and not first:
        bake = Bake(attempt.number, serves, track.primary, started=attempt.started, promoted=end.ended)
    returning = None if track.returning == serves else known.returning
    known = replace(known, attempt=attempt.number, primary=serves, bake=bake, returning=returning)
    return known, (*before, end)


def _superseded(track: Track, seen: Seen) -> tuple[Track, tuple[End, ...]]:
    """A newer push took the canary's pods away while nothing was decided."""
    attempt = track.open
    if attempt is None or seen.phase not in _UNDECIDED or seen.target in (None, attempt.release):
        return track, ()
    back = seen.target == track.primary
    note = f"main went back to {seen.target}" if back else f"{seen.target} was pushed during the canary"
    end = _end(attempt, seen, Outcome.SUPERSEDED, note=note)
    return replace(track, open=None, stale=seen.applied if back else ""), (end,)


def _under_way(track: Track, seen: Seen) -> Track:
    """Open an attempt, or keep the one that is open up to date."""
    starting = seen.phase in _STARTING and track.primary is None
    if seen.target is None or not (seen.phase in UNDER_WAY or starting):
        return track
    attempt = track.open
    if attempt is None:
        leftover = seen.applied in (seen.promoted, track.stale)
        if seen.target == track.primary and leftover:
            return track
        attempt = _begun(track, seen)
        returning = track.returning if attempt.kind is Kind.RETURN else None
        track = replace(track, attempt=attempt.number, bake=None, returning=returning, stale="")
    attempt = replace(
        attempt,
        applied=seen.applied if seen.target == attempt.release else attempt.applied,
        failed_checks=max(attempt.failed_checks, seen.failed_checks),
        weight=max(attempt.weight, seen.weight),
    )
    return replace(track, open=attempt)


def _begun(track: Track, seen: Seen) -> Attempt:
    release = seen.target or seen.primary
    assert release is not None  # `follow` looked
    kind = Kind.RETURN if release == track.returning else Kind.CONFIG if release == track.primary else Kind.RELEASE
    number = max(track.attempt, track.open.number if track.open else 0) + 1
    return Attempt(number, release, kind, track.primary, started=min(seen.t, seen.written or seen.t))


def _end(attempt: Attempt, seen: Seen, outcome: Outcome, *, note: str = "") -> End:
    ended = seen.settled if seen.phase and seen.phase.terminal and seen.settled else seen.t
    return End(
        attempt.number,
        attempt.release,
        attempt.kind,
        attempt.primary,
        outcome,
        started=min(attempt.started, ended),
        ended=ended,
        failed_checks=max(attempt.failed_checks, seen.failed_checks),
        threshold=seen.threshold,
        weight=max(attempt.weight, seen.weight),
        note=note,
    )
