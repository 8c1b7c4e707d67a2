"""A model's life in the cluster as a story's teller sees it: what is released, what Flagger does, what is put right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx

from cluster import cache
from cluster.builder import Builder
from cluster.kubectl import Kubectl
from cluster.platform import PLATFORM, Platform
from coalmine.errors import Broken, CoalmineError

LONG = 600.0  # seconds: a limit to what hangs, and no promise
GIT = "platform-git"  # the lock of who writes to the git server, or takes it away


@dataclass(frozen=True, slots=True)
class Moment:
    """What a Canary said at `t` (Unix seconds)."""

    t: float
    phase: str
    weight: int
    failed: int


@dataclass(slots=True)
class Stage:
    """One model with its namespace, its builder and its Canary. `history`: each change of the Canary that was seen.

    Releases are made by one hand, at a desk of its own, and the next one while a test goes on. `first`: the version of
    which the first test wants one, 0 for a new one.
    """

    platform: Platform
    builder: Builder
    first: int
    history: list[Moment] = field(default_factory=list)
    _maker: Builder = field(init=False)
    _hand: ThreadPoolExecutor = field(init=False)
    _ahead: dict[int, Future[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._maker = replace(self.builder, desk="workshop")
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="maker")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hand.shutdown(cancel_futures=True)

    def begin(self) -> None:
        """Where nothing serves yet, a first release. What an ended run left on its way the first push supersedes."""
        self._maker.prepare()
        if self.look().phase:
            return
        release = self.make(last=True)
        self._make_ahead(self.first)
        self.push(release)
        self.until_phase("Initialized")
        self.until_settled()

    @property
    def model(self) -> str:
        return self.builder.model

    @property
    def kubectl(self) -> Kubectl:
        return self.platform.kubectl.within(self.model)

    def make(self, *, version: int = 0, last: bool = False) -> str:
        """A release that is built, pushed and signed; of a new version of the model, or of the version given.

        Unless it is the `last` that is wanted, one of version 1 is made next.
        """
        self._make_ahead(version)
        release = self._ahead.pop(version).result()
        if not last:
            self._make_ahead(1)
        return release

    def _make_ahead(self, version: int) -> None:
        if version not in self._ahead:
            self._ahead[version] = self._hand.submit(self._made, version)

    def make_unsigned(self) -> str:
        """One that is built and pushed only."""
        return self._hand.submit(self._made, 1, signed=False).result()

    def _made(self, version: int, *, signed: bool = True) -> str:
        release = self._maker.package(version) if version else self._maker.train()
        (self._maker.image if signed else self._maker.unsigned)(release)
        return release

    def push(self, release: str, *more: str) -> str:
        """`coalmine release`: the commit. One at a time, as people on one branch would have it."""
        with cache.locked(GIT):
            self._pull()
            return str(self.builder.release(release, "--key", str(self.builder.key("pub")), *more)["commit"])

    def refused(self, release: str, *more: str) -> str:
        """What `coalmine release` says where it refuses. Raises Broken where it does not."""
        with cache.locked(GIT):
            return str(self.builder.release(release, *more, code=3)["said"])

    def revert(self, commit: str) -> None:
        """As a person would, by git alone."""
        with cache.locked(GIT):
            self._pull()
            self.builder.git("revert", "--no-edit", commit)
            self.builder.git("push", "--quiet", "origin", "HEAD:main")

    @contextmanager
    def without_git(self) -> Iterator[None]:
        """The git server is away meanwhile; other stories do not ask it."""
        with cache.locked(GIT):
            self.platform.git.stop()
            try:
                yield
            finally:
                self.platform.serve_git()

    def _pull(self) -> None:
        self.builder.git("pull", "--quiet", "--rebase", "origin", "main")

    def _fetch(self) -> None:
        with cache.locked(GIT, shared=True):
            self.builder.git("fetch", "--quiet", "origin")

    def look(self) -> Moment:
        """The Canary now; phase `` where there is none yet."""
        status = self._status()
        return Moment(
            time.time(), status.get("phase", ""), status.get("canaryWeight", 0), status.get("failedChecks", 0)
        )

    def promoted(self) -> str:
        """Flagger's checksum of what it promoted last."""
        return str(self._status().get("lastPromotedSpec", ""))

    def canary(self) -> dict[str, Any]:
        """The object itself. Raises Broken where there is none."""
        found: dict[str, Any] = self.kubectl.get("canary", self.model)
        return found

    def _status(self) -> dict[str, Any]:
        try:
            return dict(self.canary().get("status", {}))
        except CoalmineError:
            return {}

    @contextmanager
    def watching(self, every: float = 0.3) -> Iterator[None]:
        """Fill `history` meanwhile."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(every):
                seen = self.look()
                last = self.history[-1] if self.history else None
                if not last or (seen.phase, seen.weight, seen.failed) != (last.phase, last.weight, last.failed):
                    self.history.append(seen)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def since_failed(self) -> float:
        """When the failure was first seen, with all traffic taken away: Unix seconds. Raises Broken without one."""
        for number, seen in reversed(list(enumerate(self.history))):
            before = self.history[number - 1] if number else seen
            if seen.phase == "Failed" and seen.weight == 0 and before.phase != "Failed":
                return seen.t
        raise Broken("no failure was seen", where=self.model)

    def until_phase(self, *phases: str, seconds: float = LONG) -> Moment:
        """Wait for one of the phases."""
        until(lambda: self.look().phase in phases, f"{self.model} is {' or '.join(phases)}", seconds=seconds)
        return self.look()

    def until_weight(self, weight: int, *, seconds: float = LONG) -> None:
        """Wait until a canary has at least that share of the traffic."""
        until(lambda: self.look().weight >= weight, f"{self.model}'s canary gets {weight} %", seconds=seconds)

    def until_settled(self, *, seconds: float = 180.0) -> None:
        """Wait until Argo CD calls the model's application Synced and Healthy, at main's own commit."""
        until(self.is_settled, f"{self.model} is Synced and Healthy at main", seconds=seconds)

    def is_settled(self) -> bool:
        status = self.application()["status"]
        good = status["sync"]["status"] == "Synced" and status["health"]["status"] == "Healthy"
        return good and bool(status["sync"].get("revision") == self.main())

    def application(self) -> dict[str, Any]:
        found: dict[str, Any] = self.platform.kubectl.within("argocd").get("application", self.model)
        return found

    def main(self) -> str:
        """Main's commit on the git server."""
        self._fetch()
        return self.builder.git("rev-parse", "origin/main")

    def said(self, count: int = 1) -> list[str]:
        """The subjects of main's newest commits that touch this model's release file, newest first."""
        self._fetch()
        at = f"gitops/apps/{self.model}/release"
        return self.builder.git("log", f"-{count}", "--format=%s", "origin/main", "--", at).splitlines()

    def serves(self) -> str:
        """The release that the primary's pods carry."""
        pods = self.kubectl.get("deployment", f"{self.model}-primary")["spec"]["template"]
        return str(pods["metadata"]["annotations"]["coalmine.dev/release"])

    def champion(self) -> str:
        """The version that MLflow's alias `champion` names; `` for none."""
        url = f"{self.builder.tracking}/api/2.0/mlflow/registered-models/alias"
        reply = _asked(url, {"name": self.model, "alias": "champion"})
        return str(reply.json()["model_version"]["version"]) if reply.status_code == 200 else ""

    def analyses(self) -> list[dict[str, Any]]:
        """The judge's analyses of this Canary, newest first."""
        url = f"http://{self.platform.address('judge', namespace=PLATFORM)}:8090/api/v1/analyses"
        given = {"namespace": self.model, "name": self.model}
        return list(_asked(url, given).raise_for_status().json())


def _asked(url: str, given: dict[str, str]) -> httpx.Response:
    """The answer, once there is one: `kubectl port-forward`, through which MLflow is asked, ends now and then."""
    for _ in range(30):
        with suppress(httpx.TransportError):
            return httpx.get(url, params=given, trust_env=False)
        time.sleep(1.0)
    return httpx.get(url, params=given, trust_env=False)


def aged(moment: Moment, seconds: float) -> bool:
    return time.time() - moment.t > seconds


def until(condition: Callable[[], bool], what: str, *, seconds: float = LONG) -> None:
    """Wait for a condition, which may raise while things are on their way. Raises Broken when it does not come."""
    deadline, why = time.monotonic() + seconds, ""
    while True:
        try:
            if condition():
                return
        except (CoalmineError, httpx.HTTPError, KeyError, AssertionError) as error:
            why = f": {error}"
        if time.monotonic() > deadline:
            raise Broken(f"after {seconds:.0f} s it is not so that {what}{why}")
        time.sleep(0.3)
