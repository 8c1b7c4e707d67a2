"""`make test-infra`: the real Pulumi engine over the stack `kind`, on the cluster that the kubeconfig names.

Preview, up, up again without a change, a change, drift put right, destroy. Without an engine on the PATH, or without a
cluster, it says so and ends with 0: the rest of what is known of the program is in tests/unit/infra.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "infra"
STACK = "kind"


def lacking() -> str:
    """Why it cannot run here; empty where it can."""
    for program in ("pulumi", "kubectl"):
        if shutil.which(program) is None:
            return f"there is no {program} on the PATH"
    seen = subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True, text=True, check=False)
    return "" if seen.returncode == 0 else f"no cluster answers: {seen.stderr.strip()}"


class Engine:
    """`pulumi`, with its state in a folder of its own and a passphrase that nobody keeps."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "infra"
        shutil.copytree(FOLDER, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(FOLDER.parent / "gitops" / "platform", home / "gitops" / "platform")
        (home / ".venv").symlink_to(FOLDER.parent / ".venv")
        (home / "state").mkdir()
        own = {"PULUMI_BACKEND_URL": f"file://{home}/state", "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(16)}
        self.env = {**os.environ, **own, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        self.seed = secrets.token_urlsafe(48)

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Fails with what the engine said; its output is looked through for the seed."""
        print("$ pulumi", *words, flush=True)
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        print(said, flush=True)
        if done.returncode:
            sys.exit(f"pulumi {' '.join(words)} ended with {done.returncode}")
        if self.seed in said:
            sys.exit("the seed is in the output")
        return said


def story(engine: Engine) -> None:
    """Each step must do what it says, and the second `up` nothing."""
    engine.run("stack", "init", STACK)
    engine.run("config", "set", "--secret", "coalmine:seed", stdin=engine.seed)
    engine.run("preview")
    engine.run("up", "--yes", "--skip-preview")
    engine.run("up", "--yes", "--skip-preview", "--expect-no-changes")
    if engine.seed in engine.run("stack", "export"):
        sys.exit("the seed is in the state")
    file = engine.folder / f"Pulumi.{STACK}.yaml"
    file.write_text(file.read_text().replace("{name: sentiment}", "{name: sentiment, cpus: 9}"))
    engine.run("up", "--yes", "--skip-preview")
    _expect_quota("9")
    _kubectl("patch", "resourcequota", "bounds", "--type=merge", '--patch={"spec":{"hard":{"requests.cpu":"99"}}}')
    engine.run("refresh", "--yes", "--skip-preview")
    engine.run("up", "--yes", "--skip-preview")
    _expect_quota("9")


def _expect_quota(cpus: str) -> None:
    found = _kubectl("get", "resourcequota", "bounds", "--output=jsonpath={.spec.hard.requests\\.cpu}")
    if found != cpus:
        sys.exit(f"the quota is {found}, not {cpus}")


def _kubectl(*words: str) -> str:
    line = ["kubectl", "--namespace", "sentiment", *words]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def main() -> int:
    why = lacking()
    if why:
        print(f"skipped: {why}. `make test-infra` wants Pulumi's engine, kubectl and a cluster to try them on.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder))
        try:
            story(engine)
        finally:
            engine.run("destroy", "--yes", "--skip-preview")
    return 0


if __name__ == "__main__":
    sys.exit(main())
