"""The stack's configuration as the engine gives it. Anything wrong ends the run before the first resource."""

from __future__ import annotations

import pulumi

from coalmine.errors import BadInput
from coalmine.infra import config
from coalmine.infra.config import Stack
from parts.contracts import Seed

SHORTEST = 32  # characters; the passwords of all databases follow from it


def read() -> tuple[Stack, Seed]:
    """Raises RunError, which Pulumi shows without a traceback, naming key and remedy."""
    name, values = pulumi.get_stack(), pulumi.Config("coalmine")
    seed = values.get_secret("seed")
    try:
        stack = config.read(values.get_object("stack"), name=name, where=f"infra/Pulumi.{name}.yaml")
    except BadInput as error:
        raise pulumi.RunError(str(error)) from error
    if seed is None:
        remedy = f"openssl rand -base64 48 | pulumi config set --secret {config.SEED}"
        raise pulumi.RunError(f"infra/Pulumi.{name}.yaml: {config.SEED}: no seed is set\n  remedy: {remedy}")
    return stack, Seed(seed.apply(_long_enough))


def _long_enough(seed: str) -> str:
    if len(seed.strip()) < SHORTEST:
        raise pulumi.RunError(f"{config.SEED}: shorter than {SHORTEST} characters\n  remedy: openssl rand -base64 48")
    return seed.strip()
