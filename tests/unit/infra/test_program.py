"""The whole Pulumi program, for every stack that ships, without an engine: what it asks for, and of whom."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.infra import config, manifests, policies, rehearsal
from coalmine.infra.policies import at
from coalmine.infra.rehearsal import CANARY, Rehearsal, Resource
from unit.infra import sdk

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "infra"
STACKS = config.stacks(FOLDER)
CLOUDS = [name for name in STACKS if name != "kind"]
pytestmark = [
    pytest.mark.timeout(300),  # the providers' packages are large, and the machine may be busy
    pytest.mark.filterwarnings(
        "ignore:.* has been deprecated in favor of:DeprecationWarning"
    ),  # they warn of themselves
]


@cache
def run(name: str) -> Rehearsal:
    return rehearsal.of(FOLDER, name)


@pytest.mark.parametrize("name", STACKS)
def test_every_input_fits_the_providers_own_types(name: str) -> None:
    wrong = [text for one in run(name).resources if sdk.typed(one) for text in sdk.mistakes(one)]
    assert not wrong


def test_an_input_that_does_not_fit_is_noticed() -> None:
    """The check above can fail: a wrong kind, an unknown name deep inside, an unknown resource."""
    bucket = run("production").of("gcp:storage/bucket:Bucket")[0]
    wrong: list[dict[str, Any]] = [{"forceDestroy": "no"}, {"versioning": {"enabeld": True}}, {"lifecycleRules": {}}]
    assert all(sdk.mistakes(replace(bucket, inputs={**bucket.inputs, **one})) for one in wrong)
    assert sdk.mistakes(replace(bucket, type="gcp:storage/bukket:Bukket"))


@pytest.mark.parametrize("name", STACKS)
def test_no_policy_finds_anything(name: str) -> None:
    assert policies.check(run(name)) == []


def changed(one: Rehearsal, kind: str, change: Callable[[dict[str, Any]], object]) -> Rehearsal:
    """The run, with one resource's inputs changed."""
    first = one.of(kind)[0]
    inputs = json.loads(json.dumps(first.inputs))
    change(inputs)
    other = replace(first, inputs=inputs)
    return replace(one, resources=tuple(other if each is first else each for each in one.resources))


GKE, EKS = "gcp:container/cluster:Cluster", "aws:eks/cluster:Cluster"
BROKEN: list[tuple[str, str, str, Callable[[dict[str, Any]], object]]] = [
    ("zones", "production", GKE, lambda i: i["nodeLocations"].pop()),
    ("zones", "production", GKE, lambda i: i.update(location="europe-west4-a")),
    (
        "zones",
        "production",
        "gcp:sql/databaseInstance:DatabaseInstance",
        lambda i: i["settings"].update(availabilityType="ZONAL"),
    ),
    ("zones", "production-eks", "aws:rds/instance:Instance", lambda i: i.pop("multiAz")),
    ("zones", "production-eks", "aws:eks/nodeGroup:NodeGroup", lambda i: i["subnetIds"].pop()),
    ("no-public-api", "production", GKE, lambda i: i.pop("masterAuthorizedNetworksConfig")),
    ("no-public-api", "production-eks", EKS, lambda i: i["vpcConfig"].update(publicAccessCidrs=["0.0.0.0/0"])),
    ("no-public-api", "production-eks", EKS, lambda i: i["vpcConfig"].pop("publicAccessCidrs")),
    ("no-public-api", "production-eks", "aws:rds/instance:Instance", lambda i: i.update(publiclyAccessible=True)),
    ("encryption", "production", GKE, lambda i: i.pop("databaseEncryption")),
    ("encryption", "production", "gcp:storage/bucket:Bucket", lambda i: i.pop("encryption")),
    ("encryption", "production", "gcp:storage/bucket:Bucket", lambda i: i.pop("versioning")),
    ("encryption", "production-eks", "aws:s3/bucketVersioning:BucketVersioning", lambda i: i.update(bucket="another")),
    ("encryption", "production-eks", "aws:ec2/launchTemplate:LaunchTemplate", lambda i: i.pop("blockDeviceMappings")),
    ("labels", "production", "gcp:storage/bucket:Bucket", lambda i: i["labels"].pop("cost-center")),
    ("labels", "production-eks", "pulumi:providers:aws", lambda i: i.pop("defaultTags")),
    ("bounded", "production", "gcp:container/nodePool:NodePool", lambda i: i["autoscaling"].pop("totalMaxNodeCount")),
    ("bounded", "production-eks", "aws:eks/nodeGroup:NodeGroup", lambda i: i["scalingConfig"].update(maxSize=1000)),
    (
        "least-rights",
        "production",
        "gcp:storage/bucketIAMMember:BucketIAMMember",
        lambda i: i.update(role="roles/storage.admin"),
    ),
    ("least-rights", "production", "gcp:projects/iAMMember:IAMMember", lambda i: i.update(role="roles/editor")),
    ("audited", "production", GKE, lambda i: i.pop("loggingConfig")),
    ("audited", "production-eks", EKS, lambda i: i.pop("enabledClusterLogTypes")),
    ("recoverable", "production-eks", "aws:rds/instance:Instance", lambda i: i.update(backupRetentionPeriod=1)),
]


