"""The loop of `coalmine up`: what main names -> the rollout -> edge and arms; and what ends -> the closer.

It decides nothing itself. Every object that it drives goes on from what is on disk, so that it may be killed at any
line and started again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from coalmine.edge import certificates, own
from coalmine.edge import process as nginx
from coalmine.edge.config import EdgeConfig, from_settings
from coalmine.edge.split import write_split
from coalmine.errors import CoalmineError
from coalmine.feedback import token
from coalmine.files import write_whole
from coalmine.local import parts, repository
from coalmine.local.arms import LocalArms
from coalmine.local.supervisor import Supervisor
from coalmine.records import Ending, Slot, Split
from coalmine.release import report
from coalmine.release.closer import close
from coalmine.release.ledger import Ledger
from coalmine.rollout.hooks import HookClient
from coalmine.rollout.run import Rollout
from coalmine.rollout.state import split_of
from coalmine.rollout.store import SqliteStore
from coalmine.settings import Settings

log = structlog.get_logger()
TICK_SECONDS = 0.1
PARTS_SECONDS = 0.5  # how often dead parts are looked for
STATUS_SECONDS = 0.5
HOURLY = 3600.0
REPORTS_SECONDS = 60.0  # how often reports that lacked the judge's part are looked at again
ROTATE_BYTES = 256 * 1024**2
# Between taking a slot's traffic and ending its tenant: a request that resolved the split just before has long arrived
# there by then, and the tenant answers all that have before it ends.
DRAIN_SECONDS = 2.0
# The longest that a start keeps the edge closed for its arms; a cold start of two takes some ten seconds.
CLOSED_SECONDS = 30.0
JUDGE_IN_CLUSTER = "judge.coalmine:8090"  # what the Canary file calls the judge


class Clock:
    def now(self) -> float:
        return time.time()


@dataclass(frozen=True, slots=True)
class Edge:
    """`rollout.run.Edge` over the split's folder; nginx need not be running."""

    folder: Path

    def apply(self, split: Split) -> None:
        write_split(self.folder, split)


@dataclass(slots=True)
class _Every:
    """Says yes once in so many seconds."""

    seconds: float
    _next: float = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.seconds
        return True


