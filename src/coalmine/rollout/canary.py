"""The Canary of a model, read from `flagger/<model>/` and its overlay, with every question that the rollout asks of it.

The fields and what is made of each: `coalmine.rollout.schema`. Semantics: Flagger 1.44, pkg/controller/scheduler.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from coalmine.errors import BadInput
from coalmine.rollout.durations import seconds
from coalmine.rollout.manifests import Document, Path, build
from coalmine.rollout.schema import CanaryManifest, Metric, MetricTemplate, Webhook

REFERENCE = "see the table in src/coalmine/rollout/schema.py"
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_BLANK = re.compile(r"[\t\n\f\r ]+")  # as Go's \s
_NAMES = ("name", "namespace", "target", "service", "ingress", "route", "interval")
_Model = TypeVar("_Model", bound=BaseModel)


class Canary(BaseModel):
    """One model's Canary and the MetricTemplates that it names. `model_dump_json(by_alias=True)` reads back equal."""

    model_config = ConfigDict(frozen=True)

    manifest: CanaryManifest
    templates: dict[str, MetricTemplate] = {}

    @property
    def name(self) -> str:
        return self.manifest.metadata.name

    @property
    def namespace(self) -> str:
        return self.manifest.metadata.namespace

    @property
    def interval_seconds(self) -> float:
        return seconds(self.manifest.spec.analysis.interval)

    @property
    def deadline_seconds(self) -> int:
        return self.manifest.spec.progress_deadline_seconds

    @property
    def threshold(self) -> int:
        """Failed checks that end an analysis; 0 reads as 1, as in Flagger."""
        return max(1, self.manifest.spec.analysis.threshold)

    @property
    def max_weight(self) -> int:
        analysis = self.manifest.spec.analysis
        return analysis.step_weights[-1] if analysis.step_weights else analysis.max_weight or 100

    def next_weight(self, weight: int) -> int:
        """The canary's weight one step after `weight`, in percent."""
        analysis = self.manifest.spec.analysis
        if analysis.step_weight is not None:
            return min(100, weight + analysis.step_weight)
        return next((step for step in analysis.step_weights if step > weight), self.max_weight)

    @property
    def promotion_step(self) -> int:
        return self.manifest.spec.analysis.step_weight_promotion

    @property
    def skip_analysis(self) -> bool:
        return self.manifest.spec.skip_analysis

    @property
    def suspend(self) -> bool:
        return self.manifest.spec.suspend

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.manifest.spec.analysis.metrics

    def hooks(self, kind: str) -> tuple[Webhook, ...]:
        """The webhooks of a type in the file's order; one without a type is a `rollout` hook, as in Flagger."""
        return tuple(hook for hook in self.manifest.spec.analysis.webhooks if (hook.type or "rollout") == kind)

    def query(self, metric: Metric) -> str:
        """The metric's query with Flagger's placeholders filled in and white space folded."""
        template = self.templates[metric.template_ref.name if metric.template_ref else ""]
        target = self.manifest.spec.target_ref.name
        values = dict.fromkeys(_NAMES, target)
        values |= {"name": self.name, "namespace": self.namespace, "interval": metric.interval}
        values |= {"service": self.manifest.spec.service.name or target}
        values |= {f"variables.{key}": value for key, value in metric.template_variables.items()}
        filled = _PLACEHOLDER.sub(lambda found: values[found[1].strip()], template.spec.query)
        return _BLANK.sub(" ", filled)


def load_canary(files: Mapping[str, str], model: str, *, overlay: str = "local") -> Canary:
    """Read `flagger/<model>/<overlay>/` (or `flagger/<model>/` for overlay "") from texts by path.

    Raises:
        BadInput: with file, line, field and remedy of the first thing that is wrong.
    """
    folder = f"flagger/{model}/{overlay}" if overlay else f"flagger/{model}"
    documents = build(files, folder)
    canaries = [document for document in documents if document.data.get("kind") == "Canary"]
    if len(canaries) != 1:
        raise BadInput(f"{len(canaries)} Canary manifests instead of one", where=folder, remedy="list one canary.yaml")
    templates: dict[str, MetricTemplate] = {}
    for document in documents:
        kind = document.data.get("kind")
        if kind == "MetricTemplate":
            template = _validate(MetricTemplate, document)
            templates[template.metadata.name] = template
        elif kind != "Canary":
            raise _wrong(document, ("kind",), f"a {kind} has no place here", remedy="put it into gitops/")
    canary = Canary(manifest=_validate(CanaryManifest, canaries[0]), templates=templates)
    _check_weights(canary, canaries[0])
    _check_unsupported(canary, canaries[0])
    _check_metrics(canary, canaries[0])
    return canary


def _validate(model: type[_Model], document: Document) -> _Model:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        path = tuple(part for part in first["loc"] if isinstance(part, int) or part not in {"int", "str"})
        if first["type"] == "extra_forbidden":
            raise _wrong(document, path, "is no field of Flagger's", remedy=f"take it out, or {REFERENCE}") from error
        raise _wrong(document, path, first["msg"], remedy=REFERENCE) from error


