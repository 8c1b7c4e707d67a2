"""Since when each alarm stands: a small file in `<state>/drift/`, read by whoever asks whether a retraining is due."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.errors import Broken
from coalmine.files import write_whole

if TYPE_CHECKING:
    from coalmine.drift.health import Health  # with numpy, which a step's limits must come before

FILE = "alarms.json"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One signal's. `since` is the look that first saw it, Unix seconds; it ends with the release's reference."""

    tenant: str
    release: str
    signal: str
    since: float
    what: str


def updated(before: Sequence[Alarm], found: Health) -> list[Alarm]:
    """The alarms of this look; one that stood already keeps its time."""
    known = {(one.tenant, one.release, one.signal): one.since for one in before}
    standing = [
        Alarm(tenant.name, tenant.release, signal.name, found.made_at, signal.what)
        for tenant in found.tenants
        for signal in tenant.signals
        if signal.alarm_at
    ]
    return [replace(one, since=known.get((one.tenant, one.release, one.signal), one.since)) for one in standing]


def keep(folder: Path, found: Health) -> None:
    """Write down what stands after this look."""
    write_whole(folder / FILE, json.dumps([asdict(one) for one in updated(load(folder), found)], indent=1))


def load(folder: Path) -> list[Alarm]:
    """None before a first look. Raises Broken where the file is no file of ours."""
    path = folder / FILE
    try:
        return [Alarm(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise Broken(
            f"no list of alarms: {error}", where=str(path), remedy="delete it: the next look writes it"
        ) from error


def raised(folder: Path, *, after: float) -> str:
    """What changed in alarms that were first seen after that moment, in words; empty where nothing has."""
    fresh = [one for one in load(folder) if one.since > after]
    return "; ".join(f"{one.signal} of {one.tenant} ({one.release}): {one.what}" for one in fresh)
