"""What one nginx needs to know, frozen and checked: everything that a template may read.

The checks are here because a value lands inside a configuration file: a quote or a `$` in a path would be read
by nginx as syntax, so it is refused by name and never escaped by guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from coalmine.errors import BadInput
from coalmine.settings import Settings

_UNSAFE_IN_PATH = re.compile(r"[\"'$\\{};\s\x00-\x1f]")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_ADDRESS = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}\Z")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")
_COOKIE = re.compile(r"[A-Za-z0-9_]+\Z")
_SIZE = re.compile(r"(?P<number>[0-9]+)(?P<unit>[km]?)\Z")
_TOKEN = re.compile(r"[A-Za-z0-9._-]*\Z")
_FEEDBACK_PATH = "/feedback"
_BODY_IN_MEMORY = 1 << 20  # bytes; a larger body is spooled below the state folder
_INTERNAL = ("/metrics", "/readyz", "/livez", "/healthz")


@dataclass(frozen=True, slots=True)
class Fixed:
    """One arm behind this nginx, as in a pod: the gateway before it has split, nothing is left to choose."""

    arm: str
    release: str


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """One edge. Sizes in nginx's notation (`64k`), times in seconds, addresses as `host:port`.

    `split` is the folder that holds the link `current` (see split.py); with `fixed` it is not read and all goes
    to `blue`. `certificates` is the folder that holds the link `current` (see certificates.py), or with
    `mounted_secret` a Kubernetes Secret of type tls. An `http_port` of 0 means no redirect to TLS, an empty `feedback`
    that votes come in elsewhere.
    """

    state: Path  # nginx's own: configuration, pid, temporary files
    split: Path
    certificates: Path
    logs: Path
    access_log: Path
    listen: str
    https_port: int
    http_port: int
    server_names: tuple[str, ...]
    blue: str
    green: str
    feedback: str
    prediction_paths: tuple[str, ...]
    timeout_seconds: int = 10
    body_limit: str = "64k"
    rate_per_second: int = 2000
    burst: int = 2000
    connections_per_address: int = 1000
    sticky_header: str = ""
    sticky_cookie: str = ""
    user_salt: str = ""  # makes the logged hash of a sticky key useless to whoever does not have it
    workers: int | None = 1  # None: one for each core
    connections: int = 4096
    user: str = ""
    hsts_seconds: int = 0
    client_timeout: int = 10
    upstream_idle: int = 60  # below the arm's own keep-alive (75 s and more), or a request meets a closing connection
    fixed: Fixed | None = None
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is believed; none on one machine
    unbuffered_log: bool = True
    mounted_secret: bool = False
    acme: Path | None = None  # an ACME client's webroot, served on the plain port
    errors_to: Path | None = None  # instead of a file beside the other logs
    probe_port: int = 0  # a pod's: /livez and /readyz of the one arm; with it goes the next
    metrics_port: int = 0
    trace_percent: int = 0  # of the requests that come without a traceparent, which one is made for and recorded
    body_buffer: str = field(init=False, default="64k")

    def __post_init__(self) -> None:
        _check_paths(self)
        _check_names(self)
        object.__setattr__(self, "body_buffer", _buffer(self.body_limit))

    @property
    def conf(self) -> Path:
        return self.state / "nginx.conf"

    @property
    def pid(self) -> Path:
        return self.state / "nginx.pid"

    @property
    def error_log(self) -> Path:
        return self.errors_to or self.logs / "nginx-error.log"

    @property
    def upstreams(self) -> tuple[tuple[str, str], ...]:
        """Name and address of all that nginx passes requests to."""
        arms = (("blue", self.blue),) if self.fixed else (("blue", self.blue), ("green", self.green))
        return (*arms, ("feedback", self.feedback)) if self.feedback else arms

    @property
    def url(self) -> str:
        return f"https://{self.server_names[0]}:{self.https_port}"


def from_settings(
    settings: Settings, *, prediction_paths: tuple[str, ...] = ("/predict",), user: str = "", user_salt: str = ""
) -> EdgeConfig:
    """The one-machine edge. Raises BadInput, naming the field.

    `user` is what process.worker_user() says, `user_salt` what process.user_salt(settings.edge) says.
    """
    ports = settings.ports
    return EdgeConfig(
        state=settings.edge,
        split=settings.edge,
        certificates=settings.tls,
        logs=settings.logs,
        access_log=settings.access_log,
        listen=settings.listen,
        https_port=ports.https,
        http_port=ports.http,
        server_names=settings.server_names,
        blue=f"127.0.0.1:{ports.blue}",
        green=f"127.0.0.1:{ports.green}",
        feedback=f"127.0.0.1:{ports.feedback}",
        prediction_paths=prediction_paths,
        timeout_seconds=settings.timeout_seconds,
        body_limit=settings.body_limit,
        rate_per_second=settings.rate_per_second,
        burst=settings.rate_per_second,
        sticky_header=settings.sticky_header,
        sticky_cookie=settings.sticky_cookie,
        user_salt=user_salt,
        user=user,
        acme=settings.acme,
        trace_percent=settings.trace_percent if settings.otlp_endpoint else 0,
    )


def _check_paths(config: EdgeConfig) -> None:
    for name in ("state", "split", "certificates", "logs", "access_log", "errors_to", "acme"):
        path: Path | None = getattr(config, name)
        if path is None:
            continue
        if not path.is_absolute() or _UNSAFE_IN_PATH.search(str(path)):
            raise BadInput(
                f"{str(path)!r} can't stand in nginx's configuration",
                where=f"edge.{name}",
                remedy="choose an absolute state folder without spaces, quotes, `$`, braces and `;`",
            )


def _check_names(config: EdgeConfig) -> None:
    for path in config.prediction_paths:
        if not _URL_PATH.match(path) or path == _FEEDBACK_PATH or path in _INTERNAL:
            raise BadInput(
                f"{path!r} can't be a prediction path",
                where="edge.prediction_paths",
                remedy="a path such as /predict; /feedback, /metrics and probes are not for clients",
            )
    checks = (
        ("prediction_paths", bool(config.prediction_paths), "name at least one path"),
        ("server_names", bool(config.server_names), "name at least one host"),
        ("server_names", all(_HOST.match(n) for n in config.server_names), "plain host names or addresses"),
        ("listen", _is_address(config.listen), "an IP address, for example 127.0.0.1"),
        ("sticky_header", _optional(_HEADER, config.sticky_header), "a header's name, for example X-User-Id"),
        ("sticky_cookie", _optional(_COOKIE, config.sticky_cookie), "letters, digits and _ only"),
        ("body_limit", _SIZE.match(config.body_limit) is not None, "for example 64k"),
        ("user_salt", _TOKEN.match(config.user_salt) is not None, "letters, digits, `.`, `_` and `-` only"),
        ("user", _TOKEN.match(config.user) is not None, "a system user's name"),
        (
            "trusted_proxies",
            all(re.match(r"[0-9a-fA-F.:/]+\Z", p) for p in config.trusted_proxies),
            "addresses or CIDR",
        ),
        ("fixed", config.fixed is None or _fixed(config.fixed), "letters, digits, `.`, `_` and `-` only"),
        ("probe_port", not config.probe_port or config.fixed is not None, "probes are of one arm: only in a pod"),
        ("trace_percent", 0 <= config.trace_percent <= 100, "0 to 100"),
        ("probe_port", bool(config.probe_port) == bool(config.metrics_port), "both ports, or neither"),
        ("blue", _ADDRESS.match(config.blue) is not None, "host:port"),
        ("green", config.fixed is not None or _ADDRESS.match(config.green) is not None, "host:port"),
        ("feedback", _optional(_ADDRESS, config.feedback), "host:port"),
    )
    for name, good, remedy in checks:
        if not good:
            raise BadInput(f"{getattr(config, name)!r} can't be used", where=f"edge.{name}", remedy=remedy)


def _optional(pattern: re.Pattern[str], text: str) -> bool:
    return not text or pattern.match(text) is not None


def _fixed(fixed: Fixed) -> bool:
    return _TOKEN.match(fixed.arm) is not None and _TOKEN.match(fixed.release) is not None


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _buffer(limit: str) -> str:
    match = _SIZE.match(limit)
    if match is None:  # refused before; kept so that no value slips through by a change of order
        raise BadInput(f"{limit!r} is no size", where="edge.body_limit", remedy="for example 64k")
    size = int(match["number"]) * {"": 1, "k": 1024, "m": 1 << 20}[match["unit"]]
    return str(min(max(size, 1024), _BODY_IN_MEMORY))
