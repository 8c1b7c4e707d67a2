"""nginx configurations, templates among them, as directives with the blocks around them. Enough to look, not to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import basename
from typing import TYPE_CHECKING

from coalmine.lint.rule import Hit

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate, File, Obj

OPAQUE = "__filled_in_later__"
_TOKEN = re.compile(
    r"""\s+|(?P<word>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s{};"'][^\s{};]*)|(?P<mark>[{};])|(?P<odd>.)"""
)
_INCLUDE = re.compile(r"""(?:\{%-?\s*include\s+["'](?P<jinja>[^"']+)["']\s*-?%\}|^\s*include\s+(?P<nginx>[^;*]+);)""")
_ENDINGS = (".conf", ".conf.j2", ".conf.template", ".nginx")


@dataclass(frozen=True, slots=True)
class Directive:
    """`words[0]` is its name; `around` the blocks from the outermost, each by its own words."""

    words: tuple[str, ...]
    around: tuple[tuple[str, ...], ...]
    line: int
    source: str = ""  # the included file that it stands in; empty for the outermost

    @property
    def name(self) -> str:
        return self.words[0]


@dataclass(frozen=True, slots=True)
class Conf:
    """One configuration with all that it includes."""

    directives: tuple[Directive, ...]
    file: File | None = None
    obj: Obj | None = None
    key: str = ""
    others: Mapping[str, File] = field(default_factory=dict)

    def named(self, *names: str) -> Iterator[Directive]:
        yield from (one for one in self.directives if one.name in names)

    def in_force(self, name: str, at: Directive) -> Directive | None:
        """The innermost directive of this name that holds where `at` stands."""
        holding = [one for one in self.named(name) if one.around == at.around[: len(one.around)]]
        return max(holding, key=lambda one: len(one.around), default=None)

    def hit(self, at: Directive, what: str) -> Hit:
        if self.file is not None:
            return self.others.get(at.source, self.file).hit(at.line, what)
        return Hit(f"line {at.line}: {what}", obj=self.obj, path=("data", at.source or self.key))


def confs(estate: Estate) -> Iterator[Conf]:
    """Those that proxy to something and that no other includes."""
    files = {basename(file.path): file for file in estate.named(*_ENDINGS)}
    included = {basename(name) for file in files.values() for name in _includes(file.text)}
    for file in estate.named(*_ENDINGS):
        if basename(file.path) not in included:
            found = _read(file.text, {name: one.text for name, one in files.items()})
            if any(one.name == "proxy_pass" for one in found):
                yield Conf(found, file=file, others=files)
    for obj, path, text in estate.texts():
        if "proxy_pass" in text:
            others = {str(key): str(value) for key, value in obj.data["data"].items()}
            yield Conf(_read(text, others), obj=obj, key=str(path[-1]))


def _includes(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for match in _INCLUDE.finditer(line):
            yield (match["jinja"] or match["nginx"]).strip()


def _read(text: str, others: Mapping[str, str]) -> tuple[Directive, ...]:
    return tuple(_directives(list(_lines(text, others, source="", depth=0))))


def _lines(text: str, others: Mapping[str, str], *, source: str, depth: int) -> Iterator[tuple[str, int, str]]:
    """Lines with their file and number; what is included stands where it is included."""
    for number, line in enumerate(text.splitlines(), start=1):
        names = [basename(name) for name in _includes(line)]
        if names and names[0] in others and depth < 8:
            yield from _lines(others[names[0]], others, source=names[0], depth=depth + 1)
        else:
            plain = re.sub(r"\{\{.*?\}\}", OPAQUE, re.sub(r"\{%.*?%\}|\{#.*?#\}", "", line))
            yield source, number, re.sub(r"(^|\s)#.*$", "", plain)


def _directives(lines: list[tuple[str, int, str]]) -> Iterator[Directive]:
    around: list[tuple[str, ...]] = []
    words: list[str] = []
    for source, number, line in lines:
        for match in _TOKEN.finditer(line):
            if match["word"]:
                words.append(match["word"].strip("\"'"))
            elif match["mark"] == "{":
                around.append((*words, f"{source}:{number}:{match.start()}"))
                words = []
            elif match["mark"] in (";", "}"):
                if words:
                    yield Directive(tuple(words), tuple(around), number, source)
                words = []
                if match["mark"] == "}" and around:
                    around.pop()
