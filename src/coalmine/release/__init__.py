"""From a built Bento to what git names, and from a verdict back to git, registry and report.

It must not judge evidence, choose weights or know a particular model; what a release must satisfy is policy and lies
in `flagger/`.
"""
