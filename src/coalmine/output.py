"""How commands speak: lines for people on standard output, or one JSON document; progress and errors on the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any

from coalmine.errors import CoalmineError

as_json = False


def show(result: Any, *, lines: Sequence[str]) -> None:
    """A command's result: `lines` for people, or the whole of it as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(_plain(result), default=str, indent=1) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def tell(sentence: str) -> None:
    """Progress; never mixed into the result."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def fail(error: CoalmineError) -> None:
    """What went wrong, and the remedy."""
    if as_json:
        words = {"error": error.what, "where": error.where, "remedy": error.remedy, "kind": type(error).__name__}
        sys.stdout.write(json.dumps(words) + "\n")
    sys.stderr.write(f"coalmine: {error}\n")


def _plain(value: Any) -> Any:
    """Dataclasses as JSON objects, also within lists and objects."""
    if is_dataclass(value) and not isinstance(value, type):
        from pydantic import TypeAdapter  # noqa: PLC0415 - only `--json` needs it

        return TypeAdapter(type(value)).dump_python(value, mode="json")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
