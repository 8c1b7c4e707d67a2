"""A tenant's series between two looks: one file each in `<state>/drift/`, whole or not at all; texts are not in it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from coalmine.drift.calibrate import Evidence
from coalmine.drift.signals import Kind
from coalmine.drift.watch import Plan, Series
from coalmine.errors import Broken

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What the next look goes on from."""

    tenant: str
    release: str
    plan: Plan
    signals: int  # between which alpha is shared
    reference: tuple[float, float, int]  # times of its first and last row, and their number
    last: str = ""  # the prediction looked at last
    labelled: frozenset[str] = frozenset()  # predictions whose label was counted
    series: Mapping[str, Series] = field(default_factory=dict)


def path_of(folder: Path, tenant: str) -> Path:
    """By digest: a tenant's name is no file's name."""
    return folder / f"{hashlib.sha256(tenant.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.npz"


def save(folder: Path, kept: Kept) -> None:
    """Replace the tenant's file in one step."""
    notes = {
        "version": _VERSION,
        "tenant": kept.tenant,
        "release": kept.release,
        "plan": asdict(kept.plan),
        "signals": kept.signals,
        "reference": kept.reference,
        "last": kept.last,
        "labelled": sorted(kept.labelled),
        "series": {name: _notes(one) for name, one in kept.series.items()},
    }
    arrays = {f"{name}/{part}": getattr(one, part) for name, one in kept.series.items() for part in ("bag", "pending")}
    written = io.BytesIO()
    np.savez_compressed(written, notes=np.asarray(json.dumps(notes)), **arrays)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = path_of(folder, kept.tenant)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(written.getvalue())
    scratch.replace(path)


def _notes(one: Series) -> dict[str, object]:
    return {
        "kind": one.kind,
        "evidence": asdict(one.evidence),
        "seen": one.seen,
        "alarm_at": one.alarm_at,
        "drivers": one.drivers,
        "trail": one.trail,
    }


def load(folder: Path, tenant: str) -> Kept | None:
    """None where there is nothing yet. Raises Broken where the file is no file of ours."""
    path = path_of(folder, tenant)
    try:
        with path.open("rb") as written, np.load(written, allow_pickle=False) as file:
            notes = json.loads(str(file["notes"]))
            series = {
                name: Series(
                    Kind(one["kind"]),
                    file[f"{name}/bag"],
                    file[f"{name}/pending"],
                    Evidence(**one["evidence"]),
                    one["seen"],
                    one["alarm_at"],
                    one["drivers"],
                    tuple((int(seen), float(e)) for seen, e in one["trail"]),
                )
                for name, one in notes["series"].items()
            }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise Broken(
            f"no state of drift: {error}", where=str(path), remedy="delete it: a new reference begins"
        ) from error
    first, last, rows = notes["reference"]
    return Kept(
        tenant=notes["tenant"],
        release=notes["release"],
        plan=Plan(**notes["plan"]),
        signals=notes["signals"],
        reference=(first, last, rows),
        last=notes["last"],
        labelled=frozenset(notes["labelled"]),
        series=series,
    )
