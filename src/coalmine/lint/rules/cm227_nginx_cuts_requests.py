"""CM227: an image whose nginx cuts requests off when it is told to end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_RUNS = re.compile(r"^\s*(?:ENTRYPOINT|CMD)\b.*\bnginx\b", re.MULTILINE)


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.named("Containerfile", "Dockerfile"):
        if _RUNS.search(file.text) and not re.search(r"^\s*STOPSIGNAL\s+(?:SIG)?QUIT\b", file.text, re.MULTILINE):
            line = next(number for number, text in file.lines() if _RUNS.match(text))
            yield file.hit(line, "nginx without STOPSIGNAL SIGQUIT")


_GOOD = """\
# file: images/nginx.Containerfile
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update && apt-get install -y nginx-light
USER 10001
STOPSIGNAL SIGQUIT
ENTRYPOINT ["nginx", "-g", "daemon off;"]
"""

RULE = Rule(
    id="CM227",
    title="nginx that cuts requests off",
    severity=Severity.ERROR,
    reason="At SIGTERM nginx ends at once, with requests under way; at SIGQUIT it finishes them. The runtime sends "
    "SIGTERM unless the image says otherwise.",
    remedy="Write `STOPSIGNAL SIGQUIT`.",
    source="nginx, controlling nginx: TERM is a fast shutdown, QUIT a graceful one",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "STOPSIGNAL SIGQUIT\n", ""),
)
