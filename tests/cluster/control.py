"""A control plane: etcd and kube-apiserver with certificates and an admin's kubeconfig, ready in seconds.

Alone, on free ports of loopback, it is a real API for tests that need no node (schemas, dry runs, controllers run
beside it). With `Options` of its own it is the control plane of the bench's node. No controller manager and no
scheduler: nothing makes service accounts, ReplicaSets or pods here unless the caller runs them.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from cluster.control_daemon import Daemon
from cluster.engines import binary
from cluster.pki import API_SERVER_HOSTS, Authority, Pair, service_account_pair, write_kubeconfig
from coalmine.errors import Broken, Missing

READY_SECONDS = 240.0  # a limit to what hangs: idle it takes three, on cores that others keep busy a minute and more


@dataclass(frozen=True, slots=True)
class Options:
    """Where it listens. Port 0: a free one, chosen at the first start. `flags`: more of kube-apiserver's own."""

    address: str = "127.0.0.1"
    port: int = 0
    services: str = "198.19.0.0/16"
    hosts: tuple[str, ...] = API_SERVER_HOSTS
    flags: tuple[str, ...] = ("--endpoint-reconciler-type=none",)  # loopback is no endpoint that a pod could reach


class ControlPlane:
    """`with ControlPlane(folder) as plane: kubectl(plane.kubeconfig, ...)`. State stays in `folder` over a stop.

    Attributes: `authority`, `kubeconfig` (admin, in system:masters), `server` (its URL), `folder`.
    """

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.folder = folder
        self.options = options or Options()
        self.authority = Authority.at(folder / "pki")
        self.kubeconfig = folder / "admin.kubeconfig"
        self.etcd = Daemon("etcd", folder)
        self.api = Daemon("kube-apiserver", folder)
        self._port = self.options.port or free_port()
        self._etcd_port = free_port()

    @property
    def server(self) -> str:
        return f"https://{self.options.address}:{self._port}"

    def client(self) -> httpx.Client:
        """The admin's HTTP connection; paths are the API's own, such as `/api/v1/namespaces`. Close it after use."""
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        trust.load_cert_chain(self.authority.folder / "admin.crt", self.authority.folder / "admin.key")
        return httpx.Client(base_url=self.server, verify=trust, trust_env=False, timeout=30)

    def start(self) -> None:
        """Return when `/readyz` says ok. Raises Missing without etcd, Broken with the log's end if it fails."""
        service_accounts = service_account_pair(self.authority.folder)
        serving = self.authority.issue("apiserver", common_name="kube-apiserver", hosts=self.options.hosts)
        to_kubelets = self.authority.issue(
            "apiserver-kubelet", common_name="kube-apiserver-kubelet-client", organization="system:masters"
        )
        admin = self.authority.issue("admin", common_name="admin", organization="system:masters")
        write_kubeconfig(self.kubeconfig, server=self.server, authority=self.authority.certificate, pair=admin)
        self.etcd.start(self._etcd_command())
        self.api.start(self._api_command(service_accounts, serving, to_kubelets))
        self._wait()

    def stop(self) -> None:
        """The API server first: without its etcd it would only log. Both are gone when this returns."""
        self.api.stop()
        self.etcd.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _etcd_command(self) -> list[str]:
        program = shutil.which("etcd")
        if program is None:
            raise Missing("etcd is not installed", remedy="apt-get install etcd-server")
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"
        return [
            program,
            "--name=bench",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=bench={peer}",
            "--force-new-cluster",  # one member for ever, and another peer port at each start
            "--unsafe-no-fsync",  # a bench's state need not outlive a power cut
            "--log-level=warn",
        ]

    def _api_command(self, service_accounts: Pair, serving: Pair, to_kubelets: Pair) -> list[str]:
        return [
            str(binary("kube-apiserver")),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--bind-address={self.options.address}",
            f"--advertise-address={self.options.address}",
            "--feature-gates=WatchList=false",  # wants etcd 3.4.25; with Debian's, watches from version 0 would fail
            f"--secure-port={self._port}",
            f"--service-cluster-ip-range={self.options.services}",
            f"--client-ca-file={self.authority.certificate}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--kubelet-client-certificate={to_kubelets.certificate}",
            f"--kubelet-client-key={to_kubelets.key}",
            f"--kubelet-certificate-authority={self.authority.certificate}",
            "--kubelet-preferred-address-types=InternalIP",  # names of nodes are in no DNS here
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={service_accounts.certificate}",
            f"--service-account-signing-key-file={service_accounts.key}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--profiling=false",
            *self.options.flags,
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with self.client() as client:
            while time.monotonic() < deadline:
                for daemon in (self.etcd, self.api):
                    daemon.check()
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                time.sleep(0.1)
        what = f"kube-apiserver is not ready after {READY_SECONDS:.0f} s\n{self.api.tail()}"
        raise Broken(what, where=str(self.api.log))


def free_port(address: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
