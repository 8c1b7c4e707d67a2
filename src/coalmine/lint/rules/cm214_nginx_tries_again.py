"""CM214: nginx tries another upstream, and the canary's failure is not seen."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.nginxconf import confs
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for conf in confs(estate):
        for proxied in conf.named("proxy_pass"):
            found = conf.in_force("proxy_next_upstream", proxied)
            if found is None or found.words[1:] != ("off",):
                yield conf.hit(proxied, f"proxy_next_upstream is {' '.join(found.words[1:]) if found else 'not off'}")


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
    id="CM214",
    title="nginx tries again",
    severity=Severity.ERROR,
    reason="By default nginx sends a failed request to the next upstream: the log says 200, and the arm that failed "
    "is not blamed.",
    remedy="Write `proxy_next_upstream off;` wherever something is proxied.",
    source="nginx, ngx_http_proxy_module: proxy_next_upstream, default `error timeout`",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "        proxy_next_upstream off;\n", ""),
)
