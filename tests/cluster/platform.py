"""What stands beside the bench's node: registry, git server, the authority of its names; and the platform on the node.

`gitops/` is applied as it is. What a forge and a builder would do beforehand is done here: the engines' images are
loaded, upstream's charts and this project's images pushed, the tree committed with the digests of those images.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster import engines, images, project_images, registry_charts
from cluster.control_daemon import Daemon
from cluster.gitserver import NAME as GIT
from cluster.gitserver import GitServer
from cluster.kubectl import Kubectl
from cluster.machine import Machine
from cluster.node import cgroups
from cluster.node.layout import BENCH_DOMAIN, NODE
from cluster.pki import Authority
from cluster.registry import NAME as REGISTRY
from cluster.registry import Registry
from manifests import tenants

ROOT = Path(__file__).parents[2]
BOOTSTRAP = "gitops/clusters/bench/bootstrap"
_INSTALL = "https://raw.githubusercontent.com/argoproj/argo-cd/v3.5.7/manifests/install.yaml"
# What the platform's manifests name, the heaviest last.
IMAGES = ("redis", "prometheus", "flagger", "envoy-gateway", "envoy", "argocd")

THIRD = "tone"
MODELS = (tenants.FIRST, tenants.SECOND, THIRD)  # the first is in git, the others are copies of it
PLATFORM = "coalmine"  # the platform's own namespace
CLOSER = "closer"  # the user as whom it pushes
_VOLUMES = 12

Say = Callable[[str], None]


class Platform:
    """The bench's services and the platform on a node. Holds no state: another process finds the same."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        folder = self.machine.layout.folder
        self.authority = Authority.at(folder / "authority", name=f"authority.{BENCH_DOMAIN}")
        self.registry = Registry(folder / "registry", self.authority)
        self.git = GitServer(folder / "git", self.authority)
        self.work = folder / "checkout"

    @property
    def kubectl(self) -> Kubectl:
        return self.machine.kubectl

    def start(self, *, say: Say = lambda _: None) -> None:
        """The node up, the images in it, registry and git server answering, charts in the registry. Safe to repeat."""
        self.machine.up(say=say)
        images.load(IMAGES, ctr=self.machine.ctr, say=say)
        say("starting the registry and the git server")
        self.registry.start()
        self.registry.trust(self.machine.layout.certs)
        registry_charts.push(self.registry)
        self.kubectl.apply(self.volumes())
        self.git.create()
        self.serve_git()
        _adopt(self.registry.daemon)

    def serve_git(self) -> None:
        """Start the git server, also after a test has stopped it."""
        self.git.start()
        _adopt(self.git.daemon)

    def volumes(self) -> list[dict[str, Any]]:
        """A default storage class and folders for the claims that name none: the bench has no provisioner."""
        kind = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "provisioner": "kubernetes.io/no-provisioner",
        }
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        made = [
            kind | {"metadata": {"name": "bench", "annotations": default}, "volumeBindingMode": "WaitForFirstConsumer"}
        ]
        where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
        for number in range(_VOLUMES):
            folder = self.machine.layout.folder / "volumes" / f"{number}"
            folder.mkdir(parents=True, exist_ok=True)
            spec = {
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "bench",
                "local": {"path": str(folder)},  # not hostPath, to which no fsGroup is given
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
            }
            name = {"name": f"bench-{number}"}
            made.append({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": name, "spec": spec})
        return made

    def stop(self) -> None:
        """The services only; the node is the machine's to stop."""
        self.git.stop()
        self.registry.stop()

    def own_images(self, *, source: Path = ROOT, say: Say = lambda _: None) -> dict[str, str]:
        """Build (or find) this project's images of `source`'s HEAD and push them: name -> digest."""
        project_images.bases()
        pushed = {}
        for name in project_images.PARTS:
            say(f"building {name}")
            pushed[name] = self.registry.push(project_images.archive(name, source=source), name)
        return pushed

    def secrets(self, *, models: Sequence[str] = ()) -> None:
        """What a person gives a cluster: the closer's deploy key; and what cert-manager would have filled."""
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLATFORM}}
        files = {
            "username": CLOSER,
            "password": self.git.token(CLOSER),
            "ca.crt": self.authority.certificate.read_text(),
        }
        data = {key: base64.b64encode(text.encode()).decode() for key, text in files.items()}
        key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git", "namespace": PLATFORM}, "data": data}
        hosts = (f"*.{BENCH_DOMAIN}",)
        self.kubectl.apply([space, key, self.certificate("coalmine-tls", namespace=PLATFORM, hosts=hosts)])
        for model in models:
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": model}}
            inside = self.certificate(f"{model}-tls", namespace=model, hosts=(f"{model}.{model}.svc",))
            self.kubectl.apply([space, inside])

    def require_signature(self, key: Path) -> None:
        """Make the forge's check required: main moves only where `coalmine check` finds nothing to refuse."""
        tools = engines.binary("cosign").parent
        self.git.hook(
            '#!/bin/sh\nwhile read -r old new ref; do\n  [ "$ref" = refs/heads/main ] || continue\n'
            f"  PATH={tools}:$PATH SSL_CERT_FILE={self.authority.certificate} {sys.executable} -m coalmine.cli"
            f' check "$old" "$new" --env bench --key {key} >&2 || exit 1\ndone\n'
        )

    def publish(self, *, images_of_ours: Mapping[str, str], source: Path = ROOT) -> str:
        """Make `main` on the git server this checkout's HEAD with more models and our images' digests.

        Returns the commit.

        `images_of_ours`: image name -> digest in the bench's registry.
        """
        bare = self.git.create()
        shutil.rmtree(self.work, ignore_errors=True)
        _git("clone", "--quiet", "--no-hardlinks", str(source), str(self.work), at=source)
        for model in MODELS[1:]:
            _add_model(self.work, model)
        if images_of_ours:
            (self.work / "gitops/clusters/bench/images/kustomization.yaml").write_text(_component(images_of_ours))
        _git("add", "--all", at=self.work)
        _git("commit", "--quiet", "--message", "Add models; name the images by digest", at=self.work)
        # By its path, so that no check and no webhook is in the way of a bench that begins anew.
        _git("push", "--quiet", "--force", str(bare), "HEAD:refs/heads/main", at=self.work)
        return _git("rev-parse", "HEAD", at=self.work).strip()

    def bootstrap(self) -> None:
        """What a newcomer applies by hand, once; then what git and the registry need to be trusted."""
        folder = self.work / BOOTSTRAP
        shutil.copy(engines.module("argocd") / "manifests/install.yaml", folder / "install.yaml")
        file = folder / "kustomization.yaml"
        file.write_text(file.read_text().replace(_INSTALL, "install.yaml"))  # the same bytes, and no network
        built = subprocess.run(
            [str(engines.binary("kustomize")), "build", str(folder)], capture_output=True, text=True, check=True
        ).stdout
        _git("checkout", "--quiet", "--", ".", at=self.work)
        crds, rest = _split(built)
        self.kubectl.apply(crds)
        for name in _names(self.kubectl, "crd", "argoproj.io"):
            self.kubectl.wait(f"crd/{name}", "Established")
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
        self.trust("argocd")  # first: what it could not fetch Argo CD tries again after minutes
        self.kubectl.apply(rest)
        for name in ("repo-server", "server", "redis"):
            self.kubectl.within("argocd").rolled_out(f"deployment/argocd-{name}", seconds=300)
        # Its first look came before there was who fetches; the next one by itself would be a minute later.
        refresh = ("argocd.argoproj.io/refresh=normal", "--overwrite")
        self.kubectl.within("argocd").run("annotate", "application", "root", *refresh)
        # Applications are refreshed by the one, made by the other.
        hosts = (self.address("argocd-server"), f"{self.address('argocd-applicationset-controller')}:7000")
        self.git.webhooks(*(f"http://{host}/api/webhook" for host in hosts))

    def address(self, service: str, *, namespace: str = "argocd") -> str:
        """A Service's own address, which this machine reaches as pods do."""
        return str(self.kubectl.within(namespace).get("service", service)["spec"]["clusterIP"])

    def trust(self, namespace: str) -> None:
        """Let the Argo CD in that namespace trust what serves the bench's names."""
        certificate = self.authority.certificate.read_text()
        made = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "argocd-tls-certs-cm", "namespace": namespace},
            "data": dict.fromkeys((GIT, REGISTRY), certificate),
        }
        self.kubectl.apply(made, "--field-manager=bench")

    def certificate(self, name: str, *, namespace: str, hosts: tuple[str, ...]) -> dict[str, Any]:
        """A TLS Secret as cert-manager would fill it, signed by the bench's authority."""
        pair = self.authority.issue(f"{namespace}-{name}", common_name=hosts[0], hosts=hosts)
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": self.authority.certificate}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {"flagger.app/config-tracking": "disabled"},  # a renewal is no release
            },
            "data": {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()},
        }


