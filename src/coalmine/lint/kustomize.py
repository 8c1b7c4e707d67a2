"""`kustomize build`, as Argo CD runs it: no options. The program is the user's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput, Missing

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LONGEST = 120.0  # seconds; a build that fetches over the network may hang


@dataclass(frozen=True, slots=True)
class Kustomize:
    """The words that build a folder."""

    words: tuple[str, ...]

    def build(self, folder: Path, shown: str) -> str:
        """The rendered stream. Raises BadInput with kustomize's own complaint; `shown` is the folder's name in it."""
        try:
            done = subprocess.run(
                [*self.words, str(folder)], capture_output=True, text=True, timeout=_LONGEST, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BadInput(f"not built within {_LONGEST:g} s", where=shown, remedy="vendor remote resources") from error
        except OSError as error:
            raise Missing(f"{self.words[0]} does not run: {error}", where="--kustomize", remedy=HOW_TO_GET) from error
        if done.returncode:
            raise BadInput(_complaint(done.stderr), where=shown, remedy="make `kustomize build` pass there first")
        return done.stdout


HOW_TO_GET = (
    "install kustomize (https://kubectl.docs.kubernetes.io/installation/kustomize) or kubectl, which contains it, or "
    "give --kustomize PATH; rendered YAML can be given on standard input without it: coalmine lint - < rendered.yaml"
)


def find(given: str = "") -> Kustomize:
    """`given`, else kustomize or kubectl on the PATH. Raises Missing, saying how to get one."""
    for name, words in ((given, ("build",)), ("kustomize", ("build",)), ("kubectl", ("kustomize",))):
        path = shutil.which(name) if name else None
        if path is not None:
            is_kubectl = Path(path).name.startswith("kubectl")
            return Kustomize((path, *(("kustomize",) if is_kubectl else words)))
        if name and name == given:
            raise Missing(f"there is no program {given}", where="--kustomize", remedy=HOW_TO_GET)
    raise Missing("there is neither kustomize nor kubectl on the PATH", remedy=HOW_TO_GET)


def file_of(folder: Path) -> Path | None:
    """The folder's kustomization, under any of its names."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _complaint(text: str) -> str:
    """The last of what is nested: kustomize tells the whole way down first."""
    lines: Sequence[str] = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " ".join(lines)[-600:] if lines else "kustomize failed without a word"
