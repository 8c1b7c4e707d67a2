"""A leak of the canary is seen; what both arms do, or what scaling does, is none."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from coalmine.judge.policy import Resource
from coalmine.judge.sources.growth import Counted, Growth, Sample

RULES = Resource(window_seconds=10, growth_margin=0.01)


def run(steps: list[dict[str, dict[str, float]]], rules: Resource = RULES) -> list[Counted]:
    """One step every 10 s: values by arm and process. The window goes through JSON each time."""
    growth, found = Growth(), list[Counted]()
    for number, step in enumerate(steps):
        growth = Growth.load(json.loads(json.dumps(growth.dump())))
        for arm, values in step.items():
            found += growth.take(rules, [Sample(10.0 * number, arm, value, key) for key, value in values.items()])
    return found


def grown(found: list[Counted]) -> dict[str, tuple[int, int]]:
    growth = [one for one in found if one.part == "growth"]
    return {
        arm: (sum(one.n for one in growth if one.arm == arm), sum(one.e for one in growth if one.arm == arm))
        for arm in ("canary", "primary")
    }


def test_a_leak_of_one_arm_is_that_arms() -> None:
    """Each window is one outcome in each arm."""
    steps = [{"canary": {"a": 100.0 + 5 * i}, "primary": {"p": 100.0}} for i in range(5)]
    assert grown(run(steps)) == {"canary": (4, 4), "primary": (4, 0)}
    other_way = [{"canary": step["primary"], "primary": step["canary"]} for step in steps]
    assert grown(run(other_way)) == {"canary": (4, 0), "primary": (4, 4)}


def test_what_both_arms_do_is_no_leak() -> None:
    """A cache that fills in both of them."""
    steps = [{"canary": {"a": 100.0 + 5 * i}, "primary": {"p": 100.0 + 5 * i}} for i in range(5)]
    assert grown(run(steps)) == {"canary": (4, 0), "primary": (4, 0)}


def test_a_process_more_or_less_is_no_growth() -> None:
    """Only those that were there at both ends are compared."""
    sizes = [{"a": 100.0}, {"a": 100.0, "b": 900.0}, {"b": 900.0, "c": 50.0}]
    steps = [{"canary": size, "primary": {"p": 100.0}} for size in sizes]
    assert grown(run(steps)) == {"canary": (2, 0), "primary": (2, 0)}


def test_an_arm_without_samples_makes_no_window() -> None:
    """And the next one begins when it is back."""
    steps: list[dict[str, dict[str, float]]] = [{"canary": {"a": 100.0 + i}} for i in range(50)]
    assert run(steps) == []
    both = [{"canary": {"a": 100.0}, "primary": {"p": 100.0}}, {"canary": {"a": 200.0}}, {"canary": {"a": 300.0}}]
    assert run(both) == []


@given(values=st.lists(st.floats(0, 1e12), min_size=1, max_size=30), limit=st.floats(1, 1e12))
def test_each_new_sample_counts_once_against_the_limit(values: list[float], limit: float) -> None:
    """However often it is shown."""
    rules, growth = Resource(limit=limit), Growth()
    found = list[Counted]()
    for t, value in enumerate(values):
        for _ in range(2):
            found += growth.take(rules, [Sample(float(t), "canary", value, "a")])
    assert sum(one.n for one in found) == len(values)
    assert sum(one.e for one in found) == sum(value > limit for value in values)
