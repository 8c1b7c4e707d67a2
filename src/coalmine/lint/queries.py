"""Every PromQL expression in an estate: MetricTemplates, PrometheusRules, rule files and dashboards in ConfigMaps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from coalmine.lint.objects import Obj
from coalmine.lint.tree import Path, mapping, maps, strings

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate

_STRING = re.compile(r"""\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`""")
_DROPPED = re.compile(
    r"\{[^{}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|#[^\n]*|\$\{?\w+(?::\w+)?\}?"
)
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()(?![\w:])")
_WORDS = {
    "and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf",
    "nan", "start", "end", "atan2", "e", "le",
}  # fmt: skip
_UNITS = re.compile(r"\b\d+(?:\.\d+)?(?:e[+-]?\d+|ms|s|m|h|d|w|y)?\b|\b0x[0-9a-f]+\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and where it stands; `title` says where in the file, for people."""

    obj: Obj
    path: Path
    text: str
    title: str = ""
    records: str = ""


def queries(estate: Estate) -> Iterator[Query]:
    """All of them. A file that cannot be read holds none."""
    for template in estate.kind("MetricTemplate"):
        kind = template.text("spec", "provider", "type")
        if kind in ("prometheus", ""):
            yield Query(template, ("spec", "query"), template.text("spec", "query"))
    for rules in estate.kind("PrometheusRule"):
        yield from _groups(rules, rules.data.get("spec"), ("spec",), title="")
    for obj, path, text in estate.texts():
        key = str(path[-1])
        if key.endswith((".yaml", ".yml", ".rules")) and "groups:" in text:
            yield from _groups(obj, _loaded(text), path, title=f"{key}: ")
        if key.endswith(".json") and "expr" in text:
            yield from _panels(obj, text, path)


def recorded(estate: Estate) -> set[str]:
    """The series that recording rules make."""
    return {query.records for query in queries(estate) if query.records}


def series(text: str) -> set[str]:
    """The names of series in an expression, with or without Flagger's or Grafana's placeholders in it."""
    plain = re.sub(r"\{\{.*?\}\}", "x", text)
    plain = _UNITS.sub("0", _DROPPED.sub(" ", _STRING.sub('""', plain)))
    found = {name for name in _NAME.findall(plain) if name.lower() not in _WORDS}
    return found | set(re.findall(r"__name__\s*=\s*\"([a-zA-Z_:][\w:]*)\"", text))


def _groups(obj: Obj, data: Any, path: Path, *, title: str) -> Iterator[Query]:
    for group, one in maps(data, "groups"):
        for index, rule in maps(one, "rules"):
            name = str(rule.get("alert") or rule.get("record") or "")
            inside: Path = (*path, "groups", group, "rules", index, "expr") if obj.kind == "PrometheusRule" else path
            yield Query(obj, inside, str(rule.get("expr", "")), f"{title}{name}: ", str(rule.get("record") or ""))


def _panels(obj: Obj, text: str, path: Path) -> Iterator[Query]:
    try:
        data = json.loads(text)
    except ValueError:
        return
    for place, value in strings(data):
        if place and place[-1] == "expr":
            yield Query(obj, path, value, f"{path[-1]}, {_panel(data, place)}: ")


def _panel(data: Mapping[str, Any], place: Path) -> str:
    """The title of the panel that holds an expression."""
    title, here = "", data
    for part in place:
        here = here[part]  # type: ignore[index] # the path was read from this very tree
        title = str(mapping(here).get("title") or title)
    return title


def _loaded(text: str) -> Any:
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (it is a safe loader)
    except yaml.YAMLError:
        return None
