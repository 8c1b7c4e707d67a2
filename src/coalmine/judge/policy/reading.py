"""A policy from its file: shared parts laid over one another, and complaints that name line and field."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from os.path import normpath
from pathlib import Path, PurePath
from typing import Any

import yaml
from pydantic import ValidationError

from coalmine.errors import BadInput
from coalmine.judge.policy.metrics import KINDS
from coalmine.judge.policy.model import Policy

# What only the laid-over whole can be blamed for: a kind that the layer below gives, fields that must agree.
_ONLY_THE_WHOLE = ("value_error", "missing", "union_tag_invalid", "union_tag_not_found")


def load_policy(source: PurePath | str) -> Policy:
    """Read a policy from a file (a path) or from YAML text (a str).

    Raises:
        BadInput: no such file, no YAML, an unknown field or a value out of range; it names line and field.
    """
    return read_policy(source)[1]


def read_policy(source: PurePath | str, *, read: Callable[[PurePath], str] | None = None) -> tuple[str, Policy]:
    """The policy and its whole text: with `extends: ../shared/policy.yaml` what the file gives is laid over the shared
    one, and the text is the result, so that it can be kept and read again without the files. `read` gives a file's text
    where it does not lie on the disk; it raises BadInput where there is none.

    Raises:
        BadInput: as load_policy, and where policies extend one another in a circle.
    """
    if isinstance(source, str):
        return source, _parse(source, "policy")
    texts = [(source, (read or _text)(source))]
    layers = [_layer(*texts[-1])]
    while isinstance(below := layers[-1].pop("extends", None), str):
        path = type(source)(normpath(texts[-1][0].parent / below))
        if path in (at for at, _ in texts):
            raise BadInput(f"extends: {path} extends itself", where=str(source), remedy="break the circle")
        texts.append((path, (read or _text)(path)))
        layers.append(_layer(*texts[-1]))
    if len(layers) == 1:
        return texts[0][1], _parse(texts[0][1], str(source))
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = _laid_over(merged, layer)
    whole = yaml.safe_dump(merged, sort_keys=False)
    return whole, _parse(whole, " over ".join(str(at) for at, _ in texts))


def _layer(path: PurePath, text: str) -> dict[str, Any]:
    """One file of a chain. What is wrong in it is told by its own lines."""
    where = str(path)
    data = _data(text, where)
    if not isinstance(data, dict) or "extends" not in data:
        return data if isinstance(data, dict) else {}
    if not isinstance(data["extends"], str):
        raise BadInput("extends: not a path", where=where, remedy="name a file, relative to this one")
    try:
        Policy.model_validate({key: value for key, value in data.items() if key != "extends"})
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] not in _ONLY_THE_WHOLE:
            raise _complaint(first, yaml.compose(text, Loader=yaml.SafeLoader), where) from error
    return data


def _text(path: PurePath) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=str(path), remedy="name a readable YAML file") from error


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Maps are merged, all else is replaced; null takes a metric away."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _data(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no YAML"
        raise BadInput(str(problem), where=f"{where}{line}", remedy="mend the YAML") from error


@lru_cache(maxsize=64)
def _parse(text: str, where: str) -> Policy:
    data = _data(text, where)
    try:
        return Policy.model_validate({} if data is None else data)
    except ValidationError as error:
        raise _complaint(error.errors()[0], yaml.compose(text, Loader=yaml.SafeLoader), where) from error


def _complaint(first: Any, node: yaml.Node | None, where: str) -> BadInput:
    line, names = _place(node, first["loc"])
    field = ".".join(names) or "the whole"
    allowed = first.get("ctx", {}).get("expected") or first.get("ctx", {}).get("expected_tags")
    message = f"{field}: {first['msg']}" + (f" (expected {allowed})" if allowed else "")
    return BadInput(message, where=f"{where}:{line}", remedy="`coalmine judge schema` prints what a policy may hold")


def _place(node: yaml.Node | None, loc: tuple[int | str, ...]) -> tuple[int, list[str]]:
    """Line (from 1) and field of a pydantic location; parts that are no YAML key (a union's tag) are passed over."""
    line, names = 1, []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                names.append(str(part))
            elif last:
                names.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            names.append(str(part))
    return line, names


def schema() -> dict[str, Any]:
    """JSON Schema of a policy as it is written, for editors: with `extends`, kinds that go by the metric's name, and
    null for a metric that is taken away.
    """
    found = Policy.model_json_schema()
    kinds = {name: {"$ref": f"#/$defs/{kind.__name__}"} for name, kind in KINDS.items()}
    gone = {"type": "null"}
    found["properties"]["metrics"] = {
        "title": "Metrics",
        "type": "object",
        "properties": {name: {"anyOf": [kind, gone]} for name, kind in kinds.items()},
        "additionalProperties": {"anyOf": [*kinds.values(), gone]},
    }
    found["properties"]["extends"] = {"title": "Extends", "type": "string", "description": "a policy to lay this over"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
