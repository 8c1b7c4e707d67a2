"""Which series tell the two arms of a Flagger canary apart, for each proxy or server: a table, no code.

The names were read in the projects' sources: Istio 1.32, Envoy Gateway 1.9, ingress-nginx 1.15, BentoML 1.4.39,
Flagger 1.44. {namespace} and {name} are the Canary's, {workload} is the arm's Deployment, {arm} the profile's own
matcher for the arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Selectors:
    """Raw counters of one metric: `total` and `bad`, or a histogram's `buckets` whose `le` is in `unit`."""

    total: str = ""
    bad: str = ""
    buckets: str = ""
    unit: Literal["s", "ms"] = "s"


@dataclass(frozen=True, slots=True)
class Profile:
    """`queries` by the metric's name. `weight`: the series that holds the weight of {workload}."""

    about: str
    told_by: str
    remarks: tuple[str, ...]
    arms: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    queries: Mapping[str, Selectors] = field(default_factory=lambda: MappingProxyType({}))
    weight: str = (
        'flagger_canary_weight{namespace="{namespace}",workload="{workload}"}'
        ' or flagger_canary_weight{exported_namespace="{namespace}",workload="{workload}"}'
    )


_ISTIO = 'reporter=~"source|waypoint",destination_workload_namespace="{namespace}",destination_workload="{workload}"'
_ENVOY = "envoy_cluster_upstream_rq"
_NGINX = "nginx_ingress_controller"
_NGINX_OWN = 'namespace="{namespace}",service="{name}",{arm}'
_NGINX_EXPORTED = 'exported_namespace="{namespace}",exported_service="{name}",{arm}'
_BENTO = (
    'namespace="{namespace}",pod=~"{workload}-[a-z0-9]+-[a-z0-9]{5}",'
    'endpoint!~"/(?:healthz|livez|readyz|metrics)(?:/.*)?"'
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "istio": Profile(
            about="Istio's standard metrics, as the caller's proxy or a waypoint reports them.",
            told_by="the label `destination_workload`",
            queries=MappingProxyType(
                {
                    "errors": Selectors(
                        total=f"istio_requests_total{{{_ISTIO}}}",
                        bad=f'istio_requests_total{{{_ISTIO},response_code=~"5..|0"}}',
                    ),
                    "latency": Selectors(buckets=f"istio_request_duration_milliseconds_bucket{{{_ISTIO}}}", unit="ms"),
                }
            ),
            remarks=(
                (
                    "Reported by the caller's side, so that a canary that hangs or refuses connections is seen. Callers "
                    "without a proxy are not counted: let them come through the gateway."
                ),
                "Response code 0 is a caller that went away before the answer; it counts as bad, as 499 does in nginx.",
                "Retries of a VirtualService hide failures of the canary: set `retries.attempts: 0`.",
                "Edges are 1, 5, 10, 50, 100, 500, 1000, 5000 and 10000 ms unless the mesh was told otherwise.",
                "gRPC failures have response code 200; give queries of your own with `grpc_response_status`.",
            ),
        ),
        "envoy-gateway": Profile(
            about="Envoy's cluster counters under Envoy Gateway, for the HTTPRoute that Flagger makes.",
            told_by="the cluster's name: Flagger writes the primary as backend 0 of rule 0, the canary as backend 1",
            arms=MappingProxyType(
                {
                    "canary": 'envoy_cluster_name="httproute/{namespace}/{name}/rule/0/backend/1"',
                    "primary": 'envoy_cluster_name="httproute/{namespace}/{name}/rule/0/backend/0"',
                }
            ),
            queries=MappingProxyType(
                {
                    "errors": Selectors(
                        total=f"{_ENVOY}_xx{{{{arm}}}}", bad=f'{_ENVOY}_xx{{{{arm}},envoy_response_code_class="5"}}'
                    ),
                    "latency": Selectors(buckets=f"{_ENVOY}_time_bucket{{{{arm}}}}", unit="ms"),
                }
            ),
            remarks=(
                (
                    "Envoy Gateway puts both backends of a rule into one cluster, `httproute/<namespace>/<name>/rule/0`, "
                    "whose counters cannot tell the arms apart; this profile then has no data, and the canary holds. It "
                    "makes a cluster for each backend where the Services prefer their own zone (in the Canary: "
                    "`service.trafficDistribution: PreferClose`), where the backendRefs carry filters (Flagger's session "
                    "affinity adds them) or where a BackendTrafficPolicy sets `loadBalancer.zoneAware.preferLocal`. Look "
                    "at your Envoy's `/clusters` once before you rely on it."
                ),
                "While an arm has no endpoints the clusters are made otherwise and their counters may begin anew.",
                (
                    "`clusterStatName` of the EnvoyProxy resource and merged backends change the names: give queries of "
                    "your own then."
                ),
                (
                    "An A/B test (`match`) makes a second rule, which is not counted. {name} is the HTTPRoute's name: "
                    "the Canary's service name."
                ),
                "A caller that goes away (499 elsewhere) has no response code here and is not counted as bad.",
            ),
        ),
        "nginx": Profile(
            about="The series of the ingress-nginx controller, for the canary Ingress that Flagger makes.",
            told_by="the label `canary`: empty for the primary, `<namespace>-<name>-canary-<port>` for the canary",
            arms=MappingProxyType(
                {"canary": 'canary=~"{namespace}-{name}-canary-.+"', "primary": 'canary=~"|-"'},
            ),
            queries=MappingProxyType(
                {
                    "errors": Selectors(
                        total=f"{_NGINX}_requests{{{_NGINX_OWN}}} or {_NGINX}_requests{{{_NGINX_EXPORTED}}}",
                        bad=f'{_NGINX}_requests{{{_NGINX_OWN},status=~"5..|499"}}'
                        f' or {_NGINX}_requests{{{_NGINX_EXPORTED},status=~"5..|499"}}',
                    ),
                    "latency": Selectors(
                        buckets=f"{_NGINX}_response_duration_seconds_bucket{{{_NGINX_OWN}}}"
                        f" or {_NGINX}_response_duration_seconds_bucket{{{_NGINX_EXPORTED}}}"
                    ),
                }
            ),
            remarks=(
                (
                    "NGINX Gateway Fabric is another product: with open-source NGINX it exports totals of a whole nginx "
                    "(requests, connections), which do not tell the arms apart. Judge by an access log there, by the "
                    "service's own series or by a push."
                ),
                "{name} is the service that the Ingress names, which is the Canary's service name.",
                (
                    "Where a ServiceMonitor without `honorLabels` scrapes the controller, `namespace` and `service` are "
                    "renamed to `exported_namespace` and `exported_service`; both are asked for."
                ),
                "`proxy_next_upstream` retries hide failures of the canary: turn it off.",
                "With `--report-status-classes` a 499 cannot be told from other 4xx and is not counted as bad.",
                (
                    "Edges in seconds unless `--time-buckets` says otherwise: 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, "
                    "2.5, 5, 10."
                ),
            ),
        ),
        "bentoml": Profile(
            about="BentoML's own series, scraped from each pod. A second metric beside the proxy's, not the only one.",
            told_by="the label `pod`, which the scrape adds: the arm's Deployment and two random parts",
            queries=MappingProxyType(
                {
                    "errors": Selectors(
                        total=f"bentoml_service_request_total{{{_BENTO}}}",
                        bad=f'bentoml_service_request_total{{{_BENTO},http_response_code=~"5.."}}',
                    ),
                    "latency": Selectors(buckets=f"bentoml_service_request_duration_seconds_bucket{{{_BENTO}}}"),
                }
            ),
            remarks=(
                (
                    "The requests of a worker that was killed are not counted at all, and a pod that is not reached counts "
                    "nothing: take `errors` from the proxy and give this one another name."
                ),
                (
                    "Probes are counted under `endpoint`, so they are left out here; without that a canary that fails "
                    "every prediction looks healthy."
                ),
                "BentoML 1.4.39 or later: before it histograms over several workers were wrong.",
                "429 (`max_concurrency`) is not bad here, 504 (a time-out) is.",
                "`service_version` is not used: it is `not available` unless a built Bento is served.",
            ),
        ),
        "flagger": Profile(
            about="No queries: only the canary's weight, from Flagger's own gauge. For queries of your own.",
            told_by="your own queries",
            remarks=("Every profile reads the weight this way.",),
        ),
    }
)
