"""What the repository asks of Python packages: lower bounds in pyproject.toml, requirements and bentofile.yaml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coalmine.lint.tree import mapping

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate, File

_ENDINGS = ("pyproject.toml", ".txt", ".cfg", "bentofile.yaml")
_BOUND = re.compile(r"(?P<how>>=|==|~=|>|<=|<|!=)\s*(?P<version>\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line that asks for a package. `least` is the lowest version that it lets in, None without a bound."""

    file: File
    line: int
    text: str
    least: tuple[int, ...] | None


def wanted(estate: Estate, package: str) -> Iterator[Wanted]:
    """Every requirement of a package, extras and markers passed over."""
    pattern = re.compile(
        rf"\s*-?\s*[\"']?{package}(?:\[[\w,\s-]*\])?\s*(?P<bounds>(?:[<>=!~][^;#\"'@]*)?)(?:[;#\"'@]|$)"
    )
    for file in estate.named(*_ENDINGS):
        for line, text in _requirements(file):
            match = pattern.match(text)
            if match:
                bounds = [one for one in _BOUND.finditer(match["bounds"]) if one["how"] in (">=", "==", "~=", ">")]
                least = max((number_of(one["version"]) for one in bounds), default=None)
                yield Wanted(file, line, text.strip(" -\"'"), least)


def _requirements(file: File) -> Iterator[tuple[int, str]]:
    """Of a pyproject.toml those of its lists, of another file each line."""
    if not file.path.endswith(".toml"):
        yield from file.lines()
        return
    try:
        data = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError:
        return
    project, groups = mapping(data, "project"), mapping(data, "dependency-groups")
    lists = [project.get("dependencies"), *mapping(project, "optional-dependencies").values(), *groups.values()]
    texts = {text for one in lists for text in one or [] if isinstance(text, str)}
    for number, line in file.lines():
        yield from ((number, text) for text in texts if f'"{text}"' in line or f"'{text}'" in line)


def number_of(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
