"""CM217: every path reaches the service."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.nginxconf import confs
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for conf in confs(estate):
        for proxied in conf.named("proxy_pass"):
            block = proxied.around[-1] if proxied.around else ("", "")
            if block[0] == "location" and block[1] in ("/", "~") and len(block) <= 4:
                yield conf.hit(proxied, f"location {block[1]} passes any path on")


_GOOD = """\
# file: nginx/edge.conf
server {
    listen 8443 ssl;
    proxy_next_upstream off;
    proxy_read_timeout 61s;
    location = /predict {
        proxy_pass http://127.0.0.1:3000;
    }
    location / {
        return 404;
    }
}
"""

RULE = Rule(
    id="CM217",
    title="Every path reaches the service",
    severity=Severity.ERROR,
    reason="BentoML labels its series by the raw path: one scan makes a series for each URL, and Prometheus runs "
    "full. Its /metrics, probes and docs are open to the world too.",
    remedy="Proxy the paths that are meant, by `location = /path`, and answer all else with 404.",
    source="BentoML 1.4.39, instruments.py: endpoint is the request's path; nginx/server.conf.j2",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "        return 404;", "        proxy_pass http://127.0.0.1:3000;"),
)
