"""Where a report's commit and run can be looked at, if that is known: a link to nowhere is worse than none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coalmine.errors import CoalmineError
from coalmine.release.git import Repository
from coalmine.settings import Settings

_WEB = re.compile(
    r"^(?:https?://(?:[^@/]+@)?|(?:ssh://)?git@)(?P<host>[^/:]+(?::\d+(?=/))?)[/:](?P<path>.+?)(?:\.git)?/?$"
)


def find(settings: Settings, *, commit: str, release: Mapping[str, Any]) -> list[dict[str, str]]:
    """`{field, href}` for the commit, the code, the run and the model's version, those that a browser can open."""
    found = []
    if settings.mlflow_url.startswith(("http://", "https://")):
        base = settings.mlflow_url.rstrip("/")
        if run := release.get("run_id"):
            found.append({"field": "run_id", "href": f"{base}/#/runs/{run}"})
        if version := release.get("model_version"):
            found.append({"field": "model_version", "href": f"{base}/#/models/{release['model']}/versions/{version}"})
    for field, sha in (("commit", commit), ("git_sha", str(release.get("git_sha") or ""))):
        if href := _published(settings, sha):
            found.append({"field": field, "href": href})
    return found


def _published(settings: Settings, sha: str) -> str:
    """The commit's page at the project's `origin`, if a branch there is known to hold it."""
    if not re.fullmatch(r"[0-9a-f]{7,40}", sha):
        return ""
    project = Repository(settings.project)
    try:
        held = project.attempt("branch", "--remotes", "--list", "origin/*", "--contains", sha)
        remote = project.attempt("remote", "get-url", "origin")
    except CoalmineError:
        return ""
    web = _WEB.match(remote.out.strip())
    if held.code or remote.code or not held.out.strip() or web is None:
        return ""
    return f"https://{web['host']}/{web['path']}/commit/{sha}"
