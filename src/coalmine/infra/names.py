"""Names within each service's limit: cut with a digest of the whole, so that two long names stay two."""

from __future__ import annotations

import hashlib

# The shortest that each kind allows; the longest of our suffixes is within it.
CLUSTER = 40  # GKE: cluster and node pool
SERVICE_ACCOUNT = 30  # Google's service accounts, which also want six characters
BUCKET = 63  # both clouds, over all their customers
ROLE = 64  # IAM roles
LABEL = 63  # a label's value, in Kubernetes and on Google


def fit(name: str, limit: int) -> str:
    """`name` where it fits, else its beginning and six hexadecimal digits of its digest."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: limit - 7].rstrip('-')}-{digest}"
