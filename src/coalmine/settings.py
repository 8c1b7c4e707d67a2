"""One frozen Settings, read from `coalmine.toml` and the environment by `load()`; nothing is read at import."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coalmine.errors import BadInput

FILE = "coalmine.toml"
PYPROJECT = "pyproject.toml"  # its table [tool.coalmine] names the usual model of a project with several
Port = Annotated[int, Field(ge=1, le=65535)]


class Ports(BaseModel):
    """Everything listens on loopback unless `Settings.listen` says otherwise for the edge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    https: Port = 8443
    http: Port = 8080
    blue: Port = 8451
    green: Port = 8452
    judge: Port = 8460
    feedback: Port = 8461
    mlflow: Port = 8462

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Seven neighbouring ports from `base` on, in the order above: a second runtime on the same machine."""
        return cls.model_validate({name: base + step for step, name in enumerate(cls.model_fields)})


class Settings(BaseModel):
    """Where things are. What a release must satisfy is policy and lies in `flagger/`, not here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: Path
    state: Path
    model: str = ""
    env: str = "local"
    listen: str = "127.0.0.1"
    server_names: tuple[str, ...] = ("localhost",)
    ports: Ports = Ports()
    sticky_header: str = ""  # for example "X-User-Id": a user stays on the arm
    sticky_cookie: str = ""
    rate_per_second: int = Field(default=2000, ge=1)  # for each client address; above it 429
    body_limit: str = Field(default="64k", pattern=r"^[0-9]+[km]?$")
    timeout_seconds: int = Field(default=10, ge=1, le=300)  # a prediction's; the edge waits a second longer
    keep_input: bool = True  # false: predictions are logged with their input's digest only
    keep_sketch: bool = False  # true: they are logged with eight numbers that stand for the input's features
    keep_days: int = Field(default=365, ge=1)  # in the lake; older rows go with the next `coalmine lake compact`
    keep_log_days: int = Field(default=30, ge=1)  # a prediction log's file, once the lake has it
    tenant_header: str = ""  # for example "X-Tenant", set by a gateway of yours; empty: there are no tenants
    tenants: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], ...] = ()
    cors_origins: tuple[Annotated[str, Field(pattern=r"^https?://[^/\s]+$")], ...] = ()  # pages that may send feedback
    certificate: Path | None = None  # your own instead of the local CA's: a PEM (chain, then key), or certbot's folder
    otlp_endpoint: str = ""  # where spans are sent by OTLP/HTTP; empty: nothing is traced
    trace_percent: int = Field(default=100, ge=1, le=100)  # of the requests without a traceparent of their own
    drift_minutes: float = Field(default=5, ge=0)  # between two looks of `up`; 0: it takes none
    mlflow_uri: str = ""  # a tracking server elsewhere; empty: SQLite in the state folder
    lake: str = ""  # s3://bucket/prefix, or a folder; empty: `lake` in the state folder

    # Where each part keeps its things: written once here so that no two modules spell a path.
    @property
    def bare_repository(self) -> Path:
        return self.state / "git" / "coalmine.git"

    @property
    def database(self) -> Path:
        return self.state / "coalmine.db"

    @property
    def judge_database(self) -> Path:
        return self.state / "judge.db"

    @property
    def feedback_database(self) -> Path:
        return self.state / "feedback.db"

    @property
    def feedback_key(self) -> Path:
        return self.state / "secrets" / "feedback.key"

    @property
    def judge_tokens(self) -> Path:
        return self.state / "secrets" / "judge-tokens.json"

    @property
    def judge_token(self) -> Path:
        return self.state / "secrets" / "judge.token"

    @property
    def access_log(self) -> Path:
        return self.state / "logs" / "access.jsonl"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def edge(self) -> Path:
        return self.state / "edge"

    @property
    def tls(self) -> Path:
        return self.state / "tls"

    @property
    def acme(self) -> Path:
        return self.state / "acme"

    @property
    def policies(self) -> Path:
        return self.state / "policies"

    @property
    def predictions(self) -> Path:
        return self.state / "predictions"

    @property
    def lake_url(self) -> str:
        """Where the Delta tables lie: a URL of object storage, or a folder's path."""
        return self.lake or str(self.state / "lake")

    @property
    def ingest(self) -> Path:
        """How far this machine's files have been taken into the lake."""
        return self.state / "ingest"

    @property
    def steps(self) -> Path:
        """What steps by hand leave for the next; those of a run lie in its own folder."""
        return self.state / "steps"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def bentoml_home(self) -> Path:
        return self.state / "bentoml"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_uri or f"sqlite:///{self.state}/mlflow/mlflow.db"

    @property
    def namespace(self) -> str:
        """Where the judge keeps this model's analyses: on one machine each model is its own."""
        return self.model

    @property
    def canary(self) -> str:
        """The Canary's name there."""
        return self.model

    @property
    def judge_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.judge}"

    @property
    def mlflow_url(self) -> str:
        return self.mlflow_uri or f"http://127.0.0.1:{self.ports.mlflow}"


