"""Who asks for a prediction, as far as the edge and the gateway before it say: the arm and the tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coalmine.feedback.token import DEFAULT_TENANT, TENANT

HEADER_ENVIRONMENT = "COALMINE_TENANT_HEADER"
TENANTS_ENVIRONMENT = "COALMINE_TENANTS"
_ARM = b"x-coalmine-arm"


@dataclass(frozen=True, slots=True)
class Asker:
    """`tenant` is None where the request names one that is not known here."""

    arm: str = ""
    tenant: str | None = DEFAULT_TENANT


class Askers:
    """Reads a request's headers. Without a header of tenants all are one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.header = environ.get(HEADER_ENVIRONMENT, "").lower()
        self._name = self.header.encode()
        self._known = {name.encode(): name for name in environ.get(TENANTS_ENVIRONMENT, "").split(",") if name}

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> Asker:
        """The asker of a request. The edge overwrites the arm; the tenant is whoever set its header's word."""
        arm, tenant = "", DEFAULT_TENANT
        for name, value in headers:
            if name == _ARM:
                arm = value.decode("latin-1")
            elif self._name and name == self._name:
                known = self._tenant(value)
                if known is None:
                    return Asker(arm, None)
                tenant = known
        return Asker(arm if arm in ("primary", "canary") else "", tenant)

    def _tenant(self, value: bytes) -> str | None:
        """One of the list, so that no client can make folders in the lake at will."""
        found = self._known.get(value)
        return found if found is not None and TENANT.match(found) else None
