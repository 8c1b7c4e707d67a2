"""Over stacks drawn by lot: whatever is valid is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine.infra import config, facts, names, policies, rehearsal
from unit.infra import sdk

FOLDER = Path(__file__).parents[3] / "infra"
WORD = st.from_regex(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", fullmatch=True).filter(lambda word: "--" not in word)


@st.composite
def mappings(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A provider, a region of it with pools of what it offers, tenants within their number of GPUs."""
    provider = draw(st.sampled_from(["gke", "eks"]))
    name = draw(st.sampled_from(sorted(facts.regions(provider))))
    region = facts.regions(provider)[name]
    everywhere = [gpu for gpu, zones in region.gpus.items() if set(region.zones[:3]) <= set(zones)]
    machines = [kind for kind, machine in facts.machines().items() if machine.gpu in everywhere]
    pools = []
    for number in range(draw(st.integers(0, 3)) if machines else 0):
        most = draw(st.integers(1, 20))
        pool = {"name": f"g{number}", "machine": draw(st.sampled_from(machines)), "max": most}
        pool |= {"min": draw(st.integers(0, most)), "spot": draw(st.booleans())}
        pools.append(pool | {"time_slices": draw(st.integers(1, 8))})
    slots = sum(p["max"] * p["time_slices"] for p in pools)  # type: ignore[operator]  # numbers, among other things
    tenants = draw(st.lists(WORD, max_size=3, unique=True))
    given_: dict[str, Any] = {
        "provider": provider,
        "region": name,
        "zones": list(region.zones[:3]),
        "project" if provider == "gke" else "account": "example-ml" if provider == "gke" else "123456789012",
        "git": "https://git.example.com/coalmine.git",
        "domain": f"{draw(WORD)}.example.com",
        "contact": "operators@example.com",
        "owner": "ml",
        "cost_center": "4711",
        "operators": draw(st.lists(st.sampled_from(["203.0.113.0/24", "198.51.100.7/32"]), max_size=2, unique=True)),
        "gpu": pools,
        "tenants": [{"name": one, "gpus": draw(st.integers(0, slots // 3))} for one in tenants],
        "database": {"backup_days": draw(st.integers(7, 35))},
    }
    return draw(WORD), given_


def names_of(run: rehearsal.Rehearsal) -> list[tuple[str, int]]:
    """What the clouds bound, and by how much."""
    limits = {
        ("gcp:serviceaccount/account:Account", "accountId"): names.SERVICE_ACCOUNT,
        ("gcp:storage/bucket:Bucket", "name"): names.BUCKET,
        ("gcp:container/nodePool:NodePool", "name"): names.CLUSTER,
        ("aws:s3/bucket:Bucket", "bucket"): names.BUCKET,
        ("aws:iam/role:Role", "name"): names.ROLE,
        ("aws:eks/cluster:Cluster", "name"): names.CLUSTER,
    }
    named = (
        (one, limits.get((one.type, key)), key) for one in run.resources for key in ("accountId", "name", "bucket")
    )
    clusters = [(one.name, names.CLUSTER) for one in run.of("gcp:container/cluster:Cluster")]
    return [(str(one.inputs[key]), limit) for one, limit, key in named if limit and key in one.inputs] + clusters


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")
@pytest.mark.timeout(900)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(mappings())
def test_whatever_is_valid_satisfies_every_policy_and_fits_every_name(drawn: tuple[str, dict[str, Any]]) -> None:
    """Three zones, tainted GPUs, encrypted and protected buckets, least rights: see the policies, which can fail."""
    name, mapping = drawn
    stack = config.read(mapping, name=name, where="drawn")
    run = rehearsal.rehearse(FOLDER, stack, mapping)
    assert policies.check(run) == []
    assert not [text for one in run.resources if sdk.typed(one) for text in sdk.mistakes(one)]
    too_long = [(text, limit) for text, limit in names_of(run) if len(text) > limit]
    assert not too_long
