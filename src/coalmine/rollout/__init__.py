"""How a release comes into service: the Canary file, a pure machine with Flagger's semantics, a driver that acts.

It asks the judge through webhooks and never judges; it writes endings and never touches git, registry or reports.
"""
