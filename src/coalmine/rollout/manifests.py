"""YAML manifests with the line of every field, and the small part of kustomize that the Canary's folder uses.

Works on texts (path -> text), not on disk: the push check reads them from git objects.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from coalmine.errors import BadInput

Path = tuple[str | int, ...]
KUSTOMIZATION = "kustomization.yaml"
_KNOWN = {"apiVersion", "kind", "resources", "patches", "configMapGenerator"}


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest: plain data, and for each field the file and line that set it."""

    data: dict[str, Any]
    places: Mapping[Path, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        metadata = self.data.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        return str(self.data.get("kind", "")), str(name)

    def where(self, path: Path) -> str:
        """`file:line` of the field, or of the nearest field around it that is written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return ""


def read_documents(text: str, name: str) -> list[Document]:
    """All manifests in a file. Raises BadInput for broken YAML, a key written twice, a document that is no mapping."""
    loader = yaml.SafeLoader(text)  # composed by hand to keep the lines
    found = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            places: dict[Path, str] = {}
            _note(node, (), name, places=places)
            data = loader.construct_document(node)
            if not isinstance(data, dict):
                raise BadInput("a manifest is a mapping", where=f"{name}:{node.start_mark.line + 1}", remedy="see docs")
            found.append(Document(data, places))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(f"{error.problem}", where=f"{name}:{line}", remedy="write it as YAML") from error
    except yaml.YAMLError as error:
        raise BadInput(str(error), where=name, remedy="write it as YAML") from error
    finally:
        loader.dispose()
    return found


def _note(node: yaml.Node, path: Path, name: str, *, places: dict[Path, str]) -> None:
    places.setdefault(path, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _note(child, (*path, index), name, places=places)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            here = (*path, str(key.value))
            where = f"{name}:{key.start_mark.line + 1}"
            if here in places:
                raise BadInput(f"{key.value} is written twice", where=where, remedy="keep one of them")
            places[here] = where
            _note(child, here, name, places=places)


def merge(base: Document, patch: Document) -> Document:
    """JSON merge patch (RFC 7396), as kustomize does for custom resources: lists are replaced, null removes."""
    data, places = dict(base.data), dict(base.places)
    _merge(data, patch.data, (), places=places, source=patch.places)
    return replace(base, data=data, places=places)


def _merge(into: dict[str, Any], patch: dict[str, Any], at: Path, *, places: dict[Path, str], source: Any) -> None:
    for key, value in patch.items():
        here = (*at, key)
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            into[key] = dict(into[key])
            _merge(into[key], value, here, places=places, source=source)
            continue
        for old in [p for p in places if p[: len(here)] == here]:
            del places[old]
        if value is None:
            into.pop(key, None)
            continue
        into[key] = _without_nulls(value)
        places.update({p: line for p, line in source.items() if p[: len(here)] == here})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return value


def build(files: Mapping[str, str], folder: str) -> list[Document]:
    """What `kustomize build <folder>` makes of `resources` and `patches: [{path: ...}]`, the only two keys supported.

    `configMapGenerator` is passed by: the policy as a ConfigMap, for a cluster's judge.

    Raises:
        BadInput: a file that is missing, another kustomize key, a patch that matches nothing.
    """
    return _build(files, posixpath.normpath(folder), ())


def _build(files: Mapping[str, str], folder: str, parents: tuple[str, ...]) -> list[Document]:
    name = posixpath.join(folder, KUSTOMIZATION)
    if folder in parents:
        raise BadInput("resources lead back to this folder", where=name, remedy="remove the circle")
    head = _kustomization(files, name)
    built: list[Document] = []
    for index, item in enumerate(_strings(head, "resources")):
        target = posixpath.normpath(posixpath.join(folder, item))
        if posixpath.join(target, KUSTOMIZATION) in files:
            built += _build(files, target, (*parents, folder))
        else:
            built += read_documents(_text(files, target, head.where(("resources", index))), target)
    for index, item in enumerate(head.data.get("patches") or []):
        where = head.where(("patches", index))
        if not isinstance(item, dict) or set(item) != {"path"}:
            raise BadInput("a patch has `path` alone here", where=where, remedy="write `- path: canary.yaml`")
        target = posixpath.normpath(posixpath.join(folder, str(item["path"])))
        for patch in read_documents(_text(files, target, where), target):
            built = _apply(built, patch)
    return built


def _apply(built: list[Document], patch: Document) -> list[Document]:
    if patch.key not in [document.key for document in built]:
        kind, name = patch.key
        raise BadInput(
            f"no resource {kind or '(no kind)'} named {name or '(no name)'} to patch",
            where=patch.where(()),
            remedy="kind and metadata.name of a patch are those of the resource that it changes",
        )
    return [merge(document, patch) if document.key == patch.key else document for document in built]


def _kustomization(files: Mapping[str, str], name: str) -> Document:
    documents = read_documents(_text(files, name, name), name)
    if len(documents) != 1:
        raise BadInput(f"{len(documents)} documents instead of one", where=name, remedy="keep one")
    for key in documents[0].data:
        if key not in _KNOWN:
            raise BadInput(
                f"{key} is not supported in this folder",
                where=documents[0].where((key,)),
                remedy="here a kustomization has `resources`, `patches: [{path: ...}]` and, for a cluster, "
                "`configMapGenerator`; put the rest into gitops/",
            )
    return documents[0]


def _strings(head: Document, key: str) -> list[str]:
    items = head.data.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise BadInput(f"{key} is a list of paths", where=head.where((key,)), remedy="write one path a line")
    return items


def _text(files: Mapping[str, str], path: str, where: str) -> str:
    if path not in files:
        raise BadInput(f"{path} does not exist", where=where, remedy="add the file, or take it out of the list")
    return files[path]