def _adopt(daemon: Daemon) -> None:
    """So that `down` finds it whatever happens."""
    if pid := daemon.pid():
        cgroups.adopt(pid)


def _add_model(root: Path, model: str) -> None:
    """Another model of the first one's folders, as the documentation tells a newcomer."""
    tenants.second(root, name=model)
    copy = root / "bentos" / model
    shutil.copytree(root / "bentos" / tenants.FIRST, copy)
    service = copy / "service.py"
    service.write_text(service.read_text().replace(f'name="{tenants.FIRST}"', f'name="{model}"'))


def _component(ours: Mapping[str, str]) -> str:
    """The cluster's list of this project's images, as its builder writes it."""
    lines = [
        f'  - {{name: {name}, newName: {REGISTRY}:5000/{name}, digest: "{digest}"}}\n' for name, digest in ours.items()
    ]
    head = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n"
    return head + "".join(lines)


def _split(manifests: str) -> tuple[str, str]:
    """CRDs, and the rest: what is of a kind can be applied once the API serves that kind."""
    parts = manifests.split("\n---\n")
    crds = [part for part in parts if "\nkind: CustomResourceDefinition\n" in f"\n{part}"]
    return "\n---\n".join(crds), "\n---\n".join(part for part in parts if part not in crds)


def _names(kubectl: Kubectl, kind: str, ending: str) -> list[str]:
    return [item["metadata"]["name"] for item in kubectl.items(kind) if item["metadata"]["name"].endswith(ending)]


def _git(*words: str, at: Path) -> str:
    who = ["-c", "user.name=bench", "-c", f"user.email=bench@{BENCH_DOMAIN}"]
    return subprocess.run(["git", *who, *words], cwd=at, capture_output=True, text=True, check=True).stdout
