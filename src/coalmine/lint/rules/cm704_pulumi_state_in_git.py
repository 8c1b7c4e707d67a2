"""CM704: the state of Pulumi's file backend is in the repository."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity


def check(estate: Estate) -> Iterator[Hit]:
    yield from (file.hit(1, "state of the file backend") for file in estate.files if "/.pulumi/" in f"/{file.path}")


RULE = Rule(
    id="CM704",
    title="Pulumi's state in git",
    severity=Severity.ERROR,
    reason="The state holds every output, secrets among them, and two clones of it diverge at the first `pulumi up`. "
    "`Pulumi.<stack>.yaml`, which holds the encryption salt, does belong into git.",
    remedy="Ignore `.pulumi/`, and keep the state in a backend.",
    source="Pulumi, state and backends",
    check=check,
    good="# file: infra/Pulumi.bench.yaml\nencryptionsalt: v1:abc\n",
    bad='# file: infra/.pulumi/stacks/bench.json\n{"version": 3}\n',
)
