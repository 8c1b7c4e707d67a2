"""What the judge says while it runs: one line an event on standard error, JSON for machines or plain for people."""

from __future__ import annotations

import logging
import sys
from typing import Literal, get_args

import structlog
from structlog.typing import EventDict, WrappedLogger

from coalmine.judge.tokens import PREFIX

Format = Literal["json", "console"]
FORMATS: tuple[Format, ...] = get_args(Format)


def begin(wanted: Format) -> None:
    """Set the logs of this process up: time, level, event, and what belongs to it.

    Libraries that log in Python's own way come out on the same stream in the same format.
    """
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if wanted == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        without_secrets,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last], foreign_pre_chain=chain
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    structlog.configure(
        processors=[*chain, last],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The last line of defence: nothing that looks like a token of ours leaves the process."""
    return {key: _masked(value) for key, value in event.items()}


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _masked(value: object) -> object:
    if not isinstance(value, str) or PREFIX not in value:
        return value
    head, *rest = value.split(PREFIX)
    return head + "".join(f"{PREFIX}***{part.lstrip(_LETTERS)}" for part in rest)
