"""Flagger 1.44's Canary and MetricTemplate as closed pydantic models: an unknown field is an error, never a default.

Field by field, what the one-machine runtime makes of it. Everything below is legal in a cluster unless it says refused.

| acted on here                                            | accepted, for the cluster only                        |
|----------------------------------------------------------|-------------------------------------------------------|
| metadata.name, metadata.namespace                        | metadata.labels, metadata.annotations                 |
| spec.provider (must be gatewayapi:v1)                    | spec.metricsServer, targetRef.kind, autoscalerRef     |
| spec.targetRef.name, service.name ({{ target }} and      | spec.ingressRef, routeRef, upstreamRef                |
|   {{ service }} in queries)                              | spec.service.* but its name                           |
| spec.progressDeadlineSeconds, skipAnalysis, suspend      | spec.revertOnDeletion                                 |
| analysis.interval, threshold, maxWeight, stepWeight,     | analysis.primaryReadyThreshold, canaryReadyThreshold  |
|   stepWeights, stepWeightPromotion                       |   (an arm is one process: ready or not)               |
| analysis.webhooks: type, name, url, timeout, retries,    | analysis.alerts, webhooks.muteAlert                   |
|   metadata, disableTLS                                   | analysis.sessionAffinity (the edge has sticky_header) |
| analysis.metrics: name, interval, thresholdRange,        |                                                       |
|   threshold, templateRef, templateVariables              |                                                       |
| MetricTemplate: provider.type prometheus, address,       | MetricTemplate: provider.region                       |
|   headers, insecureSkipVerify, query                     |                                                       |

Refused, each with its reason: no stepWeight(s); both of them; a stepWeight that steps over maxWeight; maxWeight beside
stepWeights that end elsewhere; mirror; iterations and match (A/B and blue/green); builtin metrics and inline queries;
providers other than Prometheus; secretRef; a templateRef that names no MetricTemplate of the folder.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from coalmine.rollout.durations import seconds


def _duration(text: str) -> str:
    seconds(text)
    return text


# The pattern is the CRD's own; the API server refuses what does not match it.
Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(m|s)"), AfterValidator(_duration)]
Weight = Annotated[int, Field(ge=1, le=100)]
Text = Annotated[str, Field(min_length=1)]
HookType = Literal[
    "",
    "rollout",
    "confirm-rollout",
    "pre-rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "rollback",
    "post-rollout",
    "event",
]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Metadata(_Closed):
    name: Text
    namespace: Text
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class TargetRef(_Closed):
    api_version: Text
    kind: Literal["DaemonSet", "Deployment", "Service"]
    name: Text


class AutoscalerRef(_Closed):
    api_version: Text
    kind: Literal["HorizontalPodAutoscaler", "ScaledObject"]
    name: Text
    primary_scaler_queries: dict[str, str] | None = None
    primary_scaler_replicas: dict[str, int] | None = None


class ObjectRef(_Closed):
    api_version: str = ""
    kind: str = ""
    name: Text
    namespace: str = ""


class GatewayRef(_Closed):
    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    name: Text
    namespace: str | None = None
    section_name: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None


class Service(_Closed):
    """Objects that belong to other projects' schemas (Istio's, the Gateway API's) are passed by unread."""

    name: str = ""
    port: Annotated[int, Field(ge=1, le=65535)]
    port_name: str = ""
    target_port: int | str | None = None
    app_protocol: str = ""
    traffic_distribution: Literal["PreferClose", "PreferSameZone", "PreferSameNode"] | None = None
    port_discovery: bool = False
    headless: bool = False
    timeout: str = ""
    backend_timeout: str = ""
    mesh_name: str = ""
    backends: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    gateway_refs: tuple[GatewayRef, ...] = ()
    delegation: bool = False
    match: tuple[dict[str, Any], ...] = ()
    retries: dict[str, Any] | None = None
    rewrite: dict[str, str] | None = None
    mirror: tuple[dict[str, Any], ...] = ()
    headers: dict[str, Any] | None = None
    cors_policy: dict[str, Any] | None = None
    traffic_policy: dict[str, Any] | None = None
    apex: dict[str, dict[str, str]] | None = None
    primary: dict[str, dict[str, str]] | None = None
    canary: dict[str, dict[str, str]] | None = None
    unmanaged_metadata: dict[str, tuple[str, ...]] | None = None


class ThresholdRange(_Closed):
    min: float | None = None
    max: float | None = None


class Metric(_Closed):
    name: Text
    interval: Duration = "1m"
    threshold: float | None = None
    threshold_range: ThresholdRange | None = None
    query: str = ""
    template_ref: ObjectRef | None = None
    template_variables: dict[str, str] = {}


class Alert(_Closed):
    name: Text
    severity: Literal["", "info", "warn", "error"] = "info"
    provider_ref: ObjectRef


class Webhook(_Closed):
    name: Text
    type: HookType = ""
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+")]
    mute_alert: bool = False
    timeout: Duration = "10s"
    retries: Annotated[int, Field(ge=0)] = 0
    disable_tls: Annotated[bool, Field(alias="disableTLS")] = False
    metadata: dict[str, str] = {}

    @property
    def timeout_seconds(self) -> float:
        return seconds(self.timeout)


class SessionAffinity(_Closed):
    cookie_name: Text
    primary_cookie_name: str = ""
    domain: str = ""
    http_only: bool = False
    max_age: int = 86400
    partitioned: bool = False
    path: str = ""
    same_site: Literal["Strict", "Lax", "None"] | None = None
    secure: bool = False


class Analysis(_Closed):
    interval: Duration
    threshold: Annotated[int, Field(ge=0)]
    max_weight: Weight | None = None
    step_weight: Weight | None = None
    step_weights: tuple[Weight, ...] = ()
    step_weight_promotion: Annotated[int, Field(ge=0, le=100)] = 0
    iterations: Annotated[int, Field(ge=0)] = 0
    mirror: bool = False
    mirror_weight: Annotated[int, Field(ge=0, le=100)] = 0
    primary_ready_threshold: Annotated[int, Field(ge=0, le=100)] = 100
    canary_ready_threshold: Annotated[int, Field(ge=0, le=100)] = 100
    match: tuple[dict[str, Any], ...] = ()
    metrics: tuple[Metric, ...] = ()
    alerts: tuple[Alert, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    session_affinity: SessionAffinity | None = None


class Spec(_Closed):
    provider: Text
    metrics_server: str = ""
    target_ref: TargetRef
    autoscaler_ref: AutoscalerRef | None = None
    ingress_ref: ObjectRef | None = None
    route_ref: ObjectRef | None = None
    upstream_ref: ObjectRef | None = None
    service: Service
    analysis: Analysis
    progress_deadline_seconds: Annotated[int, Field(ge=1)] = 600
    skip_analysis: bool = False
    revert_on_deletion: bool = False
    suspend: bool = False


class Provider(_Closed):
    type: Literal["prometheus"]
    address: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+")]
    headers: dict[str, tuple[str, ...]] = {}
    secret_ref: None = None
    region: str = ""
    insecure_skip_verify: bool = False


class TemplateSpec(_Closed):
    provider: Provider
    query: Text


class MetricTemplate(_Closed):
    api_version: Literal["flagger.app/v1beta1"]
    kind: Literal["MetricTemplate"]
    metadata: Metadata
    spec: TemplateSpec


class CanaryManifest(_Closed):
    api_version: Literal["flagger.app/v1beta1"]
    kind: Literal["Canary"]
    metadata: Metadata
    spec: Spec
