"""All that is linted together: objects by kind and name, what Flagger and cert-manager will make of them, and files.

A reference across objects is checked only where its other side would have been rendered too: `knows` says so. A single
overlay is silent about what its cluster holds; a cluster with all its Applications is `whole`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine.lint.made import made
from coalmine.lint.objects import Obj, Pod, pods_of
from coalmine.lint.rule import Hit
from coalmine.lint.tree import Path, mapping, selects

__all__ = ["Estate", "File", "Obj", "Pod"]


@dataclass(frozen=True, slots=True)
class File:
    """A file as text, for what is no rendered object: templates, workflows, policies, sources. Path with slashes."""

    path: str
    text: str

    def lines(self) -> Iterator[tuple[int, str]]:
        yield from enumerate(self.text.splitlines(), start=1)

    def hit(self, line: int, what: str) -> Hit:
        return Hit(what, file=self, line=line)


@dataclass(slots=True)
class Estate:
    """`objects` are those of the files; `every` those and what controllers make of them."""

    objects: list[Obj]
    files: list[File] = field(default_factory=list)
    whole: bool = False
    opaque: frozenset[str] = frozenset()  # namespaces that a Helm chart fills unseen
    every: list[Obj] = field(init=False)
    pods: list[Pod] = field(init=False)
    all_pods: list[Pod] = field(init=False)
    _by_kind: dict[str, list[Obj]] = field(init=False)
    _by_key: dict[tuple[str, str, str], Obj] = field(init=False)

    def __post_init__(self) -> None:
        self._index(self.objects)
        self.every = [*self.objects, *made(self)]
        self._index(self.every)
        self.pods = [pod for obj in self.objects for pod in pods_of(obj)]
        self.all_pods = [pod for obj in self.every for pod in pods_of(obj)]

    def _index(self, objects: Iterable[Obj]) -> None:
        self._by_kind, self._by_key = defaultdict(list), {}
        for obj in objects:
            self._by_kind[obj.kind].append(obj)
            self._by_key.setdefault((obj.kind, obj.namespace, obj.name), obj)

    def kind(self, *kinds: str, made_too: bool = False) -> Iterator[Obj]:
        for kind in kinds:
            yield from (obj for obj in self._by_kind.get(kind, ()) if made_too or obj.maker is None)

    def find(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Of the files or made of them."""
        return self._by_key.get((kind, namespace, name))

    def knows(self, kind: str, namespace: str) -> bool:
        """Whether an object that is not here is nowhere."""
        if namespace in self.opaque:
            return False
        return self.whole or any(obj.namespace == namespace for obj in self.kind(kind))

    def has_namespaces(self) -> bool:
        return self.whole and bool(self._by_kind.get("Namespace"))

    def pods_of(self, obj: Obj | None) -> list[Pod]:
        return [] if obj is None else list(pods_of(obj))

    def selected(self, namespace: str, selector: Mapping[str, Any]) -> list[Pod]:
        """The pods of a namespace that a LabelSelector selects, Flagger's primaries among them."""
        return [pod for pod in self.all_pods if pod.namespace == namespace and selects(selector, pod.labels)]

    def behind(self, service: Obj) -> list[Pod]:
        """A Service's pods."""
        selector = mapping(service.data, "spec", "selector")
        return self.selected(service.namespace, {"matchLabels": selector}) if selector else []

    def target(self, canary: Obj) -> Obj | None:
        """What a Canary rolls out."""
        kind = canary.text("spec", "targetRef", "kind") or "Deployment"
        return self.find(kind, canary.namespace, canary.text("spec", "targetRef", "name"))

    def canary_pods(self) -> Iterator[tuple[Obj, Pod]]:
        """Each Canary with the pods of its target."""
        for canary in self.kind("Canary"):
            for pod in self.pods_of(self.target(canary)):
                yield canary, pod

    def named(self, *endings: str) -> Iterator[File]:
        """The files whose path ends so."""
        yield from (file for file in self.files if file.path.endswith(endings))

    def texts(self) -> Iterator[tuple[Obj, Path, str]]:
        """Every text of every ConfigMap: files that a pod will see."""
        for obj in self.kind("ConfigMap"):
            for key, text in mapping(obj.data, "data").items():
                if isinstance(text, str):
                    yield obj, ("data", key), text
