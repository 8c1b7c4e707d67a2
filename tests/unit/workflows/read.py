"""The workflows of `.github/`, read: jobs, steps, scripts, and the commands that scripts call."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".github" / "workflows"


@dataclass(frozen=True, slots=True)
class Job:
    """`data` is the job's mapping; `steps` its list."""

    workflow: str
    name: str
    data: dict[str, Any]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return list(self.data["steps"])

    def __str__(self) -> str:
        return f"{self.workflow}:{self.name}"


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.yml"))


def workflow(path: Path) -> dict[str, Any]:
    """Its mapping; the key `on`, which YAML reads as true, comes back as `on`."""
    made: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {("on" if key is True else str(key)): value for key, value in made.items()}


def jobs() -> list[Job]:
    return [Job(path.name, name, job) for path in files() for name, job in workflow(path)["jobs"].items()]


def scripts() -> Iterator[tuple[Job, str]]:
    """Each step's `run`."""
    for job in jobs():
        for step in job.steps:
            if "run" in step:
                yield job, str(step["run"])


def commands(script: str) -> Iterator[list[str]]:
    """Words of each simple command of a script, in substitutions too; not what stands before it (variables, `sudo`)."""
    text = script.replace("\\\n", " ")
    inner = re.findall(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text)
    for part in inner:
        yield from commands(part)
    plain = re.sub(r"\$\((?:[^()]*(?:\([^()]*\)[^()]*)*)\)", "substituted", text)
    for line in plain.splitlines():
        for one in _split(line):
            words = list(dropwhile(lambda word: word in {"sudo", "env"} or re.match(r"[A-Za-z_]+=", word), one))
            if words:
                yield words


def _split(line: str) -> Iterator[list[str]]:
    """At pipes and the like; a redirection and its file are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if set(word) <= set("<>"):
            next(lexer, None)
        elif set(word) <= set(";|&"):
            yield found
            found = []
        else:
            found.append(word)
    yield found