@pytest.mark.parametrize(("rule", "name", "kind", "change"), BROKEN, ids=lambda value: str(value)[:40])
def test_each_policy_finds_what_is_against_it(
    rule: str, name: str, kind: str, change: Callable[[dict[str, Any]], object]
) -> None:
    found = policies.check(changed(run(name), kind, change))
    assert rule in {finding.rule for finding in found}


def test_a_gpu_pool_without_its_taint_and_data_without_protection_are_found() -> None:
    """The two that need more than a changed input of the first resource."""
    made = run("production")
    pools = [
        replace(one, inputs={**one.inputs, "nodeConfig": {**one.inputs["nodeConfig"], "taints": []}})
        for one in made.of("gcp:container/nodePool:NodePool")
    ]
    assert {f.rule for f in policies.check(replace(made, resources=tuple(pools)))} >= {"tainted"}
    loose = tuple(replace(one, protect=False) for one in made.of("gcp:storage/bucket:Bucket"))
    assert {f.rule for f in policies.check(replace(made, resources=loose))} >= {"kept"}


@pytest.mark.parametrize("name", STACKS)
def test_no_secret_is_in_plain_text_anywhere(name: str) -> None:
    """The seed is nowhere; what follows from it is only where Pulumi keeps it encrypted. Outputs hold neither."""
    made = run(name)
    derived = [
        hmac.new(CANARY.encode(), f"coalmine/{of}".encode(), hashlib.sha256).digest()
        for of in ("mlflow", "airflow", "judge", "airflow-fernet", "airflow-jwt", "airflow-api")
    ]
    needles = [
        CANARY,
        *(one.hex()[:40] for one in derived),
        *(base64.urlsafe_b64encode(one).decode() for one in derived),
    ]
    assert CANARY not in made.raw_outputs
    assert not [needle for needle in needles if needle in made.raw_outputs]
    holders = 0
    for one in made.resources:
        assert CANARY not in one.raw
        if any(needle in one.raw for needle in needles):
            holders += 1
            assert not [needle for needle in needles if needle in json.dumps(manifests.open_part(one))], one
    assert holders == {"kind": 0, "production": 12, "production-eks": 12}[name]  # Secrets, and databases
    text = manifests.text(made)
    assert not [needle for needle in needles if needle in text]


