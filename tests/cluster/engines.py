"""Which engines the bench runs: one table. `binary` builds one through the cache, `module` gives its source's folder.

The versions go together (docs of the bench say how they were tried): raise one alone and the rest may not build.
"""

from __future__ import annotations

from pathlib import Path

from cluster import cache, golang
from cluster.golang import Engine
from coalmine.errors import BadInput

KUBERNETES = "v1.36.3"
STAGING = "v0.36.3"  # the version under which Kubernetes publishes the modules of its own tree


def _kubernetes(command: str) -> Engine:
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    where = "k8s.io/component-base/version"
    stamps = {f"{where}.gitVersion": KUBERNETES, f"{where}.gitMajor": major, f"{where}.gitMinor": minor}
    return Engine("k8s.io/kubernetes", KUBERNETES, f"cmd/{command}", stamps, borrowed={"k8s.io/": STAGING})


def _containerd(command: str) -> Engine:
    version = "v2.4.2"
    stamps = {"github.com/containerd/containerd/v2/version.Version": version}
    return Engine("github.com/containerd/containerd/v2", version, f"cmd/{command}", stamps)


# In the order in which they are wanted: what checks files first, then what runs a cluster, then what runs in it.
ENGINES: dict[str, Engine] = {
    "kustomize": Engine("sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1"),
    "flagger": Engine("github.com/fluxcd/flagger", "v1.44.0", "cmd/flagger"),
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kubectl": _kubernetes("kubectl"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kubelet": _kubernetes("kubelet"),
    "kube-proxy": _kubernetes("kube-proxy"),
    "containerd": _containerd("containerd"),
    "containerd-shim-runc-v2": _containerd("containerd-shim-runc-v2"),
    "ctr": _containerd("ctr"),
    "runc": Engine("github.com/opencontainers/runc", "v1.5.2", tags="seccomp", cgo=True),
    "envoy-gateway": Engine(
        "github.com/envoyproxy/gateway",
        "v1.9.1",
        "cmd/envoy-gateway",
        {"github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion": "v1.9.1"},
    ),
    "argocd": Engine(
        "github.com/argoproj/argo-cd/v3",
        "v3.5.7",
        "cmd",
        {"github.com/argoproj/argo-cd/v3/common.version": "3.5.7"},
        borrowed={"github.com/argoproj/argo-cd/gitops-engine": "v0.0.0-20260914071520-c9c369efcc5b"},
    ),
    # Of all the ways to find targets only Kubernetes' API: the rest would take as long to build as everything else.
    "prometheus": Engine(
        "github.com/prometheus/prometheus",
        "v0.316.0",  # the module's number of 3.16.0
        "cmd/prometheus",
        {"github.com/prometheus/common/version.Version": "3.16.0"},
        tags="remove_all_sd,enable_kubernetes_sd",
    ),
    "coredns": Engine("github.com/coredns/coredns", "v1.14.0"),
    "kwok": Engine("sigs.k8s.io/kwok", "v0.8.0", "cmd/kwok", {"sigs.k8s.io/kwok/pkg/consts.Version": "v0.8.0"}),
    "helm": Engine("helm.sh/helm/v3", "v3.22.0", "cmd/helm", {"helm.sh/helm/v3/internal/version.version": "v3.22.0"}),
    "registry": Engine("github.com/distribution/distribution/v3", "v3.1.2", "cmd/registry"),
    "pebble": Engine("github.com/letsencrypt/pebble/v2", "v2.10.1", "cmd/pebble"),
    "pebble-challtestsrv": Engine("github.com/letsencrypt/pebble/v2", "v2.10.1", "cmd/pebble-challtestsrv"),
    "cosign": Engine("github.com/sigstore/cosign/v3", "v3.1.3", "cmd/cosign"),
    "syft": Engine("github.com/anchore/syft", "v1.57.0", "cmd/syft"),
    "actionlint": Engine("github.com/rhysd/actionlint", "v1.7.12", "cmd/actionlint"),
    "kubeconform": Engine("github.com/yannh/kubeconform", "v0.8.0", "cmd/kubeconform"),
}

# Go modules that are read (CRDs, charts, manifests) and run nothing here.
MODULES: dict[str, tuple[str, str]] = {
    "gateway-api": ("sigs.k8s.io/gateway-api", "v1.6.3"),
    "cert-manager": ("github.com/cert-manager/cert-manager", "v1.21.2"),
}


def binary(name: str) -> Path:
    """The absolute path of an engine's program, built on first use (minutes), at once afterwards.

    Raises BadInput for a name that the table lacks, Missing without Go or a library, Broken when the build fails.
    """
    engine = _engine(name)
    made = cache.kept(name, engine.recipe(), lambda path: golang.build(name, engine, into=path / name))
    return made / name


def built(name: str) -> Path | None:
    """The program's path if it is built already, else None; builds nothing."""
    path = cache.place(name, _engine(name).recipe()) / name
    return path if path.exists() else None


def module(name: str) -> Path:
    """The folder of the Go module of an engine, or of one of `MODULES`; read-only by intention, shared by all."""
    if name in MODULES:
        return golang.download(*MODULES[name])
    engine = _engine(name)
    return golang.download(engine.module, engine.version)


def _engine(name: str) -> Engine:
    if name not in ENGINES:
        raise BadInput(f"no engine {name!r}", where="cluster.engines", remedy="one of: " + " ".join(sorted(ENGINES)))
    return ENGINES[name]
