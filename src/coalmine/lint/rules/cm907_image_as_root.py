"""CM907: an image that runs as root."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_USER = re.compile(r"^\s*USER\s+(?P<who>\S+)")


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.named("Containerfile", "Dockerfile"):
        stages = [number for number, text in file.lines() if re.match(r"\s*FROM\b", text)]
        last = [
            (number, match["who"])
            for number, text in file.lines()
            if (match := _USER.match(text)) and number > max(stages, default=0)
        ]
        if stages and (not last or last[-1][1].split(":")[0] in ("root", "0")):
            yield file.hit(
                last[-1][0] if last else stages[-1], f"ends as {last[-1][1] if last else 'the base image does'}"
            )


_GOOD = """\
# file: images/serving.Containerfile
FROM docker.io/library/python:3.11-slim-bookworm AS build
RUN pip install --no-deps -r requirements.txt
FROM docker.io/library/python:3.11-slim-bookworm
COPY --from=build /venv /venv
USER 10001
ENTRYPOINT ["python", "-m", "coalmine.release.serve"]
"""

RULE = Rule(
    id="CM907",
    title="Image that runs as root",
    severity=Severity.ERROR,
    reason="Whoever breaks out of the model's process is root in the container; and a namespace that enforces "
    "`restricted` refuses a pod that must not run as root and whose image does not say as whom it runs.",
    remedy="End the last stage with `USER` and a number that is not 0.",
    source="Kubernetes, Pod Security Standards: runAsNonRoot is checked against a numeric user",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "USER 10001\n", ""),
)
