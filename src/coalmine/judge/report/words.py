"""An analysis' JSON (`coalmine.judge.views`) in words and numbers that a person reads. Pure, and no numpy here: the
controller's report uses these words too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

View = Mapping[str, Any]
_HEADLINES = {
    "ROLLBACK": "Roll back",
    "PROMOTE": "Promote",
    "CONTINUE": "Rolling out",
    "INCONCLUSIVE": "No verdict in time",
    "SUPERSEDED": "Superseded",
}
_OUTCOMES = {"rolled_back": "Rolled back", "promoted": "Promoted", "superseded": "Superseded", "stopped": "Stopped"}
_TONES = {
    "Roll back": "bad", "Rolled back": "bad", "Promote": "good", "Promoted": "good", "Promoted, on watch": "good",
}  # fmt: skip
_WIDEST = 2900.0  # odds ratios beyond e^8 lie outside the grid: that end is not known yet


def headline(view: View) -> str:
    """Two words: what is being done, or what was done."""
    decision = str(view.get("decision") or "CONTINUE")
    if view.get("status") == "baking" and decision != "ROLLBACK":
        return "Promoted, on watch"
    if decision == "CONTINUE" and view.get("status") == "open" and (view.get("override") or {}).get("action") == "hold":
        return "Held"
    return _OUTCOMES.get(str(view.get("outcome") or ""), _HEADLINES.get(decision, decision))


def tone(view: View) -> str:
    """Which colour says it: good, bad or wait."""
    return _TONES.get(headline(view), "wait")


def count(n: float) -> str:
    return f"{n:,.0f}"


def percent(rate: float | None) -> str:
    return "no data" if rate is None else f"{_share(rate)} %"


def _share(rate: float) -> str:
    value = 100 * rate
    return f"{value:.1f}" if value == 0 or value >= 0.0995 else f"{value:.1g}"


def rate(metric: View, arm: str) -> str:
    """`1.5 % (0.9-2.4)` of the arm `c` or `b`: the rate and, where it is known, its band. Events over an exposure
    are no share, so they stand as a plain number.
    """
    value, low, high = (metric.get(f"rate_{arm}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "no data"
    if metric.get("kind") == "counts":
        band = "" if low is None or high is None else f" ({low:.3g}-{high:.3g})"
        return f"{value:.3g} a unit{band}"
    band = "" if low is None or high is None else f" ({_share(low)}-{_share(high)})"
    return percent(value) + band


def counted(metric: View, arm: str) -> str:
    """What the rate was made of: `18 of 1,200`. A score's sum is in millionths, so only its number is shown."""
    n, e = metric[f"n_{arm}"], metric[f"e_{arm}"]
    if metric.get("kind") == "score":
        return f"{count(n)} scores"
    joined = "in" if metric.get("kind") == "counts" else "of"
    return f"{count(e)} {joined} {count(n)}"


def ratio(metric: View) -> str:
    """The band of the odds ratio."""
    low, high = metric.get("odds_low"), metric.get("odds_high")
    if metric.get("changed") or low is None or high is None:
        return "changed during the rollout"
    known_low, known_high = low > 1 / _WIDEST, high < _WIDEST
    if known_low and known_high:
        return f"{_short(low)} to {_short(high)}"
    if known_high:
        return f"up to {_short(high)}"
    return f"{_short(low)} or more" if known_low else "not known yet"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def moment(t: float, *, date: bool = False) -> str:
    """A Unix time in UTC, with or without its date."""
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S UTC" if date else "%H:%M:%S UTC")


def needs(metric: View) -> str:
    """What stands between this metric and its part in a promotion."""
    if metric["role"] != "guardrail":
        return "not asked for"
    if metric["passes"]:
        return "passes"
    if not metric["n_c"]:
        return "no data yet"
    if metric.get("needs") is None:
        return "no telling yet"
    seconds = metric.get("needs_seconds")
    when = "" if seconds is None else f", {duration(seconds)}"
    return f"about {count(metric['needs'])} more{when}"


def sentence(view: View) -> str:
    """What is seen, what it cost, and what it waits for, in one line."""
    decision = view["decision"]
    said = [part for part in (_seen(view), _cost(view)) if part]
    if decision == "CONTINUE" and view.get("status") == "open":
        said.append(_waits(view))
    elif decision in ("INCONCLUSIVE", "SUPERSEDED"):
        told = decision == "INCONCLUSIVE" or view["release"] == view["primary"]
        said.insert(0, str(view["reason"]) if told else "another release took its place")
    return "; ".join(said)


def _seen(view: View) -> str:
    """What speaks loudest against the canary; while nothing does, the guardrail that is furthest from passing."""
    known = [m for m in view["metrics"].values() if m["n_c"]]
    against = [m for m in known if m["role"] != "observe"]
    worst = max(against, key=lambda m: m["share"], default=None)
    if worst is not None and (view["decision"] == "ROLLBACK" or _speaks(worst)):
        return f"{_compared(worst)}: {_verb(worst)} with odds {worst['odds_rollback']}"
    guards = [m for m in known if m["role"] == "guardrail"]
    if not guards:
        return ""
    last = min(guards, key=lambda m: m["log_e_noninferior"])
    return f"{_compared(last)}: no worse with odds {last['odds_noninferior']}"


