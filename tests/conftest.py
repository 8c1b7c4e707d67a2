"""For all tests: how long an example takes is no failure, since the machine may be busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("coalmine", deadline=None)
settings.load_profile("coalmine")