@dataclass(slots=True)
class Controller:
    """All that `up` drives, made from the settings. `run` returns when `ended` is set."""

    settings: Settings
    ended: threading.Event
    _troubles: dict[str, str] = field(default_factory=dict)  # what could not be done just now, by part
    _open: bool = False
    _read: tuple[tuple[int, int], ...] = ()
    _began: float = field(default_factory=time.monotonic)
    edge: EdgeConfig = field(init=False)
    supervisor: Supervisor = field(init=False)
    arms: LocalArms = field(init=False)
    rollout: Rollout = field(init=False)
    watched: repository.Watched = field(init=False)
    ledger: Ledger = field(init=False)
    store: SqliteStore = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        prepare(settings)
        self.edge = from_settings(settings, user=nginx.worker_user(), user_salt=nginx.user_salt(settings.edge))
        nginx.prepare(self.edge)
        nginx.check(self.edge)
        self.ledger = Ledger(settings.database)
        self.store = SqliteStore(settings.database)
        self.watched = repository.Watched(settings, repository.ensure(settings), self.ledger)
        run = run_folder(settings)
        self.supervisor = Supervisor(run, settings.logs, parts.parts(settings, self.edge))
        self.arms = LocalArms(
            folder=run,
            logs=settings.logs,
            model=settings.model,
            ports={Slot.BLUE: settings.ports.blue, Slot.GREEN: settings.ports.green},
            env=parts.arm_environment(settings),
            ledger=self.ledger,
        )
        self.rollout = Rollout(
            settings.model,
            store=self.store,
            edge=Edge(settings.edge),
            arms=self.arms,
            clock=Clock(),
            caller=HookClient({JUDGE_IN_CLUSTER: f"127.0.0.1:{settings.ports.judge}"}),
            drain_seconds=DRAIN_SECONDS,
        )

    def run(self, tell: Callable[[Mapping[str, object]], None] = lambda _: None) -> None:
        """Until `ended`. `tell` hears the status twice a second, as it is written for `coalmine status`."""
        closer = threading.Thread(target=self._close_endings, name="closer", daemon=True)
        closer.start()
        looking, showing, hourly = _Every(PARTS_SECONDS), _Every(STATUS_SECONDS), _Every(HOURLY)
        while not self.ended.wait(TICK_SECONDS):
            if looking.due():
                self._guarded("parts", self._look_after_parts)
                if hourly.due() or self._replaced():
                    self._guarded("certificate", self._renew)
            self._guarded("rollout", self._tick)
            if showing.due():
                status = self.status()
                write_status(self.settings, status)
                tell(status)
        closer.join(timeout=30)

    def _guarded(self, what: str, step: Callable[[], object]) -> None:
        """One part's trouble (a full disk, a locked database) must not end the others; it is tried again."""
        try:
            step()
            self._troubles.pop(what, None)
        except (CoalmineError, OSError) as error:
            if str(error) != self._troubles.get(what):
                log.warning("trouble", what=what, error=str(error))
                self._troubles[what] = str(error)

    def _look_after_parts(self) -> None:
        self.supervisor.reconcile(hold=() if self._may_open() else ("nginx",))
        if self.ledger.releases(self.settings.model):
            self.arms.keep_spare()
        rotate(self.edge)

    def _may_open(self) -> bool:
        """Once what it sends to is ready. An edge that opens first answers 502 for whichever arm is up last, and that
        would be counted against a canary which only shared the machine's restart.
        """
        if not self._open:
            split = split_of(self.rollout.state)
            serving = [split.primary_slot] if split.primary else []
            serving += [split.primary_slot.other] if split.weight else []
            ready = all(self.arms.ready(slot).ready for slot in serving)
            self._open = ready or time.monotonic() - self._began > CLOSED_SECONDS
        return self._open

    def _replaced(self) -> bool:
        """Whether your own certificate's files are others than those that were read last."""
        return self.settings.certificate is not None and own.stamp(self.settings.certificate) != self._read

    def _renew(self) -> None:
        if self.settings.certificate is not None:
            self._read = own.stamp(self.settings.certificate)  # first: what changes meanwhile is read once more
        certificates.ensure(self.settings.tls, self.settings.server_names, own_pem=self.settings.certificate)

    def _tick(self) -> None:
        self.rollout.tick(self.watched.target())
        state = self.rollout.state
        primary = state.primary.release if state.primary else None
        if primary != self.ledger.primary(self.settings.model):
            self.ledger.set_primary(self.settings.model, primary)

    def _close_endings(self) -> None:
        """In a thread of its own: git, the registry and reports take seconds, and the next tick must not wait."""
        looking = _Every(REPORTS_SECONDS)
        pause = 0.0
        while not self.ended.wait(0.2 + pause):
            waiting = [words for ending in self._open_endings() if (words := self._close(ending))]
            pause = min(10.0, pause + 1.0) if waiting else 0.0
            if looking.due():
                self._guarded("reports", lambda: report.complete(self.settings))

    def _close(self, ending: Ending) -> str:
        """Why an ending is not closed yet; empty where it is. One that waits for MLflow holds up no other."""
        try:
            close(self.settings, ending)
        except (CoalmineError, OSError) as error:
            log.warning("closing is tried again", release=str(ending.release), error=str(error))
            return str(error)
        log.info("closed", release=str(ending.release), outcome=str(ending.outcome), why=ending.reason)
        return ""

    def _open_endings(self) -> list[Ending]:
        open_ones = {ending.attempt for ending in self.ledger.closings(self.settings.model, unfinished=True)}
        known = {ending.attempt for ending in self.ledger.closings(self.settings.model)}
        return [e for e in self.store.endings(self.settings.model) if e.attempt in open_ones or e.attempt not in known]

    def status(self) -> dict[str, object]:
        """What `coalmine status` shows, JSON-able."""
        rollout = self.rollout.status(self.watched.target())
        return {
            "t": time.time(),
            "model": self.settings.model,
            "url": f"https://localhost:{self.settings.ports.https}",
            "page": self.settings.judge_url,
            "registry": self.settings.mlflow_url,
            "repository": str(self.settings.bare_repository),
            "parts": {part.name: self.supervisor.running(part.name) for part in self.supervisor.parts},
            "problem": "; ".join(filter(None, (self.watched.problem, *self._troubles.values()))),
            "rollout": asdict(rollout),
        }


def prepare(settings: Settings) -> None:
    """Make the state folder with its key and certificate. Idempotent."""
    settings.state.mkdir(parents=True, exist_ok=True)
    settings.state.chmod(0o700)  # people's texts and the keys are in it; a step may have made it before
    for folder in (
        settings.logs,
        settings.policies,
        settings.predictions,
        settings.reports,
        settings.acme,
        run_folder(settings),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    (settings.state / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    if not settings.feedback_key.exists():
        settings.feedback_key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        token.make_key(settings.feedback_key)
    parts.ensure_judge_token(settings)
    certificates.ensure(settings.tls, settings.server_names, own_pem=settings.certificate)


def run_folder(settings: Settings) -> Path:
    return settings.state / "run"


def rotate(edge: EdgeConfig, *, limit: int = ROTATE_BYTES) -> bool:
    """Move a grown access log away and let nginx begin a new one; readers follow it by its inode."""
    try:
        if edge.access_log.stat().st_size < limit:
            return False
    except FileNotFoundError:
        return False
    edge.access_log.replace(edge.access_log.with_name(f"{edge.access_log.name}.1"))
    return nginx.reopen_logs(edge)


def write_status(settings: Settings, status: Mapping[str, object]) -> None:
    write_whole(run_folder(settings) / "status.json", json.dumps(status))


def read_status(settings: Settings) -> dict[str, object]:
    """The last status written; empty where there is none."""
    try:
        status: dict[str, object] = json.loads((run_folder(settings) / "status.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return status
