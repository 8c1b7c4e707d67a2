"""docs/reference/prometheus.md from the table of profiles; run as a program, it writes the page anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coalmine.judge.profiles import PROFILES, Profile

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "prometheus.md"
_HEAD = """\
# Prometheus

What the judge asks of a Prometheus server, which it is given with `--prometheus`. How to set it up is told in [the
judge beside Flagger](../how-to/judge-beside-flagger.md). The profiles below are written from the judge's own table:
`.venv/bin/python tests/unit/judge/profiles_page.py` writes this page anew, and a test fails where it is out of date.

## In the policy

```yaml
prometheus:
  profile: istio
  queries:
    fallbacks:
      total: model_requests_total{namespace="{namespace}",workload="{workload}"}
      bad: model_fallbacks_total{namespace="{namespace}",workload="{workload}"}
metrics:
  fallbacks: {kind: counts}
```

| field | default | meaning |
|---|---|---|
| `profile` | none | One of those below: selectors for `errors` and `latency`, and the weight. |
| `canary` | `{name}` | The canary's Deployment by Flagger's rule: {workload} where the canary is asked for. |
| `primary` | `{name}-primary` | The primary's. |
| `release` | the targets of {workload} | Series whose label `release` says what {workload} runs, for votes as well. |
| `every_seconds` | `10.0` | The time between two readings. |
| `queries` | none | Selectors by metric. What is given replaces the profile's, field by field. |

A query has these fields:

| field | for the kinds | meaning |
|---|---|---|
| `total` | errors, feedback, counts, paired, mix | A counter of all outcomes; the exposure of counts. |
| `bad` | errors, feedback, counts, paired | A counter of the bad ones; the events of counts. |
| `buckets` | latency | A histogram's series with the label `le`. |
| `unit` | latency | What `le` is in: `s`, or `ms`. |
| `label` | mix | The label of `total` that names the class, `class` if not given. |
| `value` | resource | A gauge. |

A score cannot be had from counters, since it needs the sum of squares: push it.

Each text is a selector of raw series, or several joined by `or`. Functions are refused: rate() and increase() guess,
and a sum hides the restart of one process. {namespace} and {name} are those of the Canary, {workload} the arm's
Deployment, {arm} the profile's matcher for the arm. A query that selects the same for both arms is refused, except
`total` of paired.

## How it is counted

- Raw counters are differenced series by series. The last values are kept with the judge's polls, so a restart of the
  judge loses nothing and counts nothing twice. The first reading only remembers.
- A counter below its last value began anew, and all of it is new. A restart after which a counter is above its old
  value by the next scrape cannot be seen; then some events are missed, and none is made up.
- A series that appears later begins at 0 where its process (`job`, `instance`, `pod`) was known: the first failure
  makes such a series. What a process that was never seen before has counted so far is only remembered.
- The judge asks for the samples themselves (`selector[45s]`), so that each bears the time of its scrape. An instant
  vector would show a value of up to five minutes ago as if it were of now. Samples older than `fresh_seconds` are no
  data.
- A server that is down, takes longer than three seconds for all questions of a reading, or answers nonsense is no
  data. No data holds a canary. What was missed is counted when it answers again.
- Latency: a reading is one slice for each arm. The policy's edges must be bucket boundaries; else the metric has no
  data, and the judge's log names the edges that there are.
- Outcomes bear the weight of the reading before, so that no step is earned by requests of the step below it.
- The label `release` or `version` of a counter names the arm's release, unless both arms bear the same.
  Where counters have none, series of `up` with the labels namespace, workload and release name it, or those of the
  policy's `release`; of two releases the one whose series began last.
- Scrape each process by one job. Two jobs count each request twice, which makes the evidence look stronger than it
  is.
- Scrape at least every 30 seconds; `fresh_seconds` must be longer than the scrape interval.

## Profiles

| profile | for | the arms are told apart by |
|---|---|---|
"""


def render() -> str:
    """The page as it should be."""
    rows = "".join(f"| [`{name}`](#{name}) | {one.about} | {one.told_by} |\n" for name, one in PROFILES.items())
    return _HEAD + rows + "".join(f"\n### {name}\n\n{_section(one)}" for name, one in PROFILES.items())


def _section(one: Profile) -> str:
    return "\n\n".join(part for part in (one.about, *_queries(one), _remarks(one)) if part) + "\n"


def _queries(one: Profile) -> Iterator[str]:
    for metric, query in one.queries.items():
        for field in ("total", "bad", "buckets"):
            if text := query.get(field):
                unit = f", in {query['unit']}" if "unit" in query else ""
                yield f"`{metric}`, {field}{unit}:\n\n```\n{text.replace(' or ', chr(10) + 'or ')}\n```"
    if one.arms:
        arms = "\n".join(f"{arm}: {matcher}" for arm, matcher in one.arms.items())
        yield f"{{arm}} is\n\n```\n{arms}\n```"
    if not one.queries:
        yield f"The weight:\n\n```\n{one.weight.replace(' or ', chr(10) + 'or ')}\n```"


def _remarks(one: Profile) -> str:
    return "\n".join(f"- {remark}" for remark in one.remarks)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
