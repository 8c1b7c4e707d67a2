"""Argo CD's Applications, and those that an ApplicationSet makes of the files of this repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine.lint.objects import Obj
from coalmine.lint.tree import items, mapping, maps

_INDEX = re.compile(r"\{\{-?\s*index\s+\.path\.segments\s+(\d+)\s*-?\}\}|\{\{\s*path\[(\d+)\]\s*\}\}")
_NAMED = re.compile(r"\{\{-?\s*\.?([A-Za-z_][\w.]*)\s*-?\}\}")


@dataclass(frozen=True, slots=True)
class Source:
    """One source of one Application; `path` is empty for a chart."""

    app: Obj
    url: str
    path: str
    recurse: bool

    @property
    def namespace(self) -> str:
        return self.app.text("spec", "destination", "namespace")


def sources(app: Obj) -> Iterator[Source]:
    """Of `source` or `sources`."""
    one = [mapping(app.data, "spec", "source")] if app.at("spec", "source") else []
    for data in [*one, *(data for _, data in maps(app.data, "spec", "sources"))]:
        path = "" if data.get("chart") else str(data.get("path") or "").strip("/")
        recurse = bool(mapping(data, "directory").get("recurse"))
        yield Source(app, str(data.get("repoURL") or ""), path, recurse)


def applications(objects: list[Obj], root: Path) -> Iterator[Obj]:
    """Those written out, and those made of ApplicationSets with list and git generators."""
    for obj in objects:
        if obj.kind == "Application" and obj.group == "argoproj.io":
            yield obj
        if obj.kind == "ApplicationSet":
            for values in _parameters(obj, root):
                data = _filled(mapping(obj.data, "spec", "template"), values)
                head = {"namespace": obj.namespace, "annotations": dict(obj.annotations), **mapping(data, "metadata")}
                whole = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **data, "metadata": head}
                yield Obj(whole, source=obj.source, maker=obj)


def _parameters(obj: Obj, root: Path) -> Iterator[dict[str, Any]]:
    for _, generator in maps(obj.data, "spec", "generators"):
        for one in items(generator, "list", "elements"):
            yield {str(key): value for key, value in one.items()} if isinstance(one, Mapping) else {}
        for _, one in maps(generator, "git", "directories"):
            for folder in sorted(root.glob(str(one.get("path", "")))):
                if folder.is_dir() and not one.get("exclude"):
                    yield _path(folder.relative_to(root).as_posix())
        for _, one in maps(generator, "git", "files"):
            for file in sorted(root.glob(str(one.get("path", "")))):
                yield _path(file.parent.relative_to(root).as_posix())


def _path(folder: str) -> dict[str, Any]:
    segments = folder.split("/")
    named = {"path": folder, "path.path": folder, "path.basename": segments[-1]}
    return {**named, "segments": segments}


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """A template with its words put in; what is not known stays as it is."""
    if isinstance(value, Mapping):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    if not isinstance(value, str):
        return value
    segments = values.get("segments", [])

    def at_place(match: re.Match[str]) -> str:
        place = int(match[1] or match[2])
        return str(segments[place]) if place < len(segments) else match[0]

    return _NAMED.sub(lambda match: str(values.get(match[1], match[0])), _INDEX.sub(at_place, value))