@pytest.mark.parametrize(
    ("name", "loaded"), [("kind", set()), ("production", {"pulumi_gcp"}), ("production-eks", {"pulumi_aws"})]
)
def test_only_the_clouds_own_package_is_loaded(name: str, loaded: set[str]) -> None:
    """In a process of its own; and in seconds of a processor, ten for the largest, however busy the machine is."""
    code = f"""
import sys, time
from pathlib import Path
from coalmine.infra import rehearsal
rehearsal.of(Path({str(FOLDER)!r}), {name!r})
print(*sorted({{"pulumi_gcp", "pulumi_aws"}} & set(sys.modules)))
print(time.process_time())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    said, seconds = done.stdout.splitlines()
    assert set(said.split()) == loaded
    assert float(seconds) < 30


def test_a_mistake_in_the_configuration_registers_nothing() -> None:
    """The engine shows the sentence, without a traceback."""
    stack = config.load(FOLDER, "kind")
    given = yaml.safe_load((FOLDER / "Pulumi.kind.yaml").read_text())["config"][config.KEY]
    with pytest.raises(Exception, match="zonse: unknown key"):
        rehearsal.rehearse(FOLDER, stack, {**given, "zonse": []})
    with pytest.raises(Exception, match="shorter than 32"):
        rehearsal.rehearse(FOLDER, stack, given, seed="short")


def test_the_entry_point_is_a_table_of_contents() -> None:
    assert len((FOLDER / "__main__.py").read_text().splitlines()) <= 60


def objects(name: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in manifests.objects(run(name)) if one["kind"] == kind]


@pytest.mark.parametrize("name", STACKS)
def test_a_tenants_bounds_close_the_gpu_trap(name: str) -> None:
    """The quota counts GPUs; the LimitRange has no maximum of them, which would put one on every pod."""
    quota = objects(name, "ResourceQuota")[0]["spec"]["hard"]
    limits = objects(name, "LimitRange")[0]["spec"]["limits"][0]
    assert quota["requests.nvidia.com/gpu"] == str(run(name).stack.tenants[0].gpus)
    assert not [key for part in ("max", "default", "defaultRequest") for key in limits[part] if "gpu" in key]
    policy = objects(name, "NetworkPolicy")[0]["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_tenants_namespace_has_what_git_gives_it_too() -> None:
    """Two owners of one object must agree on what both of them set."""
    git = yaml.safe_load((ROOT / "gitops/platform/tenant/namespace.yaml").read_text())["metadata"]["labels"]
    ours = objects("kind", "Namespace")[0]["metadata"]["labels"]
    assert git.items() <= ours.items()


def test_argo_cd_is_of_the_version_that_the_clusters_bootstrap_has() -> None:
    """The folder that Pulumi applies is the bootstrap without its root."""
    ours = yaml.safe_load((FOLDER / "argocd/kustomization.yaml").read_text())
    theirs = yaml.safe_load((ROOT / "gitops/clusters/production/bootstrap/kustomization.yaml").read_text())
    assert ours["resources"] == [one for one in theirs["resources"] if one != "root.yaml"]
    assert [Path(one).name for one in ours["components"]] == [Path(one).name for one in theirs["components"]]
    namespace = "argocd/namespace.yaml"
    assert (FOLDER / namespace).read_text() == (
        ROOT / "gitops/clusters/production/bootstrap/namespace.yaml"
    ).read_text()


def test_spot_gpus_and_sharing_are_as_configured() -> None:
    """On both clouds: the kind of machine, what it costs, how its GPUs are shared."""
    gke = {
        one.inputs["name"]: one.inputs["nodeConfig"] for one in run("production").of("gcp:container/nodePool:NodePool")
    }
    assert gke["training"]["spot"] is True
    assert gke["serving"]["spot"] is False
    accelerator = gke["serving"]["guestAccelerators"][0]
    assert (accelerator["type"], accelerator["count"]) == ("nvidia-l4", 1)
    assert accelerator["gpuSharingConfig"] == {"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": 4}
    assert accelerator["gpuDriverInstallationConfig"] == {"gpuDriverVersion": "DEFAULT"}
    eks = {one.inputs["nodeGroupName"]: one.inputs for one in run("production-eks").of("aws:eks/nodeGroup:NodeGroup")}
    assert eks["training"]["capacityType"] == "SPOT"
    assert eks["serving"]["amiType"] == "AL2023_x86_64_NVIDIA"
    assert eks["serving"]["scalingConfig"] == {"minSize": 0, "maxSize": 6, "desiredSize": 0}
    plugin = next(
        one for one in objects("production-eks", "Application") if one["metadata"]["name"] == "nvidia-device-plugin"
    )
    shared = plugin["spec"]["source"]["helm"]["valuesObject"]["config"]["map"][
        eks["serving"]["labels"]["nvidia.com/device-plugin.config"]
    ]
    assert yaml.safe_load(shared)["sharing"]["timeSlicing"]["resources"] == [{"name": "nvidia.com/gpu", "replicas": 4}]


def test_each_component_is_who_it_is_in_the_cloud_and_nobody_else() -> None:
    """Bindings name one namespace and one service account each."""
    members = {one.inputs["member"] for one in run("production").of("gcp:serviceaccount/iAMMember:IAMMember")}
    assert "serviceAccount:example-ml.svc.id.goog[mlflow/mlflow]" in members
    assert all(member.count("[") == 1 and "*" not in member for member in members)
    pods = {
        (one.inputs["namespace"], one.inputs["serviceAccount"])
        for one in run("production-eks").of("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    }
    assert ("mlflow", "mlflow") in pods
    assert not [one for one in pods if "*" in "".join(one)]


@pytest.mark.parametrize("name", CLOUDS)
def test_what_holds_data_stays(name: str) -> None:
    """Buckets with their rules for old versions, databases to any second."""
    made = run(name)
    buckets = made.of("gcp:storage/bucket:Bucket") + made.of("aws:s3/bucket:Bucket")
    assert len(buckets) == 2
    assert all(one.protect and one.retain and at(one.inputs, "forceDestroy") is False for one in buckets)
    assert len(made.of("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")) in {0, 2}


def resource(name: str, kind: str) -> Resource:
    return run(name).of(kind)[0]


def test_the_control_plane_is_regional_private_and_encrypted() -> None:
    """The inputs that matter most, read once by eye."""
    gke = resource("production", GKE).inputs
    assert gke["location"] == "europe-west4"
    assert gke["privateClusterConfig"] == {
        "enablePrivateNodes": True,
        "enablePrivateEndpoint": False,
        "masterIpv4CidrBlock": "172.16.0.0/28",
    }
    assert gke["masterAuthorizedNetworksConfig"]["cidrBlocks"][0]["cidrBlock"] == "203.0.113.0/24"
    assert gke["databaseEncryption"]["state"] == "ENCRYPTED"
    assert gke["deletionProtection"] is True
    eks = resource("production-eks", EKS).inputs
    assert eks["encryptionConfig"]["resources"] == ["secrets"]
    assert eks["vpcConfig"]["publicAccessCidrs"] == ["203.0.113.0/24"]
    assert len(eks["vpcConfig"]["subnetIds"]) == 3
