"""CM218: nginx proxies to an upstream that nobody has defined."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.nginxconf import OPAQUE, confs
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for conf in confs(estate):
        names = {block[1] for one in conf.directives for block in one.around if block[0] == "upstream"}
        if OPAQUE in names:
            continue
        for proxied in conf.named("proxy_pass"):
            host = re.sub(r"^[a-z]+://", "", proxied.words[1]).split("/")[0]
            plain = re.fullmatch(r"[a-z0-9_-]+", host)
            if plain and host not in names and host != "localhost":
                yield conf.hit(proxied, f"there is no upstream {host}")


_GOOD = """\
# file: nginx/edge.conf
upstream model { server 127.0.0.1:3000; }
server {
    listen 8443 ssl;
    proxy_next_upstream off;
    proxy_read_timeout 61s;
    location = /predict { proxy_pass http://model; }
}
"""

RULE = Rule(
    id="CM218",
    title="Upstream that is not defined",
    severity=Severity.ERROR,
    reason="nginx takes the word for a host's name, asks DNS, and does not start: host not found in upstream.",
    remedy="Define the upstream, or write host and port.",
    source="nginx, ngx_http_proxy_module: proxy_pass",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "proxy_pass http://model", "proxy_pass http://models"),
)
