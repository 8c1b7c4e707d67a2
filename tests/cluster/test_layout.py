"""The bench's folder: claimed only when it is ours or empty, and short enough for sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import cache
from cluster.node.layout import Layout
from coalmine.errors import BadInput


def test_a_folder_with_somebody_elses_files_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(BadInput, match="not a bench's folder"):
        Layout(tmp_path).make()
    assert not Layout(tmp_path).ours()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_claimed_and_claimed_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bench")
    layout.make()
    layout.make()
    assert layout.ours()


def test_what_a_killed_delete_left_is_gone_for_the_next_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store that it had begun to empty is not taken for a whole one."""
    layout = Layout(tmp_path / "bench")
    layout.make()
    (layout.folder / "store").write_text("many blobs")

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            layout.delete()
    assert not layout.folder.exists()
    layout.make()
    assert not (layout.folder / "store").exists()
    layout.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 20)
    monkeypatch.setenv("COALMINE_BENCH", str(folder))
    with pytest.raises(BadInput, match="too long a path"):
        Layout.here()
    assert not folder.exists()


def test_every_socket_below_the_longest_folder_fits_into_a_sockets_address() -> None:
    longest = Layout(Path("/" + "x" * 59))
    podresources = longest.kubelet / "pod-resources" / "kubelet.sock"
    assert max(len(str(path)) for path in (longest.socket.with_suffix(".sock.ttrpc"), podresources)) < 108
