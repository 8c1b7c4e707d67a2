"""The configuration of the node's engines: containerd, kubelet, kube-proxy, and how images are pulled."""

from __future__ import annotations

import json
from pathlib import Path

from cluster import network
from cluster.engines import binary
from cluster.node import cgroups
from cluster.node.layout import ADDRESS, DNS, DOMAIN, NODE, PAUSE, PODS, REGISTRY, Layout
from cluster.pki import Pair

_UNUSED = (
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.opt",  # makes /opt/containerd
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.nri.v1.nri",  # makes a socket below /run
)


def containerd(layout: Layout) -> str:
    """TOML, version 3 of containerd's schema."""
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    images = "plugins.'io.containerd.cri.v1.images'"
    return f"""\
version = 3
root = "{layout.store}"
state = "{layout.runtime}"
disabled_plugins = {json.dumps(_UNUSED)}

[grpc]
address = "{layout.socket}"

[{images}]
snapshotter = "overlayfs"
[{images}.pinned_images]
sandbox = "{PAUSE}"
[{images}.registry]
config_path = "{layout.certs}"

[{runtime}]
restrict_oom_score_adj = true # this machine's root may not lower a score
netns_mounts_under_state_dir = true # where `down` finds them
[{runtime}.cni]
bin_dirs = ["{network.PLUGINS}"]
conf_dir = "{layout.cni}"
[{runtime}.containerd]
default_runtime_name = "runc"
[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{binary("containerd-shim-runc-v2")}" # a distribution's older one answers to the name
[{runtime}.containerd.runtimes.runc.options]
BinaryName = "{binary("runc")}"
Root = "{layout.runtime}/runc"
SystemdCgroup = false
"""


def registry(layout: Layout) -> None:
    """Let containerd pull by the bench's registry's name without DNS and without TLS."""
    folder = layout.certs / REGISTRY
    folder.mkdir(parents=True, exist_ok=True)
    server = f"http://{ADDRESS}:{REGISTRY.rpartition(':')[2]}"
    hosts = f'server = "{server}"\n\n[host."{server}"]\ncapabilities = ["pull", "resolve"]\n'
    (folder / "hosts.toml").write_text(hosts)


def kubelet(layout: Layout, *, serving: Pair, authority: Path) -> str:
    """KubeletConfiguration as JSON."""
    resolve = layout.configs / "resolv.conf"
    resolve.write_text("")  # pods ask the cluster's DNS and nothing of the machine's
    content = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "clusterDNS": [DNS],
        "clusterDomain": DOMAIN,
        "resolvConf": str(resolve),
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # this machine's root may not lower it
        "makeIPTablesUtilChains": False,  # kube-proxy speaks nftables; nothing must stay in iptables
        "podLogsDir": str(layout.logs),
        "volumePluginDir": str(layout.plugins),
        "maxPods": 250,
        "syncFrequency": "10s",  # a changed Secret reaches its pods in seconds, not in a minute
        "eventRecordQPS": 0,
        "serializeImagePulls": False,
        # The disk is shared with all that the developer has: its being full is no business of the bench.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
    }
    return json.dumps(content, indent=1)


def proxy(kubeconfig: Path) -> str:
    """KubeProxyConfiguration as JSON."""
    content = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # The machine's connection tracking stays as it is.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return json.dumps(content, indent=1)
