"""The two arms as processes, and the warm spare that lets the next one start in a second instead of ten.

Nothing here waits: `ensure` is called again and again and takes the next small step towards what should run, so
that a slow start never holds up a rollback. What runs is on disk (see `process`), and outlives us.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import structlog

from coalmine.errors import BadInput
from coalmine.local import process
from coalmine.records import Release, ReleaseId, Slot
from coalmine.release.faults import ENVIRONMENT as FAULTS
from coalmine.release.ledger import Ledger
from coalmine.rollout.state import READY, ArmStatus, Health

log = structlog.get_logger()
SPARE = "spare"
PROBE_SECONDS = 0.5
LONGEST_PAUSE = 15.0  # between starts of an arm that keeps dying
STEADY = 30.0  # an arm that ran so long died of something else than its start


@dataclass(slots=True)
class _Starts:
    """How often a tenant of a slot had to be started; forgotten with the tenant."""

    tenant: tuple[str, str]
    count: int = 0
    restarts: int = 0  # all of them; `count` begins anew after a steady while
    last: float = 0.0

    @property
    def not_before(self) -> float:
        return self.last + (min(LONGEST_PAUSE, 2.0 ** (self.count - 2)) if self.count > 1 else 0.0)


@dataclass(slots=True)
class LocalArms:
    """`rollout.run.Arms` on one machine. `env` is what each arm's environment holds besides its faults."""

    folder: Path
    logs: Path
    model: str
    ports: Mapping[Slot, int]
    env: Mapping[str, str]
    ledger: Ledger
    _starts: dict[Slot, _Starts] = field(default_factory=dict)
    _children: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PROBE_SECONDS, trust_env=False))

    def ensure(self, slot: Slot, release: ReleaseId, faults: str = "") -> None:
        """Take the next step towards `release` running in `slot`: end another tenant, or start it, or nothing."""
        record = process.read(self.folder, _name(slot))
        tenant = (str(release), faults)
        starts = self._starts.get(slot)
        if starts is None or starts.tenant != tenant:
            starts = self._starts[slot] = _Starts(tenant)
        if record is not None and process.alive(record):
            if (record.marks["release"], record.marks["faults"]) != tenant:
                process.terminate(record)
            return
        if record is not None and (record.marks["release"], record.marks["faults"]) == tenant and not starts.count:
            starts.count, starts.last = 1, record.created  # it was started before our own restart
        if time.time() < starts.not_before:
            return
        known = self.ledger.find(self.model, release)
        if known is None:
            raise BadInput(
                f"{release} is not known here", remedy=f"package it here: coalmine package {release.version}"
            )
        starts.restarts += starts.count > 0
        starts.count = 1 if time.time() - starts.last > STEADY else starts.count + 1
        starts.last = time.time()
        self._start(slot, known, faults)

    def ready(self, slot: Slot) -> ArmStatus:
        """Asks the arm itself, once it is the tenant that `ensure` named last; READY only after it has predicted."""
        record = process.read(self.folder, _name(slot))
        if record is None:
            return ArmStatus(Health.NOT_READY, "not started")
        starts = self._starts.get(slot)
        if starts is not None and (record.marks["release"], record.marks["faults"]) != starts.tenant:
            return ArmStatus(Health.NOT_READY, f"{record.marks['release']} still finishes its requests here")
        if not process.alive(record):
            return ArmStatus(Health.CRASHED, self._last_words(slot))
        try:
            answer = self._http.get(f"http://127.0.0.1:{self.ports[slot]}/readyz")
        except httpx.HTTPError as error:
            return ArmStatus(Health.NOT_READY, f"loading ({type(error).__name__})")
        return READY if answer.status_code == 200 else ArmStatus(Health.NOT_READY, f"/readyz says {answer.status_code}")

    def stop(self, slot: Slot) -> None:
        """Ask the slot's tenant to end; its requests in flight are finished first."""
        record = process.read(self.folder, _name(slot))
        if record is None:
            return
        if process.alive(record):
            process.terminate(record)
        else:
            self._forget(record)

    def keep_spare(self) -> None:
        """Have one warm process waiting. It ends by itself when we do, since it waits on a pipe of ours."""
        record = process.read(self.folder, SPARE)
        if record is not None and (process.alive(record) and record.pid in self._children):
            return
        if record is not None:
            process.terminate(record)  # another life's spare; it may have had its order just before that life ended
            self._forget(record)
        command = [sys.executable, "-m", "coalmine.release.serve", "--spare"]
        record, child = process.start(
            self.folder, SPARE, command=command, env=self.env, log=self.logs / "spare.log", piped=True
        )
        self._children[record.pid] = child

    def _start(self, slot: Slot, release: Release, faults: str) -> None:
        marks = {"release": str(release.id), "faults": faults, "restarts": str(self._starts[slot].restarts)}
        spare = process.read(self.folder, SPARE)
        if spare is not None and process.alive(spare) and self._order(spare, slot, release, faults):
            record = process.rename(self.folder, spare, name=_name(slot), marks=marks)
        else:
            command = [sys.executable, "-m", "coalmine.release.serve", "--port", str(self.ports[slot])]
            record, child = process.start(
                self.folder,
                _name(slot),
                command=[*command, "--bento", release.bento_path],
                env={**self.env, FAULTS: faults},
                log=self.logs / f"{_name(slot)}.log",
                marks=marks,
            )
            self._children[record.pid] = child
        log.info("arm started", slot=str(slot), release=str(release.id), pid=record.pid, faults=faults)

    def _order(self, spare: process.Record, slot: Slot, release: Release, faults: str) -> bool:
        child = self._children.get(spare.pid)
        if child is None or child.stdin is None:
            return False
        line = json.dumps({"bento": release.bento_path, "port": self.ports[slot], "faults": faults}) + "\n"
        try:
            child.stdin.write(line.encode())
            child.stdin.close()
        except OSError:
            return False
        return True

    def _last_words(self, slot: Slot) -> str:
        """The end of the arm's log: what it said before it died."""
        for name in (_name(slot), SPARE):
            with contextlib.suppress(OSError):
                lines = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
                if lines:
                    return f"ended by itself; it said: {lines[-1][:300]}"
        return "ended by itself without a word"

    def _forget(self, record: process.Record) -> None:
        process.forget(self.folder, record.name)
        child = self._children.pop(record.pid, None)
        if child is not None:
            if child.stdin is not None:
                with contextlib.suppress(OSError):
                    child.stdin.close()
            child.poll()

    def close(self, *, stop: bool) -> None:
        """End the spare, and with `stop` the arms as well."""
        for name in (SPARE, *(_name(slot) for slot in Slot)):
            record = process.read(self.folder, name)
            if record is not None and (stop or name == SPARE):
                process.stop(record)
                self._forget(record)
        self._http.close()


def _name(slot: Slot) -> str:
    return f"arm-{slot}"
