"""The nginx configuration as a function of EdgeConfig: same config, same text.

The templates lie in the repository's `nginx/`, since Kubernetes' pods use them too; an installed package carries
a copy beside this file.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from coalmine.edge.config import EdgeConfig
from coalmine.errors import Broken

_MAIN = "nginx.conf.j2"

# Errors that the edge makes itself: status -> (name for machines, sentence for people). A service's own error
# bodies pass unchanged. All of these end in named locations, so that method and path stay in the log.
ERRORS: dict[int, tuple[str, str]] = {
    403: ("forbidden", "not allowed"),
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "use POST"),
    411: ("length_required", "send a Content-Length"),
    413: ("too_large", "the request body is larger than allowed"),
    415: ("unsupported", "this content encoding is not supported"),
    429: ("too_many_requests", "slow down and try again"),
    500: ("edge_failed", "the edge failed"),
    501: ("not_implemented", "the transfer encoding is not supported"),
    502: ("no_answer", "the service did not answer"),
    503: ("nothing_released", "nothing released yet"),
    504: ("timed_out", "the service did not answer in time"),
}


def templates() -> Path:
    """The folder of templates. Raises Broken where neither place has it."""
    here = Path(__file__).resolve()
    candidates = (here.parent / "templates", here.parents[3] / "nginx")
    for folder in candidates:
        if (folder / _MAIN).is_file():
            return folder
    raise Broken(
        f"no {_MAIN} in {' or '.join(str(c) for c in candidates)}",
        remedy="reinstall coalmine: its wheel carries the templates",
    )


def render(config: EdgeConfig) -> str:
    """nginx.conf as text. Raises jinja2.UndefinedError if a template names what the config has not."""
    environment = Environment(
        loader=FileSystemLoader(templates()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is nginx's configuration; config.py refuses what would need escaping
    )
    return environment.get_template(_MAIN).render(
        edge=config, errors=ERRORS, buckets=[f"{n:02d}" for n in range(100)], digits="0123456789abcdef"
    )
