"""What is installed from a wheel finds its templates and pages without the repository."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]


def files_beside_code() -> list[Path]:
    """Pages, templates and tables."""
    kinds = {".html", ".css", ".js", ".yaml"}
    found = [path for path in (ROOT / "src" / "coalmine").rglob("*") if path.suffix in kinds]
    assert ROOT / "src" / "coalmine" / "judge" / "page.html" in found
    return found


def test_the_wheel_renders_the_edge_and_holds_pages_and_tables(tmp_path: Path) -> None:
    """An editable install reads nginx/ at the top; a wheel has only its own copy."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        held = set(packed.namelist())
        assert {str(path.relative_to(ROOT / "src")) for path in files_beside_code()} <= held
        assert "coalmine/local/airflow.txt" in held
        packed.extractall(tmp_path / "installed")
    program = (
        "import coalmine.edge.render as render, coalmine\n"
        "assert 'installed' in coalmine.__file__, coalmine.__file__\n"
        "print(render.templates())"
    )
    env = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == str(tmp_path / "installed" / "coalmine" / "edge" / "templates"), done.stderr
