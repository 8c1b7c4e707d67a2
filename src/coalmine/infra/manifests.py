"""The Kubernetes objects of a rehearsed stack as YAML: what `pulumi up` would apply, to be looked at and linted."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from coalmine.infra.rehearsal import Rehearsal, Resource

HIDDEN = "set by pulumi"  # instead of what is secret: this YAML is for looking, and may be stored
_DIRECTORY = "kubernetes:kustomize/v2:Directory"


def objects(run: Rehearsal) -> Iterator[dict[str, Any]]:
    """In the order in which they are registered. A folder that kustomize builds is not among them: see `folders`."""
    for one in run.resources:
        if one.type.startswith("kubernetes:") and one.custom and "kind" in one.inputs:
            yield open_part(one)


def folders(run: Rehearsal) -> list[Path]:
    """What Pulumi would build by kustomize and apply: opaque to a run without an engine."""
    return [Path(one.inputs["directory"]) for one in run.of(_DIRECTORY)]


def text(run: Rehearsal) -> str:
    """One YAML stream."""
    return yaml.safe_dump_all(objects(run), sort_keys=False, width=120)


def open_part(one: Resource) -> dict[str, Any]:
    """A resource's inputs without what Pulumi keeps encrypted: what its state shows to anybody who may read it."""
    return _hidden(copy.deepcopy(dict(one.inputs)), one.secret)


def _hidden(made: dict[str, Any], secret: frozenset[str]) -> dict[str, Any]:
    """With a word of ours in the place of each secret value."""
    for path in secret:
        place: Any = made
        *way, last = path.split(".")
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        key: Any = int(last) if isinstance(place, list) else last
        held = place[key]
        place[key] = dict.fromkeys(held, HIDDEN) if isinstance(held, dict) else HIDDEN
    return made
