"""A small YAML file that a person writes, read as the model that says what may stand in it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from coalmine.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)


def read_document(path: Path, model: type[Model], *, remedy: str, may_be_empty: bool = False) -> Model:
    """The file as a `model`; `may_be_empty`: nothing in it is all defaults. Raises BadInput naming file and field."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return model.model_validate((found or {}) if may_be_empty else found)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"it cannot be read: {error}", where=str(path), remedy=remedy) from error
    except yaml.YAMLError as error:
        raise BadInput(f"no YAML: {error}", where=str(path), remedy=remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(f"{field}: {first['msg']}", where=str(path), remedy=remedy) from error
