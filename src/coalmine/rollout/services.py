"""In-cluster addresses on one machine: a table from `host:port` to `host:port`, and the connections to them."""

from __future__ import annotations

from collections.abc import Mapping

import httpx


class Services:
    """`{"judge.coalmine:8090": "127.0.0.1:8460"}`: the Canary file keeps its in-cluster names, calls go to loopback."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._table = dict(table)
        self._clients: dict[bool, httpx.Client] = {}

    def resolve(self, url: str) -> str:
        """The address to call; one that the table does not name is left as it is."""
        parsed = httpx.URL(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        local = self._table.get(f"{parsed.host}:{port}")
        if local is None:
            return url
        host, _, local_port = local.rpartition(":")
        return str(parsed.copy_with(host=host, port=int(local_port)))

    def client(self, *, verify: bool) -> httpx.Client:
        """Made at the first call. Proxies of the environment are not for calls inside a cluster."""
        if verify not in self._clients:
            self._clients[verify] = httpx.Client(verify=verify, trust_env=False, follow_redirects=True)
        return self._clients[verify]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