def find_project(start: Path) -> Path:
    """The nearest folder upward from `start` that holds `bentos/`. Raises BadInput where there is none."""
    for folder in (start, *start.parents):
        if (folder / "bentos").is_dir():
            return folder
    raise BadInput(
        f"no folder `bentos/` in {start} or above it",
        remedy="run coalmine inside a clone of your project, or name it with --project",
    )


def load(
    *, project: Path | None = None, state: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read `<project>/coalmine.toml`, then COALMINE_MODEL, _STATE and _PORT_BASE, then the arguments: the later wins.

    COALMINE_PROJECT names the project where no argument does.

    Where none names a model, `[tool.coalmine]` in pyproject.toml may, and else there must be only one.

    Raises:
        BadInput: an unknown key, a value of the wrong kind, a file that is no TOML; the message names it.
    """
    environ = os.environ if environ is None else environ
    named_project = project or (Path(environ["COALMINE_PROJECT"]) if environ.get("COALMINE_PROJECT") else None)
    root = (named_project or find_project(Path.cwd())).resolve()
    path = root / FILE
    given: dict[str, object] = {}
    if path.exists():
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(str(error), where=str(path), remedy="write it as TOML") from error
    named = state or (Path(environ["COALMINE_STATE"]) if environ.get("COALMINE_STATE") else None)
    chosen = named or Path(str(given.pop("state", ".coalmine")))
    given.pop("state", None)
    given |= {"project": root, "state": chosen if chosen.is_absolute() else (root / chosen).resolve()}
    if isinstance(own := given.get("certificate"), str):
        given["certificate"] = root / own  # whatever folder one is in
    given["model"] = environ.get("COALMINE_MODEL") or given.get("model") or _usual_model(root) or _only_model(root)
    try:
        if base := environ.get("COALMINE_PORT_BASE"):
            given["ports"] = Ports.from_base(_number("COALMINE_PORT_BASE", base))
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{key}: {first['msg']}", where=str(path), remedy="see docs/reference/settings.md") from error


def _number(name: str, text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise BadInput(f"{text!r} is no number", where=name, remedy="give the first of seven free ports, for example 18443")


def _usual_model(root: Path) -> str:
    path = root / PYPROJECT
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("coalmine", {})
    except FileNotFoundError:
        return ""
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=str(path), remedy="write it as TOML") from error
    if unknown := sorted(set(table) - {"model"}):
        raise BadInput(f"unknown key {unknown[0]!r} in [tool.coalmine]", where=str(path), remedy="`model` alone")
    return str(table.get("model", ""))


def _only_model(root: Path) -> str:
    bentos = root / "bentos"
    models = sorted(p.name for p in bentos.iterdir() if (p / "service.py").exists()) if bentos.is_dir() else []
    if len(models) == 1:
        return models[0]
    raise BadInput(
        f"{len(models)} models in {root / 'bentos'}: {', '.join(models) or 'none'}",
        where=str(root / FILE),
        remedy='say which one: model = "<name>" in coalmine.toml, or COALMINE_MODEL=<name> before the command',
    )