def _wrong(document: Document, path: Path, what: str, *, remedy: str) -> BadInput:
    return BadInput(f"{'.'.join(str(part) for part in path)}: {what}", where=document.where(path), remedy=remedy)


_ANALYSIS: Path = ("spec", "analysis")


def _check_weights(canary: Canary, document: Document) -> None:
    analysis = canary.manifest.spec.analysis
    steps, step, limit = analysis.step_weights, analysis.step_weight, analysis.max_weight
    if not steps and step is None:
        what = "neither stepWeight nor stepWeights: the canary would never get traffic"
        raise _wrong(document, _ANALYSIS, what, remedy="add for example `stepWeights: [10, 25, 50]`")
    if steps and step is not None:
        what = "stepWeight wins over stepWeights in Flagger, but the last of stepWeights is then the limit"
        raise _wrong(document, (*_ANALYSIS, "stepWeight"), what, remedy="keep one of the two")
    if list(steps) != sorted(set(steps)):
        what = f"{list(steps)} does not grow from step to step"
        raise _wrong(document, (*_ANALYSIS, "stepWeights"), what, remedy="write the weights in growing order")
    if steps and limit not in {None, steps[-1]}:
        what = f"Flagger reads no maxWeight beside stepWeights and goes to {steps[-1]}, not {limit}"
        raise _wrong(document, (*_ANALYSIS, "maxWeight"), what, remedy=f"take it out, or write {steps[-1]}")
    if step is not None and (over := min(100, -(-canary.max_weight // step) * step)) > canary.max_weight:
        what = f"steps of {step} go to {over}, over maxWeight {canary.max_weight}"
        raise _wrong(document, (*_ANALYSIS, "maxWeight"), what, remedy=f"write maxWeight: {over}, or use stepWeights")


def _check_unsupported(canary: Canary, document: Document) -> None:
    spec = canary.manifest.spec
    if spec.provider != "gatewayapi:v1":
        what = f"{spec.provider!r} instead of gatewayapi:v1 (the flag `gatewayapi` falls back to istio with a warning)"
        raise _wrong(document, ("spec", "provider"), what, remedy="write provider: gatewayapi:v1")
    if spec.analysis.mirror or spec.analysis.mirror_weight:
        what = "with stepWeight on the Gateway API a mirrored canary never advances"
        raise _wrong(document, (*_ANALYSIS, "mirror"), what, remedy="take mirror and mirrorWeight out")
    if spec.analysis.iterations or spec.analysis.match:
        field = "iterations" if spec.analysis.iterations else "match"
        what = "A/B testing and blue/green by iterations are not supported: the judge needs both arms side by side"
        raise _wrong(document, (*_ANALYSIS, field), what, remedy="use stepWeight or stepWeights")
    if canary.interval_seconds < 1:
        what = f"{spec.analysis.interval} is below one second (Flagger itself reads less than 10s as 10s)"
        raise _wrong(document, (*_ANALYSIS, "interval"), what, remedy="write 1s or more")


def _check_metrics(canary: Canary, document: Document) -> None:
    for index, metric in enumerate(canary.metrics):
        path: Path = (*_ANALYSIS, "metrics", index)
        if metric.query or metric.template_ref is None:
            what = f"{metric.name} has no templateRef: Flagger's builtin metrics do not match BentoML's series"
            raise _wrong(document, path, what, remedy="name a MetricTemplate of this folder")
        template = canary.templates.get(metric.template_ref.name)
        if template is None or metric.template_ref.namespace not in {"", template.metadata.namespace}:
            what = f"no MetricTemplate {metric.template_ref.name} in this folder"
            known = ", ".join(sorted(canary.templates)) or "none"
            raise _wrong(document, (*path, "templateRef"), what, remedy=f"those there are: {known}")
        if metric.threshold is None and metric.threshold_range is None:
            what = f"{metric.name} has neither thresholdRange nor threshold: Flagger would take 0 as its maximum"
            raise _wrong(document, path, what, remedy="add for example `thresholdRange: {max: 0.5}`")
        _check_query(template, metric, document, path=path)


def _check_query(template: MetricTemplate, metric: Metric, document: Document, *, path: Path) -> None:
    allowed = {*_NAMES, *(f"variables.{key}" for key in metric.template_variables)}
    unknown = _unknown(_PLACEHOLDER.findall(template.spec.query), allowed)
    if unknown:
        what = f"the query of {template.metadata.name} uses {{{{ {unknown} }}}}, which is not known"
        raise _wrong(document, (*path, "templateRef"), what, remedy=f"known are {', '.join(sorted(allowed))}")


def _unknown(found: Iterable[Any], allowed: set[str]) -> str:
    return next((str(name).strip() for name in found if str(name).strip() not in allowed), "")
