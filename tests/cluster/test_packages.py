"""What the machine lacks is said all at once, with the command that helps."""

from __future__ import annotations

import pytest

from cluster import packages
from cluster.packages import Need
from coalmine.errors import Missing


def test_everything_that_lacks_is_named_with_its_reason_and_one_command() -> None:
    needs = (
        Need("coreutils", "ls", "listing"),
        Need("alpha", "no-such-program", "one"),
        Need("beta", "/no/file", "two"),
    )
    with pytest.raises(Missing, match=r"alpha \(one\), beta \(two\)") as caught:
        packages.check(needs)
    assert caught.value.remedy.endswith("apt-get install -y --no-install-recommends alpha beta")


def test_a_program_of_the_system_counts_though_the_path_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert packages.lacking((Need("passwd", "useradd", "in /usr/sbin everywhere"),)) == []
