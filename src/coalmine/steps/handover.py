"""What one step's command leaves for the next: the last record of each, as JSON in `<state>/steps/`."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from coalmine.errors import BadInput
from coalmine.files import write_whole
from coalmine.records import Candidate, Dataset, Evaluation, ModelVersion
from coalmine.settings import Settings

Record = TypeVar("Record", Dataset, Candidate, Evaluation, ModelVersion)
_MADE_BY = {Dataset: "collect", Candidate: "train", Evaluation: "evaluate", ModelVersion: "register"}


def leave(settings: Settings, record: Dataset | Candidate | Evaluation | ModelVersion) -> None:
    """Keep a step's outcome as the last of its kind: whole or not at all."""
    path = settings.state / "steps" / f"{_MADE_BY[type(record)]}.json"
    write_whole(path, TypeAdapter(type(record)).dump_json(record).decode())


def take(settings: Settings, kind: type[Record]) -> Record:
    """The last record of that kind. Raises BadInput naming the command that makes one."""
    path = settings.state / "steps" / f"{_MADE_BY[kind]}.json"
    remedy = f"run `coalmine {_MADE_BY[kind]}` first"
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput("no earlier step has left anything here", where=str(path), remedy=remedy) from error
    except ValidationError as error:
        raise BadInput(error.errors()[0]["msg"], where=str(path), remedy=remedy) from error
