"""Fenced blocks of the documentation, and a shell that runs console blocks as a reader would type them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^>]*) -->\n)?^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `note` is the comment just above it, which says how a test runs it."""

    kind: str
    text: str
    note: str = ""

    @property
    def commands(self) -> list[str]:
        """What a reader types: the lines after the prompt."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page: Path, kind: str = "") -> list[Block]:
    """The page's blocks in order, of one kind or of all."""
    found = (
        Block(match["kind"], match["text"], match["note"] or "")
        for match in _FENCE.finditer(page.read_text(encoding="utf-8"))
    )
    return [block for block in found if kind in ("", block.kind)]


class Shell:
    """One bash for a whole page, with job control, so that `&` and `kill %1` mean what they mean to a reader."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.run("set -m")

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output, both streams together."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f'{{ {command}\n}} < /dev/null\necho "@@done $?"\n')
        self._bash.stdin.flush()
        said: list[str] = []
        for line in self._bash.stdout:
            before, mark, code = line.partition("@@done ")
            said.append(before)
            if mark:
                return int(code), "".join(said)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(said)}")

    def close(self) -> None:
        """End it with its jobs."""
        if self._bash.poll() is None and self._bash.stdin is not None:
            self._bash.stdin.write("kill $(jobs -p) 2> /dev/null\nexit\n")
            self._bash.stdin.close()
        self._bash.wait(timeout=30)
        if self._bash.stdout is not None:
            self._bash.stdout.close()
