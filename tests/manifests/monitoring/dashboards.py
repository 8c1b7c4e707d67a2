"""The dashboards, and what writes them: `.venv/bin/python tests/manifests/monitoring/dashboards.py`.

Their JSON is what Grafana reads, and nobody edits it: it is rendered from the table below by panels.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from manifests.monitoring.panels import Board, Panel, render

FOLDER = Path(__file__).parents[3] / "gitops" / "platform" / "monitoring" / "dashboards"
_WHO = "{{namespace}}/{{name}}"
_ARM = f"{_WHO} {{{{arm}}}}"
_PHASES = ((0, "progressing"), (1, "at rest"), (2, "failed"))
_YES = ((0, "no"), (1, "yes"))
_ROLLBACK_DUE = ((4.6, "red"),)  # ln(1 / alpha) for the default alpha of 0.01


def _quantile(q: float, buckets: str) -> str:
    return f"histogram_quantile({q}, {buckets})"


_NOW = (
    Panel("Phase", "Flagger's last analysis.", (("coalmine:canary_status:phase{*}", _WHO),), kind="stat", width=6,
          height=4, words=_PHASES, colours=((0, "blue"), (1, "green"), (2, "red"))),
    Panel("Weight of the canary", "In percent.", (('coalmine:canary_weight:percent{*,arm="canary"}', _WHO),),
          unit="percent", kind="stat", width=6, height=4),
    Panel("Decision", "What the judge decides now; empty while no analysis runs.",
          (("coalmine:decision:now{*} == 1", f"{_WHO} {{{{decision}}}}"),), kind="stat", width=6, height=4),
    Panel("Promoted", "In a day.", (("round(sum(increase(flagger_canary_successes_total[1d])))", "promoted"),),
          kind="stat", width=3, height=4),
    Panel("Rolled back", "In a day.", (("round(sum(increase(flagger_canary_failures_total[1d])))", "rolled back"),),
          kind="stat", width=3, height=4),
)  # fmt: skip
_ROLLOUT = (
    Panel("Weights", "Flagger's logical weights.", (("coalmine:canary_weight:percent{*}", _ARM),), unit="percent"),
    Panel("Decisions", "One row for each answer of the judge.",
          (("coalmine:decision:now{*}", f"{_WHO} {{{{decision}}}}"),), kind="state-timeline", words=_YES),
)  # fmt: skip
_ARMS = (
    Panel("Share of failures, with 95 % intervals",
          "Over ten minutes. The intervals hold for one look; what decides is the evidence below.",
          (("coalmine:arm_errors:share10m{*}", _ARM), ("coalmine:arm_errors:lower10m{*}", f"{_ARM} lower"),
           ("coalmine:arm_errors:upper10m{*}", f"{_ARM} upper")), unit="percentunit", band=True),
    Panel("Requests per second", "As the gateway counts them for each arm.",
          (("coalmine:arm_requests:rate2m{*}", _ARM),), unit="reqps"),
)  # fmt: skip
_EVIDENCE = (
    Panel("Evidence against the canary", "ln of the judge's mean e-value. The line is 4.6, a rollback at alpha 0.01.",
          (("coalmine:evidence_mean:ln{*}", _WHO),), colours=_ROLLBACK_DUE, least=None),
    Panel("Outcomes of the canary per second", "What the judge counted, by metric.",
          (("coalmine:canary_outcomes:rate5m{*}", f"{_WHO} {{{{metric}}}}"),)),
    Panel("Evidence to roll back, by metric", "ln of the e-value.",
          (("coalmine:evidence_rollback:ln{*}", f"{_WHO} {{{{metric}}}}"),), colours=_ROLLBACK_DUE, least=None),
    Panel("Evidence to promote, by metric", "ln of the e-value that the canary is no worse than the margin.",
          (("coalmine:evidence_noninferior:ln{*}", f"{_WHO} {{{{metric}}}}"),), least=None),
)  # fmt: skip

CANARIES = Board(
    "coalmine-canaries", "Coalmine: canaries", "Each rollout: weights, failures of each arm, evidence and verdicts.",
    (("Now", _NOW), ("Rollout", _ROLLOUT), ("Arms", _ARMS), ("Evidence", _EVIDENCE)),
)  # fmt: skip

_BUCKETS = "coalmine:arm_ms_bucket:rate5m{*}"
_SERVICE = (
    Panel("Requests per second", "By arm.", (("coalmine:arm_requests:rate5m{*}", _ARM),), unit="reqps"),
    Panel("Share of failures", "Five minutes and one hour, by arm. The objective is one in a thousand.",
          (("coalmine:arm_errors:rate5m{*} / coalmine:arm_requests:rate5m{*}", f"{_ARM} 5m"),
           ("coalmine:arm_errors:rate1h{*} / coalmine:arm_requests:rate1h{*}", f"{_ARM} 1h")),
          unit="percentunit", colours=((0.001, "red"),)),
    Panel("Latency", "Median and 99th percentile, by arm; as exact as Envoy's buckets.",
          ((_quantile(0.5, _BUCKETS), f"{_ARM} p50"), (_quantile(0.99, _BUCKETS), f"{_ARM} p99")), unit="ms"),
    Panel("Ready endpoints", "As Envoy sees them.", (("coalmine:arm_endpoints:healthy{*}", _ARM),)),
)  # fmt: skip
_GATEWAY = (
    Panel("Answers to clients per second", "By class, for all routes.",
          (("sum by (envoy_response_code_class) (rate(envoy_http_downstream_rq_xx[5m]))",
            "{{envoy_response_code_class}}xx"),), unit="reqps", width=8),
    Panel("Client connections", "Open now.", (("sum(envoy_http_downstream_cx_active)", "connections"),), width=8),
    Panel("Retries and time-outs per second", "Retries hide a canary's failures: there should be none.",
          (("coalmine:arm_retries:rate5m{*}", f"{_ARM} retries"),
           ("sum(rate(envoy_cluster_upstream_rq_timeout[5m]))", "time-outs"),
           ("sum(rate(envoy_cluster_upstream_rq_pending_failure_eject[5m]))", "refused connections")), width=8),
)  # fmt: skip
_ASKED = 'endpoint!~"/(?:healthz|livez|readyz|metrics)(?:/.*)?"'
_MODEL = (
    Panel("BentoML: predictions per second", "By answer, without probes. Killed workers' requests are missing.",
          ((f"sum by (service_name, http_response_code) (rate(bentoml_service_request_total{{{_ASKED}}}[5m]))",
            "{{service_name}} {{http_response_code}}"),), unit="reqps", width=8),
    Panel("BentoML: in progress", "Now.",
          (("sum by (service_name) (bentoml_service_request_in_progress)", "{{service_name}}"),), width=8),
    Panel("Votes per second", "By answer of POST /feedback.",
          (("sum by (status) (rate(coalmine_feedback_requests_total[5m]))", "{{status}}"),), width=8),
)  # fmt: skip

SERVICE = Board(
    "coalmine-service", "Coalmine: service", "What users get: rate, failures and latency by arm.",
    (("Arms", _SERVICE), ("Gateway", _GATEWAY), ("Model and feedback", _MODEL)),
)  # fmt: skip

_HEALTH = (
    Panel("Targets that answer", "By job.", (("sum by (job) (up)", "{{job}}"),),
          kind="stat", width=8, height=6),
    Panel("Leaders", "One replica decides; two is an alarm.", (("sum(coalmine_judge_leads)", "leaders"),), kind="stat",
          width=4, height=6, colours=((0, "red"), (1, "green"), (2, "red"))),
    Panel("Lease", "The term that each replica holds, 0: none.", (("coalmine_judge_lease_term", "{{instance}}"),),
          width=12, height=6),
)  # fmt: skip
_WORK = (
    Panel("Time of a pass", "Median and 99th percentile.",
          ((_quantile(0.5, "sum by (le) (rate(coalmine_judge_pass_seconds_bucket[5m]))"), "p50"),
           (_quantile(0.99, "sum by (le) (rate(coalmine_judge_pass_seconds_bucket[5m]))"), "p99")), unit="s"),
    Panel("Read per second", "Requests from logs, votes, counts from Prometheus and pushes.",
          (("sum(rate(coalmine_judge_lines_total[5m]))", "log lines"),
           ("sum(rate(coalmine_judge_votes_total[5m]))", "votes"),
           ("sum(rate(coalmine_judge_outcomes_total[5m]))", "counts"),
           ("sum(rate(coalmine_judge_polls_total[5m]))", "polls"))),
    Panel("Failures per second", "Passes, sources and lines that could not be read.",
          (("sum(rate(coalmine_judge_pass_failures_total[5m]))", "passes"),
           ("sum by (source) (rate(coalmine_judge_source_failures_total[5m]))", "{{source}}"),
           ("sum(rate(coalmine_judge_lines_skipped_total[5m]))", "lines skipped"))),
    Panel("Hooks answered per second", '409 is "not yet", 503 is asked again.',
          (("sum by (kind, status) (rate(coalmine_judge_hook_answers_total[5m]))", "{{kind}} {{status}}"),)),
)  # fmt: skip

_CLOSER = (
    Panel("Closings that wait", "Seconds since the analysis ended; git still names the bad release.",
          (("coalmine:closing_waits:seconds", _WHO),), unit="s", width=8),
    Panel("Closed in an hour", "By outcome.",
          (("sum by (outcome) (increase(coalmine_closer_closed_total[1h]))", "{{outcome}}"),), width=8),
    Panel("Retries and broken watches per second", "Git, the registry or the API server are out of reach.",
          (("sum(rate(coalmine_closer_retries_total[5m]))", "retries"),
           ("sum(rate(coalmine_closer_watch_breaks_total[5m]))", "watches")), width=8),
)  # fmt: skip

JUDGE = Board(
    "coalmine-judge", "Coalmine: judge and closer", "Whether the judge sees and decides, and the closer closes.",
    (("Health", _HEALTH), ("Work", _WORK), ("Closer", _CLOSER)), per_canary=False,
)  # fmt: skip

_SIGNAL = "{{model}} {{tenant}} {{signal}}"
_DRIFT = (
    Panel("Tenants", "The worst of each tenant's signals. No data is neither good nor bad.",
          (("coalmine_drift_tenant_state == 1", "{{model}} {{tenant}} {{state}}"),), kind="stat", width=8, height=6),
    Panel("Signals in alarm", "Since their reference.",
          (('coalmine_drift_state{state="alarm"} == 1', _SIGNAL),), kind="stat", width=8, height=6),
    Panel("Since the last look", "`coalmine drift` looks; an alert comes after two hours.",
          (("time() - coalmine_drift_last_look_seconds", "{{model}}"),), unit="s", kind="stat", width=8, height=6),
    Panel("Evidence of a change, against its threshold", "ln of the e-value less that of the threshold: at 0 an alarm.",
          (("coalmine_drift_log_e - coalmine_drift_log_threshold", _SIGNAL),), colours=((0.0, "red"),), least=None),
    Panel("Rows looked at", "Since the reference, by signal.", (("coalmine_drift_rows", _SIGNAL),)),
)  # fmt: skip
_PROCESSES = (
    Panel("CPU", "Cores, with children. One machine only.",
          (("rate(coalmine_process_cpu_seconds_total[1h])", "{{process}}"),), width=8),
    Panel("Memory", "Resident, with children.", (("coalmine_process_resident_bytes", "{{process}}"),), unit="bytes",
          width=8),
    Panel("Restarts", "After an end by itself.", (("coalmine_process_restarts", "{{process}}"),), width=8),
)  # fmt: skip

DRIFT = Board(
    "coalmine-drift", "Coalmine: drift and health", "Whether what comes in, goes out, or is right has changed.",
    (("Drift", _DRIFT), ("Processes", _PROCESSES)), per_canary=False,
)  # fmt: skip

BOARDS = {"canaries.json": CANARIES, "drift.json": DRIFT, "service.json": SERVICE, "judge.json": JUDGE}


def text(board: Board) -> str:
    return json.dumps(render(board), indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, board in BOARDS.items():
        (FOLDER / name).write_text(text(board), encoding="utf-8")
