"""The key that signs prediction ids, where pods read it: `python -m coalmine.cluster.keys --to NS [--of NS]`, as a Job.

It is made once, in the platform's namespace, and copied into each tenant's. One that is there is never replaced: ids
given out under it would no longer be believed.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from coalmine.errors import CoalmineError, Temporary
from coalmine.feedback.token import KEY_BYTES

SECRET = "feedback-key"  # noqa: S105 - its name
KEY = "feedback.key"
_TRIES, _PAUSE = 60, 2.0  # seconds between two looks at a source that is not there yet


class Secrets(Protocol):
    """The two questions; see core.Core."""

    def secret(self, namespace: str, name: str) -> dict[str, bytes] | None: ...

    def make_secret(self, namespace: str, name: str, data: Mapping[str, bytes]) -> bool: ...


def hand_out(
    cluster: Secrets, *, to: str, of: str = "", tries: int = _TRIES, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Make the Secret in `to`, new or as it is in `of`; what was done. Raises Temporary while `of` has none."""
    if cluster.secret(to, SECRET) is not None:
        return "is there"
    if not of:
        return "made" if cluster.make_secret(to, SECRET, {KEY: secrets.token_bytes(KEY_BYTES)}) else "is there"
    for _ in range(tries):
        if (found := cluster.secret(of, SECRET)) is not None:
            return "copied" if cluster.make_secret(to, SECRET, found) else "is there"
        sleep(_PAUSE)
    raise Temporary(f"no {SECRET} in {of}, or it may not be read", where=to, remedy="see the tenant's grants.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """0: it is there; else the Job tries again."""
    reader = argparse.ArgumentParser(prog="python -m coalmine.cluster.keys", description="The key of prediction ids.")
    reader.add_argument("--to", required=True, help="the namespace that needs it")
    reader.add_argument("--of", default="", help="the namespace to copy it from; without it a new one is made")
    given = reader.parse_args(argv)
    from coalmine.cluster.core import Core  # noqa: PLC0415 - the client is an extra

    try:
        sys.stdout.write(f"{SECRET} in {given.to}: {hand_out(Core(), to=given.to, of=given.of)}\n")
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
