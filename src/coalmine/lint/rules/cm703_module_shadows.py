"""CM703: a module of the Pulumi program that hides another."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity

_TAKEN = {
    "secrets", "platform", "kubernetes", "logging", "types", "random", "json", "queue", "calendar", "select", "signal",
    "token", "string", "copy", "code", "email", "http", "numbers", "operator", "profile", "resource", "statistics",
    "pulumi", "pulumi_kubernetes", "yaml", "requests", "grpc", "semver", "dill", "six",
}  # fmt: skip


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.named(".py"):
        parts = file.path.removesuffix(".py").split("/")
        if parts[0] == "infra" and len(parts) == 2 and parts[-1] in _TAKEN:
            yield file.hit(1, f"`import {parts[-1]}` means this file in the whole program")


RULE = Rule(
    id="CM703",
    title="Module that hides another",
    severity=Severity.ERROR,
    reason="Pulumi runs the program with its own folder first on the path: a module of the standard library's or a "
    "dependency's name breaks imports far away.",
    remedy="Call it otherwise: `credentials`, `base_system`, `cluster`.",
    source="Python, sys.path; Pulumi's language host runs __main__.py in its folder",
    check=check,
    good="# file: infra/credentials.py\nKEY = 1\n",
    bad="# file: infra/secrets.py\nKEY = 1\n",
)
