"""Main at a remote, reached with a deploy key: a clone under the state folder, fetch, and push with a lease.

The key's folder is laid out as Flux lays out its Secrets, so that one Secret serves both: `identity` and `known_hosts`
for ssh, `username` and `password` for https, `ca.crt` where the server's authority is one's own. Git reads these files
itself: nothing of them stands in an argument, the environment, the clone's configuration or a message.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from coalmine.errors import BadInput, Temporary
from coalmine.release.git import MAIN, Done, Repository, create_bare

_TRACKED = "refs/remotes/origin/main"
_TIMEOUT = 60.0  # seconds for a fetch or a push
_MOVED = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref")
# Reads the two files when git asks for a password, and only then.
_HELPER = '!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "$(cat {user})" "$(cat {secret})"; }}; f'


@dataclass(frozen=True, slots=True)
class Remote:
    """`heal.Main` at `url`, whose clone is `folder`. Several threads may use it; one at a time is at work."""

    url: str
    folder: Path
    credentials: Path | None = None
    _busy: Lock = field(default_factory=Lock)

    @property
    def repository(self) -> Repository:
        return Repository(self.folder, bare=True)

    def prepare(self) -> None:
        """Make the clone, or point an existing one here. Raises BadInput for a URL that holds a password."""
        if "://" in self.url and urlsplit(self.url).password:
            raise BadInput(
                "the repository's URL holds a password",
                where="--git",
                remedy="put `username` and `password` as files into the folder of --git-credentials",
            )
        create_bare(self.folder, hooks={})
        if self.repository.attempt("remote", "add", "origin", self.url).code:
            self.repository.run("remote", "set-url", "origin", self.url)

    def tip(self) -> str | None:
        """Main's commit as the remote has it now. Raises Temporary where it cannot be asked."""
        with self._busy:
            done = self._git("fetch", "--quiet", "--no-tags", "--prune", "origin", f"+{MAIN}:{_TRACKED}")
        if done.code and "couldn't find remote ref" in done.text:
            return None
        if done.code:
            raise Temporary(f"main cannot be fetched: {_last(done)}", where=self.url, remedy="it is tried again")
        return self.repository.commit(_TRACKED)

    def move(self, new: str, *, expected: str, why: str) -> bool:  # noqa: ARG002 - a remote keeps no reflog for us
        """Push `new` if main still is at `expected`. Raises Temporary with git's own words where the remote refuses:
        its key or its rule can be mended, and the healing is due until then.
        """
        lease = f"--force-with-lease={MAIN}:{expected}"
        with self._busy:
            done = self._git("push", "--porcelain", lease, "origin", f"{new}:{MAIN}")
        if done.code == 0:
            return True
        verdict = next((line for line in done.out.splitlines() if line.startswith("!")), "")
        if any(words in verdict for words in _MOVED):
            return False
        raise Temporary(
            f"the healing commit is not taken: {verdict.replace(chr(9), ' ') or _last(done)}",
            where=self.url,
            remedy="the deploy key must be allowed to write main; it is tried again",
        )

    def _git(self, *arguments: str) -> Done:
        environ = _access(self.credentials) if self.credentials else {}
        return self.repository.attempt(*arguments, environ=environ, timeout=_TIMEOUT)


def _access(folder: Path) -> dict[str, str]:
    """The environment that leads git to the files. Raises BadInput where the folder holds none of them."""
    given: dict[str, str] = {}
    settings: dict[str, str] = {}
    identity, hosts, user, secret, authority = (
        folder / name for name in ("identity", "known_hosts", "username", "password", "ca.crt")
    )
    if identity.exists():
        words = ["ssh", "-i", str(identity), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-F", "/dev/null"]
        words += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={hosts}", "-o", "ConnectTimeout=10"]
        given["GIT_SSH_COMMAND"] = shlex.join(words)
    elif secret.exists():
        settings["credential.helper"] = _HELPER.format(user=shlex.quote(str(user)), secret=shlex.quote(str(secret)))
    else:
        raise BadInput(
            "holds neither `identity` nor `password`",
            where=str(folder),
            remedy="mount a Secret with `identity` and `known_hosts`, or with `username` and `password`",
        )
    if authority.exists():
        settings["http.sslCAInfo"] = str(authority)
    given["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        given |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return given


def _last(done: Done) -> str:
    """Git's last word, which names the cause."""
    lines = [line.strip() for line in done.text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))]
    return (fatal or lines or [f"git ended with {done.code}"])[-1]
