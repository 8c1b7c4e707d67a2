"""CM216: nginx gives up when the service does."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.nginxconf import confs
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for conf in confs(estate):
        for proxied in conf.named("proxy_pass"):
            found = conf.in_force("proxy_read_timeout", proxied)
            if found is None:
                yield conf.hit(proxied, "no proxy_read_timeout, so 60s, which is BentoML's own")


_GOOD = """\
# file: nginx/edge.conf
server {
    listen 8443 ssl;
    location = /predict {
        proxy_next_upstream off;
        proxy_read_timeout 61s;
        proxy_pass http://127.0.0.1:3000;
    }
}
"""

RULE = Rule(
    id="CM216",
    title="nginx's time-out",
    severity=Severity.WARNING,
    reason="BentoML's time-out and nginx's are both 60 s by default: which of them ends a slow request is chance, "
    "and 504 and a broken connection are counted differently.",
    remedy="Write `proxy_read_timeout` a second above the service's time-out.",
    source="nginx, ngx_http_proxy_module; BentoML 1.4, default_configuration.yaml: traffic.timeout 60",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "        proxy_read_timeout 61s;\n", ""),
)
