"""Where the closer finds everything, and one Canary's settings for the steps that one machine takes too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coalmine.settings import Settings

CLONE = "main.git"


@dataclass(frozen=True, slots=True)
class Options:
    """`namespaces` empty: all of them. Folders of secrets are None where there are none. Times are seconds."""

    state: Path
    git: str
    judge: str
    namespaces: tuple[str, ...] = ()
    mlflow: str = ""
    env: str = "production"
    credentials: Path | None = None
    notify: Path | None = None
    judge_token: Path | None = None
    public: str = ""  # where people reach the closer's reports
    lease: str = ""  # namespace/name
    host: str = "0.0.0.0"  # noqa: S104 - in a pod; a NetworkPolicy says who reaches it
    port: int = 8462
    poll: float = 10.0
    grace: float = 30.0  # how long an ended attempt waits for the judge's word before it is closed without

    @property
    def clone(self) -> Path:
        return self.state / CLONE

    @property
    def database(self) -> Path:
        return self.state / "closer.db"


class Place(Settings):
    """One Canary's corner of the state folder. Its model may be called otherwise than itself."""

    judge_uri: str
    canary_namespace: str
    canary_name: str
    clone: Path

    @property
    def namespace(self) -> str:
        return self.canary_namespace

    @property
    def canary(self) -> str:
        return self.canary_name

    @property
    def judge_url(self) -> str:
        return self.judge_uri

    @property
    def bare_repository(self) -> Path:
        return self.clone


def place(options: Options, key: str, *, model: str, env: str) -> Place:
    """Settings for `namespace/name`."""
    namespace, _, name = key.partition("/")
    return Place(
        project=options.clone,
        state=options.state / "canaries" / namespace / name,
        model=model,
        env=env,
        mlflow_uri=options.mlflow,
        judge_uri=options.judge,
        canary_namespace=namespace,
        canary_name=name,
        clone=options.clone,
    )
