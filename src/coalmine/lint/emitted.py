"""Which program emits which series. A name that is in no row is emitted by nothing that runs here.

Read in the sources: Flagger 1.44 pkg/metrics/recorder.go; BentoML 1.4.39 instruments.py and server/app.py; Envoy 1.39
cluster and HTTP statistics as /stats/prometheus writes them; Argo CD 3.5 controller/metrics; the judge's and the
feedback service's own. Families of programs that are no part of this are known by their prefix alone.
"""

from __future__ import annotations

import re

_JUDGE = (
    "coalmine_log_e_mean coalmine_weight coalmine_decision coalmine_log_e_rollback coalmine_log_e_noninferior "
    "coalmine_canary_outcomes_total coalmine_canary_bad_total coalmine_judge_lines_total coalmine_judge_votes_total "
    "coalmine_judge_outcomes_total coalmine_judge_lines_skipped_total coalmine_judge_polls_total "
    "coalmine_judge_pass_failures_total coalmine_judge_source_failures_total coalmine_judge_hook_answers_total "
    "coalmine_judge_leads coalmine_judge_lease_term"
)
_FLAGGER = (
    "flagger_info flagger_canary_total flagger_canary_status flagger_canary_weight flagger_canary_metric_analysis "
    "flagger_canary_successes_total flagger_canary_failures_total"
)
_BENTOML = (
    "bentoml_service_request_total bentoml_service_request_in_progress "
    "bentoml_service_last_request_timestamp_seconds bentoml_service_websocket_connections "
    "bentoml_service_websocket_data_received bentoml_service_websocket_data_sent"
)
_HISTOGRAMS = (
    "coalmine_judge_pass_seconds coalmine_feedback_seconds flagger_canary_duration_seconds "
    "bentoml_service_request_duration_seconds bentoml_service_adaptive_batch_size"
)
# One word for each of a cluster's counters and gauges about requests (rq) and connections (cx).
_ENVOY_RQ = (
    "0rtt active cancelled completed maintenance_mode max_duration_reached pending_active pending_failure_eject "
    "pending_overflow pending_total per_try_idle_timeout per_try_timeout retry retry_backoff_exponential "
    "retry_backoff_ratelimited retry_limit_exceeded retry_overflow retry_success rx_reset timeout total tx_reset xx"
)
_ENVOY_CX = (
    "active close_notify connect_attempts_exceeded connect_fail connect_timeout connect_with_0_rtt destroy "
    "destroy_local destroy_local_with_active_rq destroy_remote destroy_remote_with_active_rq destroy_with_active_rq "
    "http1_total http2_total http3_total idle_timeout max_duration_reached max_requests none_healthy overflow "
    "pool_overflow protocol_error rx_bytes_buffered rx_bytes_total total tx_bytes_buffered tx_bytes_total"
)
_CLOSER = (
    "coalmine_closer_ends_total coalmine_closer_closed_total coalmine_closer_waiting coalmine_closer_retries_total "
    "coalmine_closer_looks_total coalmine_closer_last_list_seconds coalmine_closer_watch_breaks_total "
    "coalmine_closer_leads"
)
_DRIFT = (
    "coalmine_drift_state coalmine_drift_log_e coalmine_drift_log_threshold coalmine_drift_rows "
    "coalmine_drift_tenant_state coalmine_drift_last_look_seconds coalmine_process_cpu_seconds_total "
    "coalmine_process_resident_bytes coalmine_process_restarts"
)
EXACT = {
    "the judge": _JUDGE,
    "the closer": _CLOSER,
    "drift's looks": _DRIFT,
    "the feedback service": "coalmine_feedback_requests_total coalmine_feedback_events_total",
    "the prediction log": "coalmine_predictions_logged_total coalmine_predictions_dropped_total",
    "Flagger": _FLAGGER,
    "BentoML": _BENTOML,
    "Prometheus": "up ALERTS ALERTS_FOR_STATE",
}
_PREFIXES = {
    "Envoy's clusters": r"envoy_cluster_(?:bind|circuit_breakers|lb|membership|outlier_detection|ssl|update)_\w+",
    "Envoy's listeners": r"envoy_(?:http|listener|server|listener_manager|cluster_manager|runtime|tls|tcp)_\w+",
    "Argo CD": r"argocd_\w+",
    "kube-state-metrics": r"kube_\w+",
    "the kubelet": r"(?:container|kubelet|machine)_\w+",
    "node_exporter": r"node_\w+",
    "the Kubernetes API server": r"(?:apiserver|workqueue|rest_client|controller_runtime|etcd|coredns)_\w+",
    "a Prometheus client": r"(?:process|python|go|promhttp)_\w+",
    "Prometheus itself": r"(?:prometheus|scrape)_\w+",
    "Envoy Gateway": r"(?:xds|watchable|status_update|resource)_\w+",
    "cert-manager": r"certmanager_\w+",
    "Istio": r"istio_\w+",
    "ingress-nginx": r"nginx_ingress_\w+",
    "NGINX Gateway Fabric": r"nginx_gateway_fabric_\w+",
    "a GPU's exporter": r"DCGM_\w+",
    "Airflow": r"airflow_\w+",
    "Argo Workflows": r"argo_workflows?_\w+",
    "Grafana": r"grafana_\w+",
}
_SUFFIXED = re.compile(r"(?P<name>\w+)_(?:bucket|sum|count)\Z")
_NAMES = {name: program for program, names in EXACT.items() for name in names.split()}
_NAMES |= {f"envoy_cluster_upstream_rq_{word}": "Envoy" for word in _ENVOY_RQ.split()}
_NAMES |= {f"envoy_cluster_upstream_cx_{word}": "Envoy" for word in _ENVOY_CX.split()}
_NAMES |= {
    f"envoy_cluster_{where}upstream_rq{kind}": "Envoy"
    for where in ("", "external_", "internal_")
    for kind in ("", "_xx")
}
_HISTOGRAM_NAMES = set(_HISTOGRAMS.split()) | {
    "envoy_cluster_upstream_rq_time",
    "envoy_cluster_external_upstream_rq_time",
    "envoy_cluster_upstream_cx_length_ms",
    "envoy_cluster_upstream_cx_connect_ms",
}


def emitter(name: str) -> str:
    """Who emits a series, empty for nobody."""
    if name in _NAMES:
        return _NAMES[name]
    match = _SUFFIXED.match(name)
    if match and match["name"] in _HISTOGRAM_NAMES:
        return "a histogram"
    return next((program for program, pattern in _PREFIXES.items() if re.fullmatch(pattern, name)), "")