def _speaks(metric: View) -> bool:
    return bool(metric["log_e_rollback"] > max(0.5, metric["log_e_noninferior"]))


def _compared(metric: View) -> str:
    primary = f", primary {percent_or_number(metric)}" if metric["n_b"] else ""
    return f"canary {metric['noun']} {rate(metric, 'c')}{primary}"


def percent_or_number(metric: View) -> str:
    """The primary's rate without its band."""
    return rate({"kind": metric.get("kind"), "rate_b": metric["rate_b"]}, "b")


def _verb(metric: View) -> str:
    limit = metric.get("tolerated_rate")
    if metric.get("against") == "tolerated" and limit is not None:
        return f"above the tolerated {percent(limit)}"
    return "worse"


def _cost(view: View) -> str:
    exposed = view["canary_requests"] + view["bake_requests"]
    return f"{count(exposed)} requests exposed, {count(view['failed'])} failed" if exposed else ""


def _waits(view: View) -> str:
    promotion = view.get("promotion")
    if not view["canary_requests"]:
        return str(view["reason"])
    if promotion is None:
        return "no telling yet when it can be promoted"
    if not promotion["outcomes"]:
        return str(view["reason"])
    seconds = promotion["seconds"]
    what = "" if promotion["metric"] == "errors" else f" outcomes of {promotion['metric']}"
    when = "" if seconds is None else f", {duration(seconds)}"
    return f"at this traffic promotion needs about {count(promotion['outcomes'])} more{what}{when}"


# ---- what the templates ask for ----------------------------------------------------------------------------------

_MEASURES = {
    "latency": "slow slices", "feedback": "thumbs down", "counts": "events", "score": "badness", "mix": "of class",
    "resource": "in trouble",
}  # fmt: skip
_COSTS = {
    "canary_requests": "requests that went to the canary",
    "failed": "of them failed",
    "lost": "of them were never answered",
    "extra_failures": "failures above the primary's own rate, estimated",
    "bake_requests": "requests after the promotion, in the bake time",
    "bake_failed": "of these failed",
    "bake_lost": "of these were never answered",
}
_PARTS = {"latency": "slower than", "mix": "class", "resource": "side"}


def measure(metric: View) -> str:
    """The heading over the rates."""
    return _MEASURES.get(str(metric["kind"]), "failed")


def ratio_name(metric: View) -> str:
    """Events over an exposure have no odds: theirs is the ratio of the two rates."""
    return "rate ratio" if metric["kind"] == "counts" else "odds ratio"


def part_name(metric: View) -> str:
    return _PARTS.get(str(metric["kind"]), "part")


def part(one: View, rules: View) -> str:
    """A latency edge in seconds; the objective's own is the part without a name."""
    if rules["kind"] != "latency":
        return str(one["part"])
    return f"{one['part']} s" if one["part"] else f"{rules['edge_seconds']:g} s, the objective"


def of_part(one: View, metric: View) -> View:
    """A part with its metric's kind, for `counted`."""
    return {**one, "kind": metric["kind"]}


def difference(metric: View) -> str:
    low, high = metric.get("difference_low"), metric.get("difference_high")
    return "not known yet" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def part_ratio(one: View) -> str:
    return "-" if one["odds_low"] is None else ratio(one)


def of_poll(poll: View, view: View) -> View:
    """A poll with its metric's kind, for `counted`."""
    return {**poll, "kind": view["metrics"].get(poll["metric"], {}).get("kind")}


def costs(cost: View) -> list[tuple[str, str]]:
    """Rows of the table of costs; what has no number here is left out, and so is a bake time that never was."""
    shown = []
    for key, name in _COSTS.items():
        value = cost.get(key)
        if value is None or (key.startswith("bake") and not cost.get("bake_requests")):
            continue
        shown.append((name, _extra(value) if key == "extra_failures" else count(value)))
    return shown


def _extra(value: float) -> str:
    return f"about {value:,.0f}" if value >= 0.5 else "none" if value > -0.5 else f"none: {-value:,.0f} fewer"


_ROLES = {
    "guardrail": "guardrail: rolls back, and has to pass",
    "rollback": "rolls back only",
    "observe": "watched only",
}


def role(metric: View) -> str:
    return _ROLES.get(str(metric["role"]), str(metric["role"]))


def first(view: View) -> float:
    """The beginning of the plot of weights."""
    return float(min([point["t"] for point in view["weights"][:1]] + [view["started"]]))


def last(view: View, trace: Any) -> float:
    """The end of the plots' time: the newest poll, the newest weight or the end of the attempt."""
    times = [point["t"] for point in trace[-1:]] + [point["t"] for point in view["weights"][-1:]]
    return float(max([*times, view.get("ended") or 0.0, view["started"]]))


def iso(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="seconds")
