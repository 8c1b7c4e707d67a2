"""The judge's page: one file that draws what the API says."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def render() -> str:
    """HTML without any external asset; it asks the API every second."""
    return resources.files("coalmine.judge").joinpath("page.html").read_text(encoding="utf-8")
