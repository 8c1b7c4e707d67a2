"""When and how a model is trained anew: `bentos/<model>/retraining.yaml`, field by field, each with a default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from coalmine.documents import read_document
from coalmine.settings import Settings

FILE = "retraining.yaml"
_STRICT = ConfigDict(frozen=True, extra="forbid")


class When(BaseModel):
    """What starts a run by itself, whichever comes first; a field that is null starts none."""

    model_config = _STRICT

    every_hours: Annotated[float, Field(gt=0)] | None = 24
    labels: Annotated[int, Field(ge=1)] | None = 500  # people's votes since the last run began
    drift: bool = True
    pause_minutes: float = Field(default=60, ge=0)  # from the start of one run to the next; by hand there is none


class How(BaseModel):
    """How a run trains."""

    model_config = _STRICT

    mode: Literal["full", "incremental"] = "full"
    full_every: int = Field(default=7, ge=1)  # each so many runs an incremental policy trains in full
    domains: tuple[str, ...] = ()  # of base rows; empty: the workload's first
    votes: bool = True
    seed: int = 0
    options: dict[str, str | int | float] = {}  # the model's own training's


class Limits(BaseModel):
    """What one step may use. `gpus` is what a cluster's training pod asks for; without it a step sees none."""

    model_config = _STRICT

    threads: int = Field(default=1, ge=1)
    memory_mb: int = Field(default=4096, ge=256)
    seconds: int = Field(default=1800, ge=1)
    gpus: int = Field(default=0, ge=0)


class Retraining(BaseModel):
    """The file."""

    model_config = _STRICT

    version: Literal[1] = Field(default=1, alias="schema")
    when: When = When()
    how: How = How()
    limits: Limits = Limits()
    better_by: float = Field(default=0.0, ge=0, lt=1)  # of the mean over the gate's slices; at most this is no better


def load_policy(settings: Settings) -> Retraining:
    """The model's policy. Raises BadInput naming file and field."""
    path = settings.project / "bentos" / settings.model / FILE
    if not path.exists():
        return Retraining()
    return read_policy(path)


def read_policy(path: Path) -> Retraining:
    """One file of it. Raises BadInput naming file and field."""
    return read_document(path, Retraining, remedy="see docs/reference/retraining.md")
