"""A backup is whole or not there; what comes back is, byte for byte, what was there."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from coalmine.errors import BadInput, Broken, Refused, Temporary
from coalmine.local import backup as backups


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """As a runtime leaves it: databases, a Delta table's log, a key, a link, and what is of the moment only."""
    made = tmp_path / "state"
    files = {
        "secrets/feedback.key": b"k" * 32,
        "lake/predictions/_delta_log/00000000000000000000.json": b"{}",
        "lake/predictions/part-0.parquet": b"rows",
        "git/coalmine.git/HEAD": b"ref: refs/heads/main\n",
        "mlflow/artifacts/model.pkl": b"weights",
        "mlflow/artifacts/again.pkl": b"weights",
        "run/status.json": b"{}",
        "logs/judge.log": b"said",
    }
    for name, content in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    (made / "secrets" / "feedback.key").chmod(0o600)
    (made / "tls").mkdir()
    (made / "tls" / "current").symlink_to("one")
    for name in ("judge.db", "mlflow/mlflow.db"):
        with closing(sqlite3.connect(made / name)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE kept (number INTEGER)")
            db.execute("INSERT INTO kept VALUES (1)")
            db.commit()
    return made


def contents(state: Path) -> dict[str, bytes]:
    """Files that are no databases, by their path."""
    plain = (path for path in state.rglob("*") if path.is_file() and ".db" not in path.suffix)
    return {path.relative_to(state).as_posix(): path.read_bytes() for path in plain}


def rows(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as db:
        return [number for (number,) in db.execute("SELECT number FROM kept ORDER BY number")]


def test_what_comes_back_is_what_was_there(state: Path, tmp_path: Path) -> None:
    """Contents, modes, links and rows; nothing of the moment."""
    backups.backup(state, tmp_path / "copies")
    back = tmp_path / "back"
    restored = backups.restore(tmp_path / "copies", back)
    wanted = {name: content for name, content in contents(state).items() if name.split("/")[0] not in backups.LEFT_OUT}
    assert contents(back) == wanted
    assert (back / "secrets" / "feedback.key").stat().st_mode & 0o777 == 0o600
    assert (back / "tls" / "current").readlink() == Path("one")
    assert backups.mismatches(back, restored) == []
    assert rows(back / "judge.db") == rows(back / "mlflow" / "mlflow.db") == [1]
    assert backups.mismatches(tmp_path / "elsewhere", restored) == [e.path for e in restored.entries if not e.target]


def test_a_database_that_is_written_meanwhile_is_copied_as_of_one_moment(state: Path, tmp_path: Path) -> None:
    """Rows come in pairs, each pair in one transaction: a copy never has half of one."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(state / "judge.db", timeout=30)) as db:
            number = 2
            while not stop.is_set():
                db.executemany("INSERT INTO kept VALUES (?)", [(number,), (number,)])
                db.commit()
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            backups.backup(state, tmp_path / "copies")
    finally:
        stop.set()
        writer.join()
    for number, taken in enumerate(backups.snapshots(tmp_path / "copies")):
        backups.restore(tmp_path / "copies", tmp_path / f"back{number}", taken=taken)
        assert len(rows(tmp_path / f"back{number}" / "judge.db")) % 2 == 1  # the first one, and pairs


def test_each_content_is_kept_once_over_all_snapshots(state: Path, tmp_path: Path) -> None:
    """Two files with the same content, and a second snapshot of the same state, take no room."""
    first = backups.backup(state, tmp_path / "copies")
    objects = list((tmp_path / "copies" / "objects").rglob("[0-9a-f]*"))
    second = backups.backup(state, tmp_path / "copies")
    assert second.digest == first.digest
    assert list((tmp_path / "copies" / "objects").rglob("[0-9a-f]*")) == objects
    assert len(backups.snapshots(tmp_path / "copies")) == 2


def test_damage_is_found_and_restores_nothing(state: Path, tmp_path: Path) -> None:
    """One byte of one object; the older snapshot of other contents is sound."""
    backups.backup(state, tmp_path / "copies")
    (state / "mlflow" / "artifacts" / "model.pkl").write_bytes(b"newer weights")
    made = backups.backup(state, tmp_path / "copies")
    entry = next(one for one in made.entries if one.path.endswith("model.pkl"))
    (tmp_path / "copies" / "objects" / entry.digest[:2] / entry.digest).write_bytes(b"Newer weights")
    assert backups.damaged(tmp_path / "copies", made) == [entry.path]
    with pytest.raises(Broken, match=r"model\.pkl"):
        backups.restore(tmp_path / "copies", tmp_path / "back")
    assert not list(tmp_path.glob("*back*"))
    backups.restore(tmp_path / "copies", tmp_path / "back", taken=backups.snapshots(tmp_path / "copies")[0])


def test_a_run_that_broke_off_is_no_snapshot_and_is_gone_on_with(state: Path, tmp_path: Path) -> None:
    """Objects without a list, as after a kill: nothing is restored from them, and the next run completes them."""
    whole = backups.backup(state, tmp_path / "copies")
    (tmp_path / "copies" / "snapshots" / f"{whole.taken}.json").unlink()
    with pytest.raises(BadInput, match="no snapshot"):
        backups.restore(tmp_path / "copies", tmp_path / "back")
    assert backups.backup(state, tmp_path / "copies").digest == whole.digest


def test_a_state_folder_that_is_there_is_never_overwritten(state: Path, tmp_path: Path) -> None:
    backups.backup(state, tmp_path / "copies")
    with pytest.raises(Refused, match="already"):
        backups.restore(tmp_path / "copies", state)


def test_a_list_that_leads_out_of_the_folder_is_refused(state: Path, tmp_path: Path) -> None:
    """A snapshot is a file that somebody else may have written."""
    backups.backup(state, tmp_path / "copies")
    path = next((tmp_path / "copies" / "snapshots").glob("*.json"))
    path.write_text(path.read_text().replace("secrets/feedback.key", "../outside.key"))
    with pytest.raises(Broken, match="out of the folder"):
        backups.restore(tmp_path / "copies", tmp_path / "back")
    assert not (tmp_path / "outside.key").exists()


def test_only_the_newest_snapshots_stay_with_all_that_they_name(state: Path, tmp_path: Path) -> None:
    """Of four with a changing file two stay, each of them whole; contents that only older ones named are gone."""
    for number in range(4):
        (state / "mlflow" / "artifacts" / "model.pkl").write_bytes(f"weights {number}".encode())
        backups.backup(state, tmp_path / "copies", keep=2)
    left = backups.snapshots(tmp_path / "copies")
    assert len(left) == 2
    for number, taken in zip((2, 3), left, strict=True):
        backups.restore(tmp_path / "copies", tmp_path / f"back{number}", taken=taken)
        assert (tmp_path / f"back{number}/mlflow/artifacts/model.pkl").read_bytes() == f"weights {number}".encode()
    contents_left = [path.read_bytes() for path in (tmp_path / "copies" / "objects").glob("*/*")]
    assert b"weights 3" in contents_left
    assert b"weights 0" not in contents_left


def test_a_second_run_on_the_same_folder_is_told_to_wait(state: Path, tmp_path: Path) -> None:
    """Two at once, of which one thins out, could drop what the other is about to name."""
    backups.backup(state, tmp_path / "copies")
    with (tmp_path / "copies" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Temporary, match="another run"):
            backups.backup(state, tmp_path / "copies")


def test_a_volumes_own_folder_is_filled_as_it_stands(state: Path, tmp_path: Path) -> None:
    """A mount cannot be replaced by a rename: its parts are moved into it, beside the file system's own folder."""
    backups.backup(state, tmp_path / "copies")
    volume = tmp_path / "volume"
    (volume / "lost+found").mkdir(parents=True)
    inode = volume.stat().st_ino
    restored = backups.restore(tmp_path / "copies", volume)
    assert volume.stat().st_ino == inode
    assert backups.mismatches(volume, restored) == []
    assert sorted(one.name for one in volume.iterdir() if one.name.startswith(".")) == []
    with pytest.raises(Refused, match="already"):
        backups.restore(tmp_path / "copies", volume)


def test_a_copy_inside_what_is_copied_is_refused(state: Path) -> None:
    with pytest.raises(BadInput, match="inside"):
        backups.backup(state, state / "copies")
