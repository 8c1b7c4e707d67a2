"""What a forge's workflows ask of a repository: who wrote its release files, and what a change renders to.

Reads git and runs kustomize; writes nothing, knows no forge's API. `.github/workflows/` calls it by commands.
"""
