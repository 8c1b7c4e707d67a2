"""CM215: nginx keeps idle connections longer than the service behind it does."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.nginxconf import confs
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import duration


def check(estate: Estate) -> Iterator[Hit]:
    for conf in confs(estate):
        for kept in conf.named("keepalive"):
            if kept.around and kept.around[-1][0] == "upstream":
                found = conf.in_force("keepalive_timeout", kept)
                here = found is not None and found.around == kept.around
                if not here:
                    yield conf.hit(kept, f"upstream {kept.around[-1][1]} has no keepalive_timeout, so 60s")
                elif found is not None and (duration(found.words[1]) or 0) >= 75:
                    yield conf.hit(found, f"keepalive_timeout {found.words[1]}, and the service closes after 75s")


_GOOD = """\
# file: nginx/edge.conf
upstream model {
    server 127.0.0.1:3000;
    keepalive 64;
    keepalive_timeout 30s;
}
server {
    listen 8443 ssl;
    location = /predict {
        proxy_next_upstream off;
        proxy_read_timeout 61s;
        proxy_pass http://model;
    }
}
"""

RULE = Rule(
    id="CM215",
    title="Idle connections outlive the service's",
    severity=Severity.ERROR,
    reason="A POST that meets a connection which the service is just closing is lost, since nothing is tried twice.",
    remedy="Give each upstream with `keepalive` a `keepalive_timeout` below the service's own keep-alive.",
    source="nginx, ngx_http_upstream_module: keepalive_timeout, default 60s; nginx/nginx.conf.j2",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "    keepalive_timeout 30s;\n", ""),
)
