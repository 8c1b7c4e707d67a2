"""Questions asked of plain data as YAML gives it: a field by its path, a selector against labels. Nothing raises."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?\Z")
_FACTORS = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def at(data: Any, *path: str | int) -> Any:
    """The value at a path, None where a part of it is missing or of another shape."""
    for part in path:
        if isinstance(part, int):
            if not isinstance(data, list) or part >= len(data):
                return None
            data = data[part]
        elif isinstance(data, Mapping):
            data = data.get(part)
        else:
            return None
    return data


def mapping(data: Any, *path: str | int) -> Mapping[str, Any]:
    """As `at`, empty where there is no mapping."""
    found = at(data, *path)
    return found if isinstance(found, Mapping) else {}


def items(data: Any, *path: str | int) -> list[Any]:
    """As `at`, empty where there is no list."""
    found = at(data, *path)
    return found if isinstance(found, list) else []


def maps(data: Any, *path: str | int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings of a list, each with its place."""
    for index, item in enumerate(items(data, *path)):
        if isinstance(item, Mapping):
            yield index, item


def written(path: Path) -> str:
    """`spec.containers[0].image`, as people write a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def strings(data: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a tree with its path."""
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from strings(value, (*path, str(key)))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from strings(value, (*path, index))


def selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    """A LabelSelector (`matchLabels`, `matchExpressions`) against labels; the empty one selects all."""
    for key, value in mapping(selector, "matchLabels").items():
        if str(labels.get(key)) != str(value):
            return False
    return all(_holds(one, labels) for _, one in maps(selector, "matchExpressions"))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = str(expression.get("key")), [str(value) for value in items(expression, "values")]
    there = key in labels
    return {
        "In": there and str(labels.get(key)) in values,
        "NotIn": not there or str(labels.get(key)) not in values,
        "Exists": there,
        "DoesNotExist": not there,
    }.get(str(expression.get("operator")), False)


def duration(text: Any) -> float | None:
    """Seconds of Go's durations (`1m30s`), None for what is none."""
    if not isinstance(text, str) or not _DURATION.match(text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def quantity(value: Any) -> float | None:
    """Kubernetes' quantities (`500m`, `1.6Gi`) as a number, None for what is none."""
    match = _QUANTITY.match(str(value)) if value is not None else None
    return float(match[1]) * _FACTORS.get(match[2] or "", 1.0) if match else None


def integer(value: Any, default: int) -> int:
    """A whole number, or the default for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default
