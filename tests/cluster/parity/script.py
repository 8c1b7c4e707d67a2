"""A script: what the world says at each tick, played alike to the real Flagger and to this project's machine.

Tick 0 finds the Canary new, tick 1 its primary ready; then the script's changes come. Nothing here knows either side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coalmine.rollout.state import Terms

INTERVAL = 100  # seconds between two ticks by the scripts' own clock: so long that a slow machine's delays do not count

KINDS = (
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "rollback",
    "post-rollout",
)

NO_BAKE = Terms(bake_seconds=0)  # Flagger has none


@dataclass(frozen=True, slots=True)
class Reply:
    """What a webhook or a metric's provider answers. `hang`: nothing, until the caller has given up."""

    status: int = 200
    body: str = ""
    hang: bool = False


YES = Reply(200, "enough evidence")
NO = Reply(412, "not yet")
BROKEN = Reply(500, "out of order")
HANGS = Reply(hang=True)


def value(number: str) -> Reply:
    """One series with this value, as Prometheus writes it: `value("NaN")` too."""
    result = [{"metric": {}, "value": [1700000000.0, number]}]
    return Reply(200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))


NO_DATA = Reply(200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}))
GOOD, BAD = value("0.5"), value("7")  # the scripts' metrics allow 1 at most


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from a tick on; None and names left out stay as they were.

    `patience`: at this tick alone, the seconds that a caller may pause between its tries.
    """

    release: str | None = None
    primary: bool | None = None
    canary: bool | None = None
    hooks: Mapping[str, Reply] = field(default_factory=dict)
    metrics: Mapping[str, Reply] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """What there is to see at one tick: what git names, which arm is ready, what each hook and metric answers."""

    release: str = "v1"
    primary: bool = True
    canary: bool = True
    hooks: Mapping[str, Reply] = field(default_factory=dict)
    metrics: Mapping[str, Reply] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    patience: float = 0.0

    def after(self, change: Change) -> World:
        given = {name: getattr(change, name) for name in ("release", "primary", "canary")}
        return replace(
            self,
            hooks={**self.hooks, **change.hooks},
            metrics={**self.metrics, **change.metrics},
            spec={**self.spec, **change.spec},
            analysis={**self.analysis, **change.analysis},
            **{name: said for name, said in given.items() if said is not None},
        )

    def hook(self, name: str) -> Reply:
        """By the hook's name; a `rollback` hook says no unless told otherwise, every other yes."""
        return self.hooks.get(name, NO if name.startswith("rollback") else YES)

    def metric(self, name: str) -> Reply:
        return self.metrics.get(name, GOOD)


@dataclass(frozen=True, slots=True)
class Script:
    """`promise`: what this script shows, in a sentence. `hooks`: name -> type, in the Canary's order.

    `analysis`, `spec` and `hook_fields` are over the defaults; `terms` are this project's own, of the policy.
    """

    name: str
    promise: str
    ticks: int
    at: Mapping[int, Change]
    hooks: Mapping[str, str] = field(default_factory=lambda: {kind: kind for kind in KINDS})
    metrics: Sequence[str] = ("errors",)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    hook_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    terms: Terms = NO_BAKE

    def world(self, tick: int) -> World:
        world = World(spec=self.spec, analysis=self.analysis)
        for when in sorted(self.at):
            if when <= tick:
                world = world.after(self.at[when])
        return replace(world, patience=self.at[tick].patience if tick in self.at else 0.0)

    def canary(self, base: str, world: World) -> dict[str, Any]:
        """The Canary as an object of the API; `base` is the address at which hooks and providers answer."""
        webhooks = [
            {
                "name": name,
                "type": kind,
                "url": f"{base}/{self.name}/hooks/{name}",
                **self.hook_fields.get(name, {}),
            }
            for name, kind in self.hooks.items()
        ]
        metrics = [
            {"name": name, "interval": "1m", "templateRef": {"name": name}, "thresholdRange": {"max": 1}}
            for name in self.metrics
        ]
        analysis: dict[str, Any] = {
            "interval": f"{INTERVAL}s",
            "threshold": 3,
            "webhooks": webhooks,
            "metrics": metrics,
            **world.analysis,
        }
        if "stepWeight" not in analysis:
            analysis.setdefault("stepWeights", [10, 50])
        spec = {
            "provider": "gatewayapi:v1",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "sentiment"},
            "service": {"port": 8443, "gatewayRefs": [{"name": "coalmine", "namespace": "coalmine"}]},
            "progressDeadlineSeconds": 250,  # over on the third tick
            "analysis": analysis,
            **world.spec,
        }
        return _object("flagger.app/v1beta1", "Canary", "sentiment", self.name) | {"spec": spec}

    def templates(self, base: str) -> list[dict[str, Any]]:
        """The MetricTemplates, with a query that uses each of Flagger's placeholders."""
        query = '\n  share{{ns="{{{{ namespace }}}}", name="{{{{ name }}}}", target="{{{{ target }}}}",\n'
        query += '    service="{{{{ service }}}}", metric="{metric}"}}[{{{{ interval }}}}]\n'
        return [
            _object("flagger.app/v1beta1", "MetricTemplate", name, self.name)
            | {
                "spec": {
                    "provider": {"type": "prometheus", "address": f"{base}/{self.name}/metrics/{name}"},
                    "query": query.format(metric=name),
                }
            }
            for name in self.metrics
        ]


def _object(version: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
