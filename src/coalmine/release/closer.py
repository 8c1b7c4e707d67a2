"""After the verdict: the steps that bring registry, git, quarantine and report in line with what serves.

Each step may be repeated and is written down when done, so a closing survives a kill at any point: call `close` again
with the same ending. A step that cannot be done now (MLflow is down) keeps no other step waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coalmine.errors import BadInput, CoalmineError, Temporary
from coalmine.records import Ending, Outcome
from coalmine.release.alias import CHAMPION, registry
from coalmine.release.heal import heal
from coalmine.release.ledger import Ledger
from coalmine.release.report import write
from coalmine.settings import Settings

Step = Callable[[Settings, Ending, Ledger], str]
_SERVES = (Outcome.FIRST_RELEASE, Outcome.PROMOTED)


def close(
    settings: Settings,
    ending: Ending,
    *,
    steps: Mapping[str, Step] | None = None,
    at: Callable[[str], None] = lambda _: None,
) -> None:
    """Do what is not yet done of an ending's closing. Idempotent, across processes and kills.

    Args:
        settings: where everything is.
        ending: as the rollout recorded it.
        steps: what to do instead of `usual(ending.outcome)`, in this order.
        at: hears of each point passed ("doing heal", "did heal", "recorded heal"); for logs, and for tests that kill.

    Raises:
        Temporary: some steps wait for something; the rest is done. Call again after a pause.
    """
    ledger = Ledger(settings.database)
    ledger.begin(ending)
    done, waiting = ledger.steps(ending), []
    for name, step in (usual(ending.outcome) if steps is None else steps).items():
        if name in done:
            continue
        at(f"doing {name}")
        try:
            detail = step(settings, ending, ledger)
        except BadInput as error:
            detail = f"failed: {error.what}"  # it would fail again; the closing goes on without it and says so
        except (CoalmineError, OSError) as error:
            waiting.append(f"{name} ({error})")
            continue
        at(f"did {name}")
        ledger.record(ending, name, detail)
        at(f"recorded {name}")
    if waiting:
        raise Temporary(f"closing attempt {ending.attempt} of {ending.model} waits for: {'; '.join(waiting)}")
    ledger.finish(ending)


def usual(outcome: Outcome) -> dict[str, Step]:
    """The steps of a machine that serves by itself."""
    return dict(_STEPS[outcome])


def _quarantine(_settings: Settings, ending: Ending, ledger: Ledger) -> str:
    ledger.quarantine(ending.model, ending.release, attempt=ending.attempt, reason=ending.reason)
    return str(ending.release)


def _heal(settings: Settings, ending: Ending, _ledger: Ledger) -> str:
    return heal(settings, ending) or "left: main no longer asked for it"


def _promote(settings: Settings, ending: Ending, ledger: Ledger) -> str:
    later = _later(ending, ledger)
    if later:
        return f"left: attempt {later.attempt} came after"
    before = registry(settings).point(ending.release.version)
    return f"{CHAMPION} {before or 'none'} -> {ending.release.version}"


def _restore(settings: Settings, ending: Ending, ledger: Ledger) -> str:
    """Untouched, unless this very release had been promoted and was sent back in its bake time."""
    if not ending.baked or ending.primary is None or _later(ending, ledger):
        return "untouched"
    models = registry(settings)
    if models.alias() != ending.release.version:
        return "untouched"
    models.point(ending.primary.version)
    return f"{CHAMPION} {ending.release.version} -> {ending.primary.version}"


def _later(ending: Ending, ledger: Ledger) -> Ending | None:
    """An ending that has since decided what serves; this one's word on the alias comes too late then."""
    for other in reversed(ledger.closings(ending.model)):
        sent_back = other.outcome is Outcome.ROLLED_BACK and other.outcome is not ending.outcome
        if (other.attempt == ending.attempt and sent_back) or (
            other.attempt > ending.attempt and other.outcome in _SERVES
        ):
            return other
    return None


def _tag(settings: Settings, ending: Ending, _ledger: Ledger) -> str:
    tags = {"release": str(ending.release), "verdict": ending.outcome.value, "reason": ending.reason}
    registry(settings).tag(ending.release.version, {f"coalmine.{key}": value for key, value in tags.items()})
    return ending.outcome.value


def _report(settings: Settings, ending: Ending, _ledger: Ledger) -> str:
    try:
        return write(settings, ending).html
    except Temporary:
        raise
    except Exception as error:  # noqa: BLE001 - a report that cannot be drawn must not keep a closing open for ever
        return f"failed: {type(error).__name__}: {error}"


# Quarantine comes before healing: nobody can push the release again in between.
_STEPS: dict[Outcome, dict[str, Step]] = {
    Outcome.FIRST_RELEASE: {"alias": _promote, "tags": _tag, "report": _report},
    Outcome.PROMOTED: {"alias": _promote, "tags": _tag, "report": _report},
    Outcome.ROLLED_BACK: {
        "quarantine": _quarantine,
        "heal": _heal,
        "alias": _restore,
        "tags": _tag,
        "report": _report,
    },
    Outcome.SUPERSEDED: {"report": _report},
}
