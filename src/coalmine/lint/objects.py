"""One object of a rendered manifest, and the pods that a workload makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine.lint.rule import Hit
from coalmine.lint.tree import Path, at, items, mapping, maps

TEMPLATES: dict[str, Path] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
CONTAINERS = ("containers", "initContainers")


@dataclass(frozen=True, slots=True, eq=False)
class Obj:
    """`source` is the folder or file that it was rendered from, `app` the Argo CD Application that syncs it, `maker`
    the object that a controller makes it of (None: it is in git itself).
    """

    data: Mapping[str, Any]
    source: str = ""
    app: Obj | None = None
    maker: Obj | None = None
    into: str = ""  # the namespace where the Application puts what names none

    @property
    def kind(self) -> str:
        return self.text("kind")

    @property
    def group(self) -> str:
        return self.text("apiVersion").rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.text("metadata", "name")

    @property
    def namespace(self) -> str:
        return self.text("metadata", "namespace") or self.into

    @property
    def labels(self) -> Mapping[str, Any]:
        return mapping(self.data, "metadata", "labels")

    @property
    def annotations(self) -> Mapping[str, Any]:
        return mapping(self.data, "metadata", "annotations")

    @property
    def title(self) -> str:
        """`Kind namespace/name`."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"

    def at(self, *path: str | int) -> Any:
        return at(self.data, *path)

    def text(self, *path: str | int) -> str:
        """As `at`, empty where there is nothing."""
        found = at(self.data, *path)
        return "" if found is None else str(found)

    def hit(self, path: Path, what: str) -> Hit:
        """Told at the object in git that is the cause."""
        return Hit(what, obj=self, path=path) if self.maker is None else Hit(what, obj=self.maker)


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """A pod template. `path` leads from the owner's root to it."""

    owner: Obj
    path: Path

    @property
    def namespace(self) -> str:
        return self.owner.namespace

    @property
    def labels(self) -> Mapping[str, Any]:
        return mapping(self.owner.data, *self.path, "metadata", "labels")

    @property
    def annotations(self) -> Mapping[str, Any]:
        return mapping(self.owner.data, *self.path, "metadata", "annotations")

    @property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.owner.data, *self.path, "spec")

    @property
    def account(self) -> str:
        return str(self.spec.get("serviceAccountName") or self.spec.get("serviceAccount") or "default")

    def containers(self, *lists: str) -> Iterator[Container]:
        """The plain containers, or those of the lists named (`CONTAINERS`: all)."""
        for name in lists or ("containers",):
            for index, data in maps(self.spec, name):
                yield Container(self, (*self.path, "spec", name, index), data)

    def sidecars(self) -> Iterator[Container]:
        """Init containers that stay (`restartPolicy: Always`)."""
        yield from (one for one in self.containers("initContainers") if one.data.get("restartPolicy") == "Always")

    def lasting(self) -> Iterator[Container]:
        """What runs as long as the pod does."""
        yield from self.containers()
        yield from self.sidecars()

    def ports(self) -> dict[str, int]:
        """Container ports by name; those without one by their number."""
        return {name: number for one in self.lasting() for name, number in one.ports().items()}

    def listens(self, port: Any) -> bool:
        """Whether a port, by name or number, is one of the pod's. A pod that lists none is believed any number."""
        ports = self.ports()
        if isinstance(port, str) and not port.isdigit():
            return port in ports
        return not ports or not isinstance(port, int | str) or int(port) in ports.values()

    def hit(self, path: Path, what: str) -> Hit:
        return self.owner.hit((*self.path, *path), what)


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """`path` leads from the owner's root to it."""

    pod: Pod
    path: Path
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.data.get("name", ""))

    @property
    def image(self) -> str:
        return str(self.data.get("image") or "")

    @property
    def words(self) -> list[str]:
        """Command and arguments."""
        return [str(word) for key in ("command", "args") for word in items(self.data, key)]

    @property
    def env(self) -> dict[str, str]:
        """The variables that are given as text."""
        return {str(one.get("name")): str(one["value"]) for _, one in maps(self.data, "env") if "value" in one}

    def ports(self) -> dict[str, int]:
        found = {}
        for _, port in maps(self.data, "ports"):
            number = port.get("containerPort")
            if isinstance(number, int):
                found[str(port.get("name") or number)] = number
        return found

    def hit(self, path: Path, what: str) -> Hit:
        return self.pod.owner.hit((*self.path, *path), what)


def pods_of(obj: Obj) -> Iterator[Pod]:
    """The pod template of a workload; nothing for other kinds."""
    path = TEMPLATES.get(obj.kind)
    if path is not None and mapping(obj.data, *path, "spec"):
        yield Pod(obj, path)
