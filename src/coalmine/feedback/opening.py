"""The lake, opened where its packages are installed: for those who must not import them to say that they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine.errors import Missing
from coalmine.settings import Settings

if TYPE_CHECKING:
    from coalmine.feedback.lake import Lake


def open_lake(settings: Settings) -> Lake:
    """Raises Missing where a package is not installed: what cannot be looked at is neither healthy nor empty."""
    try:
        from coalmine.feedback.lake import Lake  # noqa: PLC0415 (heavy: only where the lake is used)
    except ImportError as error:
        raise Missing(f"the lake needs {error.name}", remedy="pip install 'coalmine[lake,serving]'") from error
    return Lake.open(settings)
