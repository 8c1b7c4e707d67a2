"""What was registered, held to the providers' own types: each input's name and kind, as their packages declare them."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import pulumi
from pulumi import _types

from coalmine.infra.rehearsal import Resource


def classes() -> dict[str, type]:
    """Each loaded resource class by its token."""
    found: dict[str, type] = {}
    todo: list[type] = [pulumi.CustomResource]
    while todo:
        below: list[type] = todo.pop().__subclasses__()
        for one in below:
            todo.append(one)
            if token := getattr(one, "pulumi_type", None):
                found[token] = one
    return found


def typed(one: Resource) -> bool:
    """Whether it has a class of its own: no part of the program, no provider, no kind that a CRD brings."""
    return one.custom and "providers" not in one.type and ".io/v1alpha1" not in one.type


def mistakes(one: Resource) -> list[str]:
    """What does not fit; an unknown token is a mistake too."""
    known = classes().get(one.type)
    if known is None:
        return [f"{one.type}: no such resource"]
    # Some are called InitArgs, where another resource's part has the plain name: take what the module itself defines.
    defined = (value for name, value in vars(sys.modules[known.__module__]).items() if name.endswith("Args"))
    own = {f"{known.__name__}Args", f"{known.__name__}InitArgs"}
    inputs = next((found for found in defined if found.__module__ == known.__module__ and found.__name__ in own), None)
    if inputs is None:
        return []  # a custom object's: the API server knows its kind
    return [f"{one.type} {one.name}: {text}" for text in _of(one.inputs, inputs, "")]


def _of(value: Any, wanted: Any, path: str) -> Iterator[str]:
    wanted = _types.unwrap_type(wanted) if wanted is not None else None
    if value is None or wanted in (None, Any):
        return
    if isinstance(wanted, type) and typing.get_origin(wanted) is None and _types.is_input_type(wanted):
        yield from _object(value, wanted, path)
        return
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is not None and not isinstance(origin, type):
        return  # a union that says little
    if origin is not None and not isinstance(value, list if issubclass(origin, Sequence) else dict):
        yield f"{path} is no {origin.__name__}"
    elif isinstance(value, list | dict) and inner:
        items = enumerate(value) if isinstance(value, list) else value.items()
        for key, item in items:
            yield from _of(item, inner[-1], f"{path}.{key}")
    elif wanted in (str, bool, int) and type(value) is not wanted:
        yield f"{path} is {value!r}, not {wanted.__name__}"


def _object(value: Any, wanted: type, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    kinds = _types.input_type_types(wanted)
    for key, item in value.items():
        if key not in kinds:
            yield f"{path}.{key} is unknown to {wanted.__name__}"
        else:
            yield from _of(item, kinds[key], f"{path}.{key}".lstrip("."))
