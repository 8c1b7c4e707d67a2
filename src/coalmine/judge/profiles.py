"""Which series tell the two arms of a Flagger canary apart: the table profiles.yaml, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

_TABLE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True, slots=True)
class Profile:
    """`arms` holds a matcher for each arm, `queries` the selectors by metric and field. `weight` is Flagger's gauge of
    the weight of {workload}; its `namespace` is renamed where the scrape brings one of its own. `release` finds series
    whose label `release` says what {workload} runs, such as the targets that this project's own scrapes name.
    """

    about: str
    told_by: str
    remarks: tuple[str, ...]
    arms: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    queries: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    weight: str = (
        'flagger_canary_weight{namespace="{namespace}",workload="{workload}"}'
        ' or flagger_canary_weight{exported_namespace="{namespace}",workload="{workload}"}'
    )
    release: str = 'up{namespace="{namespace}",workload="{workload}",release!=""}'


def _read(table: Path) -> dict[str, Profile]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(table.read_text(encoding="utf-8"))
    return {name: Profile(**{**row, "remarks": tuple(row["remarks"])}) for name, row in found.items()}


PROFILES: Mapping[str, Profile] = MappingProxyType(_read(_TABLE))
