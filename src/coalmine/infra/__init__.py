"""Where it runs, decided before anything is made: a stack's configuration, its size and price, and what must hold.

`config` reads and refuses; `outline` counts nodes, GPUs and money; `handover` says what GitOps is told; `rehearsal`
runs the Pulumi program of `infra/` without an engine and without a cloud, and `policies` and `manifests` look at what
that run would have made. Only `rehearsal` imports Pulumi.
"""
