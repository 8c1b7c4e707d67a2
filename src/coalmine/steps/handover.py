"""What one step's command leaves for the next: a record each, as JSON in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from coalmine.errors import BadInput
from coalmine.files import write_whole
from coalmine.records import Candidate, Dataset, Evaluation, ModelVersion, Release, Released, Validation

Record = TypeVar("Record", Dataset, Validation, Candidate, Evaluation, ModelVersion, Release, Released)
MADE_BY: dict[type[Any], str] = {
    Dataset: "collect",
    Validation: "validate",
    Candidate: "train",
    Evaluation: "evaluate",
    ModelVersion: "register",
    Release: "package",
    Released: "release",
}


def leave(folder: Path, record: Record) -> None:
    """Keep a step's outcome: whole or not at all."""
    kind = type(record)
    write_whole(folder / f"{MADE_BY[kind]}.json", TypeAdapter(kind).dump_json(record).decode())


def take(folder: Path, kind: type[Record]) -> Record:
    """The record of that kind. Raises BadInput naming the step that makes one."""
    found = find(folder, kind)
    if found is None:
        path = folder / f"{MADE_BY[kind]}.json"
        raise BadInput(
            "no earlier step has left anything here", where=str(path), remedy=f"run `coalmine {MADE_BY[kind]}` first"
        )
    return found


def find(folder: Path, kind: type[Record]) -> Record | None:
    """The record of that kind, or None where no step has left one. Raises BadInput for one that cannot be read."""
    path = folder / f"{MADE_BY[kind]}.json"
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        remedy = f"run `coalmine {MADE_BY[kind]}` again"
        raise BadInput(error.errors()[0]["msg"], where=str(path), remedy=remedy) from error
