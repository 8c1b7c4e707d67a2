"""The command line of each engine of the node, with the identity by which it speaks to the API server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.engines import binary
from cluster.node import configs
from cluster.node.layout import ADDRESS, API_PORT, NODE, Layout
from cluster.pki import Authority, write_kubeconfig

SERVER = f"https://{ADDRESS}:{API_PORT}"
ZONE = "zone-a"
# The order of starting. Stopping is at once: they are killed together.
NAMES = ("containerd", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


@dataclass(frozen=True, slots=True)
class Commands:
    """Writes what an engine reads, then names its command. Each call issues a new certificate."""

    layout: Layout
    authority: Authority

    def of(self, name: str) -> list[str]:
        """The command of one of NAMES."""
        return {
            "containerd": self._containerd,
            "kube-controller-manager": self._controller_manager,
            "kube-scheduler": self._scheduler,
            "kubelet": self._kubelet,
            "kube-proxy": self._proxy,
        }[name]()

    def _containerd(self) -> list[str]:
        configs.registry(self.layout)
        config = self._written("containerd.toml", configs.containerd(self.layout))
        return [str(binary("containerd")), "--config", str(config), "--log-level", "warn"]

    def _controller_manager(self) -> list[str]:
        kubeconfig = self._identity("kube-controller-manager", "system:kube-controller-manager")
        pki = self.authority.folder
        return [
            *self._serving("kube-controller-manager", kubeconfig),
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--root-ca-file={self.authority.certificate}",
            f"--cluster-signing-cert-file={self.authority.certificate}",
            f"--cluster-signing-key-file={self.authority.key}",
        ]

    def _scheduler(self) -> list[str]:
        return self._serving("kube-scheduler", self._identity("kube-scheduler", "system:kube-scheduler"))

    def _kubelet(self) -> list[str]:
        kubeconfig = self._identity("kubelet", f"system:node:{NODE}", organization="system:nodes")
        serving = self.authority.issue(
            "kubelet-serving", common_name=f"system:node:{NODE}", organization="system:nodes", hosts=(ADDRESS, NODE)
        )
        content = configs.kubelet(self.layout, serving=serving, authority=self.authority.certificate)
        return [
            str(binary("kubelet")),
            f"--config={self._written('kubelet.json', content)}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={self.layout.kubelet}",
            f"--cert-dir={self.layout.kubelet / 'pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
            f"--node-labels=topology.kubernetes.io/zone={ZONE},topology.kubernetes.io/region=bench",
        ]

    def _proxy(self) -> list[str]:
        kubeconfig = self._identity("kube-proxy", "system:kube-proxy")
        return [str(binary("kube-proxy")), f"--config={self._written('kube-proxy.json', configs.proxy(kubeconfig))}"]

    def _serving(self, name: str, kubeconfig: Path) -> list[str]:
        """What the controller manager and the scheduler have in common."""
        return [
            str(binary(name)),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.layout.configs / name}",
            "--leader-elect=false",  # there is one of it
            "--profiling=false",
        ]

    def _identity(self, name: str, user: str, *, organization: str = "") -> Path:
        pair = self.authority.issue(f"{name}-client", common_name=user, organization=organization)
        path = self.layout.configs / f"{name}.kubeconfig"
        return write_kubeconfig(path, server=SERVER, authority=self.authority.certificate, pair=pair, user=user)

    def _written(self, name: str, content: str) -> Path:
        path = self.layout.configs / name
        path.write_text(content)
        return path
