"""Git by its own program, as far as releases need it: read at a commit, commit without a work tree, move a branch.

Nothing here knows what a release is. Commits are made beside work trees and indexes: a person's stay as they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import Broken, Missing, Temporary

MAIN = "refs/heads/main"
TIMEOUT = 60.0  # seconds; a local operation takes milliseconds, a push runs the check
NOTHING = "0" * 40  # git's name for "no object": an absent ref
_STALE_LOCK = 30.0  # seconds; git holds a ref's lock for milliseconds, so an older one was left by a killed git

# Other GIT_ variables tie git to one repository; inherited from a hook or an editor they would point it elsewhere.
_KEPT = (
    "GIT_ASKPASS",
    "GIT_AUTHOR_",
    "GIT_COMMITTER_",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_SSH",
    "GIT_TRACE",
)
_CONFIG = {
    "receive.denyNonFastForwards": "true",  # a second lock on main, should the hook ever be missing
    "receive.denyDeletes": "true",
    "receive.fsckObjects": "true",  # no `..`, no `.git` in a tree: the check writes some of it to a temporary folder
    "core.logAllRefUpdates": "true",
    "gc.auto": "0",  # nothing is collected while an attempt may still point at a commit
}


@dataclass(frozen=True, slots=True)
class Done:
    """How a git command ended; `text` is what it wrote for people."""

    code: int
    out: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree. `mode` as in git: 100644 file, 100755 executable, 120000 link, 160000 submodule."""

    path: str
    mode: str
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two trees; a mode of 000000 and a sha of zeros stand for absent."""

    path: str
    old_mode: str
    mode: str
    old_sha: str
    sha: str

    @property
    def deleted(self) -> bool:
        return self.mode == "000000"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository by its path. `in_hook`: run as git's own hook, so the objects of the push are still set apart."""

    path: Path
    bare: bool = False
    in_hook: bool = False

    def _kept(self, key: str) -> bool:
        return self.in_hook or not key.startswith("GIT_") or key.startswith(_KEPT)

    def attempt(
        self,
        *arguments: str,
        stdin: str = "",
        environ: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Done:
        """Run git and say how it ended. Raises Missing without git, Temporary after `timeout` seconds."""
        where = [] if self.in_hook else [f"--git-dir={self.path}"] if self.bare else ["-C", str(self.path)]
        kept = {key: value for key, value in os.environ.items() if self._kept(key)}
        try:
            done = subprocess.run(
                ["git", *where, *arguments],
                input=stdin.encode("utf-8", "surrogateescape"),
                capture_output=True,
                cwd=self.path if self.in_hook else None,
                env=kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"} | dict(environ or {}),
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise Missing("git is not installed", remedy="sudo apt-get install git") from error
        except subprocess.TimeoutExpired as error:
            raise Temporary(f"git {arguments[0]} took more than {timeout:.0f} s", where=str(self.path)) from error
        out, text = (part.decode("utf-8", "surrogateescape") for part in (done.stdout, done.stderr))
        return Done(done.returncode, out, text)

    def run(self, *arguments: str, stdin: str = "", environ: Mapping[str, str] | None = None) -> str:
        """What git printed. Raises Broken with git's own text where it failed."""
        done = self.attempt(*arguments, stdin=stdin, environ=environ)
        if done.code:
            said = (done.text or done.out).strip()
            raise Broken(f"git {arguments[0]} failed ({done.code}): {said}", where=str(self.path))
        return done.out

    # ---- reading ----------------------------------------------------------------------------------------------

    def commit(self, revision: str) -> str | None:
        """The full sha of a commit, or None where there is no such commit. Raises Broken without a repository."""
        done = self.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if done.code == 0:
            return done.out.strip() or None
        self.run("rev-parse", "--git-dir")  # a repository that cannot be read must not pass for one without the commit
        return None

    def ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old` (or is it)."""
        done = self.attempt("merge-base", "--is-ancestor", old, new)
        if done.code > 1:
            raise Broken(f"git merge-base failed: {done.text.strip()}", where=str(self.path))
        return done.code == 0

    def entries(self, revision: str, *under: str) -> list[Entry]:
        """Files, links and submodules at a commit, all or those under the given paths."""
        listed = self.run("ls-tree", "-r", "-z", "-l", "--full-tree", revision, "--", *under)
        found = []
        for line in filter(None, listed.split("\0")):
            facts, path = line.split("\t", 1)
            mode, _kind, sha, size = facts.split()
            found.append(Entry(path, mode, sha, 0 if size == "-" else int(size)))
        return found

    def blob(self, sha: str) -> str:
        """A file's content by its object's name; bytes that are no UTF-8 come as lone surrogates."""
        return self.run("cat-file", "blob", sha)

    def text(self, revision: str, path: str) -> str | None:
        """A regular file's content at a commit, or None."""
        for entry in self.entries(revision, path):
            if entry.path == path and entry.mode in {"100644", "100755"}:
                return self.blob(entry.sha)
        return None

    def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two commits' trees, whatever happened between; against nothing if `old` is zeros."""
        empty = self.run("hash-object", "-t", "tree", "--stdin") if old == NOTHING else old
        raw = self.run("diff-tree", "-r", "-z", "--raw", "--no-renames", empty.strip(), new).split("\0")
        found = []
        for facts, path in zip(raw[0::2], raw[1::2], strict=False):
            old_mode, mode, old_sha, sha, _status = facts.lstrip(":").split()
            found.append(Change(path, old_mode, mode, old_sha, sha))
        return found

    def trailer(self, span: Sequence[str], key: str, *, path: str = "") -> str | None:
        """Value of a trailer in the newest commit of `span` (as for `git log`) that has it; None where none has.

        With `path` only commits that touched it are looked at. An empty value is the empty text.
        """
        only = ["--", path] if path else []
        separated = f"--format=%x01%(trailers:key={key},unfold)"
        for block in self.run("log", separated, *span, *only).split("\x01"):
            for line in block.splitlines():
                name, colon, value = line.partition(":")
                if colon and name.strip().lower() == key.lower():
                    return value.strip()
        return None

    # ---- writing ----------------------------------------------------------------------------------------------

    def record(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        *,
        path: str,
        content: str | None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """A commit that is `tree` (any tree-ish) with one file written, or removed where `content` is None.

        Uses an index of its own: neither a work tree nor the person's index is touched, and no branch is moved.
        """
        with tempfile.TemporaryDirectory(prefix="coalmine-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.run("read-tree", tree, environ=index)
            if content is None:
                gone = f"0 {NOTHING}\t{path}\0"  # --force-remove wants a work tree
                self.run("update-index", "-z", "--index-info", stdin=gone, environ=index)
            else:
                sha = self.run("hash-object", "-w", "--stdin", stdin=content).strip()
                self.run("update-index", "--add", "--replace", "--cacheinfo", f"100644,{sha},{path}", environ=index)
            written = self.run("write-tree", environ=index).strip()
        named = [part for parent in parents for part in ("-p", parent)]
        arguments = ("-c", "i18n.commitEncoding=utf-8", "commit-tree", written, *named, "-F", "-")
        return self.run(*arguments, stdin=message, environ=environ).strip()

    def move(self, ref: str, new: str, *, expected: str, why: str) -> bool:
        """Move a branch if it still is at `expected` (zeros: absent). False if it is not any more.

        Raises Temporary while another git holds its lock; the lock of a killed one is cleared after 30 s.
        """
        done = self.attempt("update-ref", "--create-reflog", "-m", why, ref, new, expected)
        if done.code == 0:
            return True
        if (self.commit(ref) or NOTHING) != expected:
            return False
        self._clear_stale_lock(ref)
        raise Temporary(f"{ref} cannot be moved: {done.text.strip()}", where=str(self.path))

    def _clear_stale_lock(self, ref: str) -> None:
        lock = self.path / f"{ref}.lock"
        try:
            if time.time() - lock.stat().st_mtime > _STALE_LOCK:
                lock.unlink()
        except FileNotFoundError:
            return


def create_bare(path: Path, *, hooks: Mapping[str, str]) -> Repository:
    """Make the repository that is pushed to, or bring an existing one up to date; safe to repeat.

    Args:
        path: the repository's folder.
        hooks: content of each hook by name; others in the folder are left alone.
    """
    program = shutil.which("git")
    if program is None:
        raise Missing("git is not installed", remedy="sudo apt-get install git")
    path.mkdir(parents=True, exist_ok=True)
    repository = Repository(path, bare=True)
    repository.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--object-format=sha1")
    folder = path / "hooks"
    folder.mkdir(exist_ok=True)
    # A person's global core.hooksPath would take these hooks' place and let every push through.
    for key, value in {**_CONFIG, "core.hooksPath": str(folder.resolve())}.items():
        repository.run("config", key, value)
    for name, content in hooks.items():
        fresh = folder / f".{name}.{os.getpid()}"
        fresh.write_text(content, encoding="utf-8")
        fresh.chmod(0o755)
        fresh.rename(folder / name)
    return repository
