"""What is known of the clouds: regions, machines, prices. Read from the two tables beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Fact):
    """`gpus`: for each GPU type the zones that offer it."""

    zones: tuple[str, ...]
    gpus: Mapping[str, tuple[str, ...]]


class Machine(_Fact):
    """A machine type. `gpus` are physical."""

    cpus: int
    memory_gib: int
    gpu: str = ""
    gpus: int = 0


class Price(_Fact):
    """`seen`: the day on which it was read on `page`; None: nobody looked."""

    price: float
    seen: str | None
    page: str = ""


class Prices(_Fact):
    """The whole price table, with its date."""

    date: str
    currency: str
    hours_per_month: float
    regions: Mapping[str, str]
    pages: Mapping[str, str]
    spot_share: float
    hourly: Mapping[str, Price]
    gib_month: Mapping[str, Price]


@cache
def prices() -> Prices:
    return Prices.model_validate(_table("prices.yaml"))


@cache
def regions(provider: str) -> Mapping[str, Region]:
    """Of a provider, by name; none for one that is not a cloud."""
    found = _table("regions.yaml").get(provider, {})
    return {name: Region.model_validate(one) for name, one in found.items()}


@cache
def machines() -> Mapping[str, Machine]:
    return {name: Machine.model_validate(one) for name, one in _table("regions.yaml")["machines"].items()}


def _table(name: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(files("coalmine.infra").joinpath(name).read_text(encoding="utf-8"))
    return made
