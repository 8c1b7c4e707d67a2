"""The long-running parts of one machine, as a list: what each is started with. The arms are apart, in `arms`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from coalmine.edge import process as nginx
from coalmine.edge.config import EdgeConfig
from coalmine.edge.render import render
from coalmine.feedback import capture
from coalmine.judge import tokens
from coalmine.local.supervisor import Part
from coalmine.release.answer import KEEP_INPUT_ENVIRONMENT, KEY_ENVIRONMENT, SKETCH_ENVIRONMENT, TIMEOUT_ENVIRONMENT
from coalmine.release.asker import HEADER_ENVIRONMENT, TENANTS_ENVIRONMENT
from coalmine.settings import Settings
from coalmine.tracing import ENDPOINT_ENVIRONMENT

# What a part may see of our environment: a token or a password in it is none of theirs.
PASSED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every part."""
    environ = os.environ if environ is None else environ
    kept = {name: environ[name] for name in PASSED if name in environ}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "MALLOC_ARENA_MAX": "2"}


def arm_environment(settings: Settings) -> dict[str, str]:
    """What an arm gets on top: paths, never secrets themselves."""
    return (
        environment()
        | traced(settings)
        | {
            KEY_ENVIRONMENT: str(settings.feedback_key),
            capture.ENVIRONMENT: str(settings.predictions),
            KEEP_INPUT_ENVIRONMENT: "1" if settings.keep_input else "0",
            TIMEOUT_ENVIRONMENT: str(settings.timeout_seconds),
            SKETCH_ENVIRONMENT: "1" if settings.keep_sketch else "0",
            HEADER_ENVIRONMENT: settings.tenant_header,
            TENANTS_ENVIRONMENT: ",".join(settings.tenants),
            "BENTOML_HOME": str(settings.bentoml_home),
            "BENTOML_DO_NOT_TRACK": "True",
        }
    )


def traced(settings: Settings) -> dict[str, str]:
    """Where spans go; nothing where none are wanted."""
    return {ENDPOINT_ENVIRONMENT: settings.otlp_endpoint} if settings.otlp_endpoint else {}


def stored(settings: Settings) -> dict[str, str]:
    """What reaches a lake on object storage; nothing where it is a folder."""
    known = os.environ if settings.lake.startswith("s3://") else {}
    return {name: value for name, value in known.items() if name.startswith("AWS_")}


def parts(settings: Settings, edge: EdgeConfig) -> list[Part]:
    """What `up` keeps running, in the order of starting."""
    env, ports = environment(), settings.ports
    python = [sys.executable, "-m"]
    found = [
        Part(
            "feedback",
            [*python, "coalmine.feedback.api", *_options(settings)],
            env | traced(settings),
        ),
        Part(
            "judge",
            [
                *[*python, "coalmine.judge", "--port", str(ports.judge), "--database", str(settings.judge_database)],
                *["--access-log", str(settings.access_log), "--feedback", str(settings.feedback_database)],
                *["--policies", str(settings.policies), "--tokens", str(settings.judge_tokens)],
                *["--drift", str(settings.state / "drift"), "--reports", str(settings.reports)],
                *["--replica-name", "up"],  # always the same: started again, it waits for nobody's lease
            ],
            env,
        ),
        # QUIT: requests in flight are answered first.
        Part(
            "nginx",
            nginx.command(edge),
            env,
            end=signal.SIGQUIT,
            reads=render(edge),
        ),
    ]
    if settings.drift_minutes:
        found.append(_looking(settings, env))
    if not settings.mlflow_uri:
        store, artifacts = settings.tracking_uri, str(settings.state / "mlflow" / "artifacts")
        found.append(
            Part(
                "mlflow",
                [
                    *[*python, "coalmine.local.mlflow_server", "--port", str(ports.mlflow)],
                    *["--store", store, "--artifacts", artifacts],
                ],
                env,
            )
        )
    return found


def _looking(settings: Settings, env: Mapping[str, str]) -> Part:
    """Drift and the lake, now and then. The model may be known from our environment alone."""
    where = ["--project", str(settings.project), "--state", str(settings.state)]
    every = ["--every", str(settings.drift_minutes * 60)]
    return Part(
        "looking",
        [sys.executable, "-m", "coalmine.local.looking", *every, *where],
        {**env, **stored(settings), "COALMINE_MODEL": settings.model},
    )


def ensure_judge_token(settings: Settings) -> None:
    """The owner of the state folder may override: the secret lies beside the judge's tokens, for the owner alone."""
    if not settings.judge_token.exists() or not settings.judge_tokens.exists():
        secret = tokens.add(settings.judge_tokens, "owner", may=tokens.RIGHTS)
        tokens.write_secret(settings.judge_token, secret)


def _options(settings: Settings) -> list[str]:
    return [
        *["--port", str(settings.ports.feedback), "--database", str(settings.feedback_database)],
        *["--key", str(settings.feedback_key)],
        *(word for origin in settings.cors_origins for word in ("--origin", origin)),
    ]
