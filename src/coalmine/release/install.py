"""The repository that one pushes to, with the hooks that check a push; `coalmine up` brings it up to date each time."""

from __future__ import annotations

import shlex
import sys

from coalmine.release.git import Repository, create_bare
from coalmine.settings import Settings

REMOTE = "coalmine"  # what a checkout calls it
_HOOK = """#!/bin/sh
# Written by `coalmine up`. It runs the installed package, never code from the pushed tree.
if [ ! -x {python} ]; then
    echo "coalmine: refused: the interpreter of this hook is gone" >&2
    echo "  remedy: run 'coalmine up' again, it writes the hook anew" >&2
    exit 1
fi
exec {python} -I -m coalmine.release.check --ledger {ledger} --env {env}{after}
"""


def install(settings: Settings) -> Repository:
    """Make or mend the bare repository in the state folder. Safe to repeat; raises Missing without git."""
    words = {
        "python": shlex.quote(sys.executable),
        "ledger": shlex.quote(str(settings.database)),
        "env": shlex.quote(settings.env),
    }
    hooks = {"pre-receive": _HOOK.format(**words, after=""), "post-receive": _HOOK.format(**words, after=" --after")}
    return create_bare(settings.bare_repository, hooks=hooks)


def connect(checkout: Repository, settings: Settings) -> None:
    """Name the bare repository `coalmine` among a checkout's remotes; one of that name elsewhere is pointed here."""
    url = str(settings.bare_repository)
    if checkout.attempt("remote", "add", REMOTE, url).code:
        checkout.run("remote", "set-url", REMOTE, url)
