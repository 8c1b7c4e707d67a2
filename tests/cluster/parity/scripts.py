"""The scripts that both sides play."""

from __future__ import annotations

from cluster.parity.scripts_judged import CHECKS, GATES, PROMOTED
from cluster.parity.scripts_moved import READINESS, REVISIONS, ROLLBACKS
from cluster.parity.scripts_parting import PARTING, UNREACHABLE

SCRIPTS = (*PROMOTED, *CHECKS, *GATES, *ROLLBACKS, *READINESS, *REVISIONS, *UNREACHABLE, *PARTING)
