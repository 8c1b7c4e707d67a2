"""What is linted: folders rendered, an Argo CD cluster followed through its Applications, streams and files read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from coalmine.errors import BadInput
from coalmine.lint import argo
from coalmine.lint.estate import Estate, File, Obj
from coalmine.lint.kustomize import Kustomize, file_of
from coalmine.rollout.manifests import Document, merge

# A kind that is told apart without its patches' targets, where a base lies on the network and cannot be had.
_PLAIN = ("ConfigMap", "Namespace", "Application", "ApplicationSet", "AppProject")


@dataclass(slots=True)
class Renderer:
    """Folders of one tree, each built and parsed once. `missed` is told: built of what lies here only."""

    root: Path
    kustomize: Kustomize
    missed: list[str] = field(default_factory=list)
    _built: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def ahead(self, folders: Iterable[str]) -> None:
        """Build several at once."""
        wanted = [one for one in dict.fromkeys(folders) if one not in self._built]
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            for folder, documents in zip(wanted, pool.map(self._build, wanted), strict=True):
                self._built[folder] = documents

    def objects(self, folder: str, *, app: Obj | None = None) -> list[Obj]:
        """Of a folder as Argo CD reads it. Raises BadInput where it does not build."""
        if folder not in self._built:
            self._built[folder] = self._build(folder)
        into = app.text("spec", "destination", "namespace") if app else ""
        return [Obj(data, source=folder, app=app, into=_into(data, into)) for data in self._built[folder]]

    def _build(self, folder: str) -> list[dict[str, Any]]:
        place = self.root / folder
        if file_of(place) is None:
            return [one for path in sorted(place.glob("*.y*ml")) for one in parse(path.read_text(), str(path))]
        try:
            return parse(self.kustomize.build(place, folder), folder)
        except BadInput:
            remote = [url for url, _ in _remote(place)]
            if not remote:
                raise
            self.missed.append(f"{folder}: {remote[0]} cannot be had here; linted without it")
            return _merged(one for one in _local(place) if one.get("kind") in _PLAIN)


def cluster(renderer: Renderer, folder: str) -> Estate:
    """All that a cluster will hold: a folder, and every Application that it or another of them leads to."""
    objects, queue, opaque = list(renderer.objects(folder)), [folder], set[str]()
    done = {folder}
    bootstrap = f"{folder}/bootstrap"
    if (renderer.root / bootstrap).is_dir():
        objects += renderer.objects(bootstrap)
        done.add(bootstrap)
    waiting = list(objects)
    while waiting:
        found = [source for app in argo.applications(waiting, renderer.root) for source in argo.sources(app)]
        own = {source.url for source in found if source.path.startswith(queue[0].split("/")[0] + "/")}
        for one in found:
            if one.path and one.url in own and not (renderer.root / one.path).is_dir():
                remedy = "mend spec.source.path, or add the folder"
                raise BadInput(f"there is no folder {one.path}", where=one.app.title, remedy=remedy)
        ours = [one for one in found if one.path and one.url in own and (renderer.root / one.path).is_dir()]
        opaque |= {one.namespace for one in found if one not in ours}
        renderer.ahead(one.path for one in ours)
        waiting = []
        for source in ours:
            if source.path not in done:
                done.add(source.path)
                waiting += renderer.objects(source.path, app=source.app)
        objects += waiting
    opaque |= {one.split("\0")[1] for one in _opaque(renderer, done)}
    return Estate(objects, whole=True, opaque=frozenset(opaque - {""}))


def _opaque(renderer: Renderer, folders: Iterable[str]) -> Iterator[str]:
    """The namespaces that a remote base fills, where it could not be had."""
    for folder in folders:
        if any(one.startswith(f"{folder}:") for one in renderer.missed):
            for _, namespace in _remote(renderer.root / folder):
                yield f"{folder}\0{namespace}"


def parse(text: str, where: str) -> list[dict[str, Any]]:
    """A YAML stream as objects; a List is its items. Raises BadInput with file and line for what is no YAML."""
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no YAML"
        raise BadInput(str(problem), where=f"{where}{line}", remedy="mend the YAML") from error
    found = []
    for document in documents:
        inner = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
        found += [one for one in (inner or [document]) if isinstance(one, dict)]
    return found


def _into(data: dict[str, Any], namespace: str) -> str:
    """Where an Application puts an object that names no namespace; what is the cluster's own has none."""
    return "" if data.get("kind") in _CLUSTERS_OWN else namespace


_CLUSTERS_OWN = {
    "Namespace", "GatewayClass", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass",
    "StorageClass", "PersistentVolume", "ClusterIssuer", "ValidatingWebhookConfiguration", "APIService",
    "MutatingWebhookConfiguration", "IngressClass", "RuntimeClass", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding", "CSIDriver", "Node",
}  # fmt: skip


def _remote(folder: Path) -> Iterator[tuple[str, str]]:
    """URLs among a kustomization's resources, with the namespace that it puts them in."""
    path = file_of(folder)
    for head in parse(path.read_text(), str(path)) if path else ():
        for name in [*(head.get("resources") or []), *(head.get("components") or [])]:
            if "://" in str(name):
                yield str(name), str(head.get("namespace") or "")


def _local(folder: Path) -> Iterator[dict[str, Any]]:
    """The objects in the files of a kustomization and of its components, patches among them."""
    path = file_of(folder)
    for head in parse(path.read_text(), str(path)) if path else ():
        patches = [one.get("path") for one in head.get("patches") or [] if isinstance(one, dict)]
        for name in [*(head.get("resources") or []), *(head.get("components") or []), *filter(None, patches)]:
            inner = folder / str(name)
            if inner.is_dir():
                yield from _local(inner)
            elif inner.is_file() and inner.suffix in (".yaml", ".yml"):
                for one in parse(inner.read_text(), str(inner)):
                    namespace = {"namespace": head["namespace"]} if head.get("namespace") else {}
                    yield {**one, "metadata": {**namespace, **(one.get("metadata") or {})}}


def _merged(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Patches laid over what they patch, by kind and name."""
    found: dict[tuple[str, str], Document] = {}
    for data in documents:
        one = Document(data)
        found[one.key] = merge(found[one.key], one) if one.key in found else one
    return [one.data for one in found.values()]


def read_file(path: Path, shown: str) -> tuple[list[Obj], list[File]]:
    """A manifest as objects, anything else as text; a YAML file is both. Raises BadInput for what cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=shown, remedy="name a readable text file") from error
    file = File(shown, text)
    if path.suffix not in (".yaml", ".yml"):
        return [], [file]
    objects = [Obj(one, source=shown) for one in parse(text, shown) if one.get("kind") and one.get("apiVersion")]
    plain = [one for one in objects if not one.group.startswith("kustomize.config.k8s.io")]
    return plain, [file]
