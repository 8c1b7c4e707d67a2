"""Who reaches whom by the network, with two tenants: the policies of git over the pods of git.

They are evaluated as a CNI that enforces them would. The bench has none that does: nothing here was seen on a wire.
"""

from __future__ import annotations

import pytest

from coalmine.lint.estate import Estate
from coalmine.lint.objects import Obj, Pod
from coalmine.lint.policies import refused
from manifests.rendered import tree
from manifests.tenants import FIRST, SECOND, both

NAMESPACES = ("envoy-gateway-system", "flagger-system", "monitoring", "coalmine", "mlflow", "argocd", "elsewhere")
# Who calls (namespace, labels), whom (namespace, labels), at which port, and whether it may.
GATEWAY = ("envoy-gateway-system", {"app.kubernetes.io/component": "proxy"})
PROMETHEUS = ("monitoring", {"app": "prometheus"})
FLAGGER = ("flagger-system", {"app.kubernetes.io/name": "flagger"})
JUDGE, CLOSER = ("coalmine", {"app": "judge"}), ("coalmine", {"app": "closer"})
MLFLOW, STRANGER = ("mlflow", {"app": "mlflow"}), ("elsewhere", {"app": "stranger"})
A, B = ((name, {"app": f"{name}-primary", "coalmine.dev/model": name}) for name in (FIRST, SECOND))
KEYS_OF_A = (FIRST, {"app": "keys"})
Who = tuple[str, dict[str, str]]

CASES: list[tuple[str, Who, Who, int, bool]] = [
    ("the gateway asks a model", GATEWAY, A, 8443, True),
    ("the gateway asks the other model", GATEWAY, B, 8443, True),
    ("the gateway does not read a model's counters", GATEWAY, A, 9090, False),
    ("Prometheus reads a model's counters", PROMETHEUS, A, 9090, True),
    ("Prometheus asks no model", PROMETHEUS, A, 8443, False),
    ("a model asks not the other tenant's model", A, B, 8443, False),
    ("nor reads its counters", A, B, 9090, False),
    ("nor the other way round", B, A, 8443, False),
    ("a tenant's own pods do not ask its model past the gateway", KEYS_OF_A, A, 8443, False),
    ("a model calls no hook of the judge", A, JUDGE, 8090, False),
    ("a model hands in no votes", A, JUDGE, 8461, False),
    ("a model asks no MLflow", A, MLFLOW, 5000, False),
    ("a model reads no Prometheus", A, PROMETHEUS, 9090, False),
    ("a stranger asks no model", STRANGER, A, 8443, False),
    ("a stranger calls no hook of the judge, which takes no credentials", STRANGER, JUDGE, 8090, False),
    ("a stranger asks no MLflow, which has no accounts", STRANGER, MLFLOW, 5000, False),
    ("a stranger does not reach the closer", STRANGER, CLOSER, 8462, False),
    ("Flagger calls the judge's hooks", FLAGGER, JUDGE, 8090, True),
    ("Flagger hands in no votes", FLAGGER, JUDGE, 8461, False),
    ("Flagger asks no model", FLAGGER, A, 8443, False),
    ("the closer asks the judge", CLOSER, JUDGE, 8090, True),
    ("the closer asks MLflow", CLOSER, MLFLOW, 5000, True),
    ("the judge asks no MLflow", JUDGE, MLFLOW, 5000, False),
    ("the judge reads Prometheus", JUDGE, PROMETHEUS, 9090, True),
    ("the gateway brings votes to the judge", GATEWAY, JUDGE, 8461, True),
    ("the gateway calls no hook of the judge", GATEWAY, JUDGE, 8090, False),
]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    return Estate([Obj(one) for one in both(tree(tmp_path_factory.mktemp("two")))])


@pytest.mark.parametrize(("caller", "called", "port", "may"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_who_may_reach_whom(estate: Estate, caller: Who, called: Who, port: int, *, may: bool) -> None:
    assert (refused(estate, _pod(*caller), _pod(*called), port) is None) is may


def test_the_pods_of_these_cases_are_those_of_git(estate: Estate) -> None:
    """A label that no pod bears would make each case above say nothing. What charts make is not in git."""
    made = {(pod.namespace, *label) for pod in estate.all_pods for label in pod.labels.items()}
    for namespace, labels in (PROMETHEUS, JUDGE, CLOSER, MLFLOW, A, B, KEYS_OF_A):
        assert {(namespace, *label) for label in labels.items()} <= made, namespace


def test_what_one_tenant_has_the_other_has_too_and_nothing_is_of_both(estate: Estate) -> None:
    """A namespace, a quota, a limit, policies, a project: one each; no Role or Binding of one lies in the other's."""
    for kind in ("ResourceQuota", "LimitRange", "NetworkPolicy", "Role", "ServiceAccount"):
        names = [{one.name.replace(t, "") for one in estate.kind(kind) if one.namespace == t} for t in (FIRST, SECOND)]
        assert names[0] == names[1] != set(), kind
    for project in (one for one in estate.kind("AppProject") if one.name in (FIRST, SECOND)):
        assert [one["namespace"] for one in project.at("spec", "destinations")] == [project.name]
        assert project.at("spec", "clusterResourceWhitelist") == []
    for binding in (one for one in estate.kind("RoleBinding") if one.namespace in (FIRST, SECOND)):
        other = SECOND if binding.namespace == FIRST else FIRST
        assert other not in str(binding.at("subjects")), binding.title


def _pod(namespace: str, labels: dict[str, str]) -> Pod:
    data = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it", "namespace": namespace, "labels": labels}}
    return Pod(Obj(data), ())
