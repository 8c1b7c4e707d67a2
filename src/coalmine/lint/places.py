"""Where in git a rendered field was written: the file and line of its kustomization's resources and patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from coalmine.errors import BadInput
from coalmine.lint.kustomize import file_of
from coalmine.lint.objects import Obj
from coalmine.rollout.manifests import Document, read_documents


@dataclass(slots=True)
class Places:
    """Files are read only for what is found, and once."""

    root: Path
    _documents: dict[str, list[Document]] = field(default_factory=dict)

    def of(self, obj: Obj, path: tuple[str | int, ...]) -> tuple[str, int]:
        """File (relative) and line of the field, or of the nearest around it; the folder and 0 where nothing fits."""
        best, depth = (obj.source, 0), -1
        for document in self._tree(obj.source):
            if document.key != (obj.kind, obj.name):
                continue
            held = max((end for end in range(len(path) + 1) if path[:end] in document.places), default=0)
            # A patch comes after what it is laid over: of two that write the very field, the later has set it.
            if held > depth or held == depth == len(path):
                name, _, line = document.places[path[:held]].rpartition(":")
                best, depth = (name, int(line)), held
        return best

    def _tree(self, source: str) -> list[Document]:
        if source and source not in self._documents:
            place = self.root / source
            names = [source] if place.is_file() else _files(self.root, place, seen=set())
            self._documents[source] = [one for name in names for one in _read(self.root / name, name)]
        return self._documents.get(source, [])


def _files(root: Path, folder: Path, *, seen: set[Path]) -> Iterator[str]:
    path = file_of(folder)
    if path is None or folder in seen:
        return
    seen.add(folder)
    try:
        head = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return
    patches = [one.get("path") for one in head.get("patches") or [] if isinstance(one, dict)]
    for name in filter(None, [*(head.get("resources") or []), *(head.get("components") or []), *patches]):
        inner = (folder / str(name)).resolve()
        if inner.is_dir():
            yield from _files(root, inner, seen=seen)
        elif inner.is_file() and inner.is_relative_to(root):
            yield inner.relative_to(root).as_posix()


def _read(path: Path, name: str) -> list[Document]:
    try:
        return read_documents(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError, BadInput):
        return []
