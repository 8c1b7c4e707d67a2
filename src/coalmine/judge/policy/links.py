"""Where a reader of the page or of a report finds what a release was made of: addresses with places to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, Field

from coalmine.errors import CoalmineError
from coalmine.records import ReleaseId

SHOWN = ("namespace", "name", "checksum", "release", "primary")  # of an analysis, as it is shown
_PLACES = (*SHOWN, "version", "sha")


def check(address: str) -> str:
    """`address` if it can be filled in. Raises ValueError where it cannot."""
    for _, place, form, conversion in Formatter().parse(address):
        if place is not None and (place not in _PLACES or form or conversion):
            raise ValueError(f"no place {{{place}}} in a link; there are {', '.join(_PLACES)}")
    return address


def fill(links: Mapping[str, str], known: Mapping[str, str]) -> list[dict[str, str]]:
    """`{field, href}` for each link of which every place is known: a link to nowhere is worse than none.

    `known`: the places SHOWN. A release `m<version>-<sha>` says `version` and `sha`, too.
    """
    places = {place: value for place, value in {**known, **_of_release(known.get("release", ""))}.items() if value}
    found = []
    for name, address in links.items():
        asked = {place for _, place, _, _ in Formatter().parse(address) if place is not None}
        if asked <= places.keys():
            href = address.format_map({place: quote(places[place], safe="") for place in asked})
            found.append({"field": name, "href": href})
    return found


def _of_release(release: str) -> dict[str, str]:
    try:
        made = ReleaseId.parse(release)
    except CoalmineError:
        return {}
    return {"version": str(made.version), "sha": made.sha}


Link = Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s]+$"), AfterValidator(check)]
