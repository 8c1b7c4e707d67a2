"""Two tenants in one cluster, each made of git's own folder: what one may do in the other's namespace, tried.

Rights and quotas are the API server's own business and are enforced here. NetworkPolicies are not, by the bench's CNI:
`tests/manifests/test_tenants.py` evaluates them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.kubectl import Kubectl
from cluster.stage import until
from coalmine.errors import Broken
from manifests.rendered import build, tree
from manifests.tenants import second

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first run builds engines

A, B = "tenant-a", "tenant-b"
PERSON = ("--as=anna", f"--as-group=coalmine:{A}")
QUIET: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def tenants(cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Kubectl]]:
    """The namespaces of both, as their folders make them; the key's copier apart, which wants the judge's key."""
    root = tree(tmp_path_factory.mktemp("tree"))
    for name in (A, B):
        second(root, name=name)
        objects = build(root, f"gitops/tenants/{name}/namespace")
        first = [one for one in objects if one["kind"] == "Namespace"]
        cluster.apply(first)
        cluster.apply([one for one in objects if one["kind"] not in ("Namespace", "Job")])
        cluster.within(name).apply(_secret("feedback-key"))
        quota = cluster.within(name)
        until(lambda quota=quota: "hard" in quota.get("resourcequota", "tenant")["status"], f"{name}'s quota counts")  # type: ignore[misc]
    yield {name: cluster.within(name) for name in (A, B)}
    cluster.run("delete", "namespace", A, B, "--wait=false")


def test_people_of_a_tenant_see_and_restart_what_is_theirs(tenants: dict[str, Kubectl]) -> None:
    mine = tenants[A]
    mine.apply(_pod("restarted"))
    assert "restarted" in mine.run("get", "pods", *PERSON)
    mine.run("delete", "pod", "restarted", "--now", *PERSON)


@pytest.mark.parametrize(
    "words",
    [
        ("get", "pods"),
        ("get", "secrets"),
        ("get", "secret", "feedback-key"),
        ("delete", "pods", "--all"),
        ("get", "resourcequotas"),
        ("create", "configmap", "mine"),
        ("create", "rolebinding", "mine", "--role=tenant", "--user=anna"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("where", [B, "kube-system"])
def test_they_do_nothing_in_another_namespace(tenants: dict[str, Kubectl], words: tuple[str, ...], where: str) -> None:
    _forbidden(tenants[A].within(where), *words, *PERSON)


@pytest.mark.parametrize(
    "words",
    [
        ("get", "secret", "feedback-key"),
        ("create", "configmap", "mine"),
        ("delete", "resourcequota", "tenant"),
        ("delete", "networkpolicy", "default-deny"),
        ("create", "rolebinding", "mine", "--clusterrole=cluster-admin", "--user=anna"),
        ("create", "token", "keys"),
    ],
    ids=" ".join,
)
def test_at_home_they_read_no_secret_and_change_nothing_past_git(
    tenants: dict[str, Kubectl], words: tuple[str, ...]
) -> None:
    _forbidden(tenants[A], *words, *PERSON)


def test_what_runs_for_one_tenant_reads_nothing_of_the_other(tenants: dict[str, Kubectl]) -> None:
    """Its copier of keys reads its own key and no other; its pods' account has no right at all."""
    copier, pods = f"--as=system:serviceaccount:{A}:keys", f"--as=system:serviceaccount:{A}:default"
    assert tenants[A].run("get", "secret", "feedback-key", copier)
    tenants[A].apply(_secret("another"))
    _forbidden(tenants[A], "get", "secret", "another", copier)
    _forbidden(tenants[A], "get", "secrets", copier)
    for account in (copier, pods):
        _forbidden(tenants[B], "get", "secret", "feedback-key", account)
        _forbidden(tenants[B], "get", "pods", account)
    _forbidden(tenants[A], "get", "secret", "feedback-key", pods)


def test_a_tenant_that_has_used_up_its_quota_takes_nothing_of_the_others(tenants: dict[str, Kubectl]) -> None:
    mine, theirs = tenants[A], tenants[B]
    mine.apply(_pod("large", cpu="7"))
    _refused(mine, _pod("more", cpu="2"), "exceeded quota: tenant")
    theirs.apply(_pod("large", cpu="7"))
    for kubectl in (mine, theirs):
        kubectl.run("delete", "pod", "large", "--now")


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"cpu": "9"}, "must be less than or equal to cpu limit of 8"),
        ({"nvidia.com/gpu": "1"}, "exceeded quota: tenant"),
    ],
    ids=["more than a container's most", "a GPU"],
)
def test_what_the_quota_does_not_give_is_refused(tenants: dict[str, Kubectl], wanted: dict[str, str], why: str) -> None:
    _refused(tenants[A], _pod("greedy", **wanted), why)


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_the_gateway_stays_the_only_door(tenants: dict[str, Kubectl], kind: str) -> None:
    spec = {"type": kind, "selector": {"app": "it"}, "ports": [{"port": 80}]}
    _refused(
        tenants[A],
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "door"}, "spec": spec},
        "exceeded quota: tenant",
    )


@pytest.mark.parametrize("more", [{"hostNetwork": True}, {"hostPID": True}, {"securityContext": {}}], ids=str)
def test_a_pod_that_could_leave_its_namespace_by_way_of_the_node_is_refused(
    tenants: dict[str, Kubectl], more: dict[str, Any]
) -> None:
    pod = _pod("escaping")
    pod["spec"] |= more
    _refused(tenants[A], pod, 'violates PodSecurity "restricted:latest"')


def _forbidden(kubectl: Kubectl, *words: str) -> None:
    with pytest.raises(Broken, match=r"(?i)forbidden"):
        kubectl.run(*words)


def _refused(kubectl: Kubectl, manifest: dict[str, Any], why: str) -> None:
    with pytest.raises(Broken, match=why):
        kubectl.run("create", "-f", "-", stdin=json.dumps(manifest))


def _secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"it": "is secret"}}


def _pod(name: str, **wanted: str) -> dict[str, Any]:
    """One that need not run, to be admitted or not: nothing pulls its image."""
    resources = {"requests": wanted, "limits": {k: v for k, v in wanted.items() if "/" in k}}
    container = {
        "name": "it",
        "image": "registry.bench.test:5000/none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": resources,
    }
    spec = {
        "containers": [container],
        "securityContext": QUIET,
        "automountServiceAccountToken": False,
        "nodeSelector": {"coalmine.bench/nowhere": "true"},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
