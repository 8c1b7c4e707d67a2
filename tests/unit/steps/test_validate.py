"""Bad rows stop the run before anything is trained, and the sentence says what and where; too few say nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from coalmine.errors import BadInput, Missing, Refused
from coalmine.records import DataCheck, Dataset, Found, Kind
from coalmine.settings import Settings
from coalmine.steps import checks as checking
from coalmine.steps.checks import Checks, load_checks
from coalmine.steps.collect import FEEDBACK, store
from coalmine.steps.said import taken_now
from coalmine.steps.validate import validate
from coalmine.steps.workload import Row, Task
from unit.feedback.filled import a_prediction, an_event, log, say

ROOT = Path(__file__).parents[3]
WORKLOAD = """
from coalmine.steps.workload import Row
class W:
    labels = ("no", "yes")
    domains = ("d",)
    def rows(self, domains, *, split):
        return [Row("held out words", 1, 1.0, "d", "d/held")]
    def fit(self, rows, *, seed, options): raise AssertionError
workload = W()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "project" / "bentos" / "toy"
    folder.mkdir(parents=True)
    (folder / "workload.py").write_text(WORKLOAD)
    return Settings(project=tmp_path / "project", state=tmp_path / "state", model="toy")


def good(count: int = 40) -> list[Row]:
    return [Row(f"text {number}", number % 2, 1.0, "d", f"d/{number}") for number in range(count)]


def dataset(settings: Settings, rows: list[Row]) -> Dataset:
    return store(settings.state / "datasets", rows, sources=("made",))


def by_name(found: tuple[DataCheck, ...]) -> Mapping[str, DataCheck]:
    return {check.name: check for check in found}


def test_good_rows_pass_and_too_few_votes_say_nothing(settings: Settings) -> None:
    """No feedback is "no data", neither good nor bad."""
    found = by_name(validate(settings, said_by(settings, [])).checks)
    assert {name for name, check in found.items() if check.found is Found.NO_DATA} == {"contradictions", "flood"}
    assert all(check.found is Found.PASSED for name, check in found.items() if name not in ("contradictions", "flood"))


@pytest.mark.parametrize(
    ("rows", "name", "look_at"),
    [
        ([*good(), Row("held OUT  words", 1, 1.0, "d", "d/x")], "leakage", "entity d/x"),
        ([*good(), Row("new", 1, 1.0, "d", "d/held")], "leakage", "entity d/held"),
        ([*good(), *[Row("text 1", 1, 1.0, "d", f"d/again{n}") for n in range(5)]], "duplicates", "row"),
        ([*good(), Row("  ", 1, 1.0, "d", "d/x")], "missing", "row 0"),
        ([*good(), Row("x" * 20_001, 1, 1.0, "d", "d/x")], "ranges", "row 40"),
        ([*good(), Row("heavy", 1, 7.0, "d", "d/x")], "ranges", "row 0"),
        ([*good(2), *[Row(f"more {n}", 1, 1.0, "d", f"d/m{n}") for n in range(40)]], "balance", "label 0"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(settings: Settings, rows: list[Row], name: str, look_at: str) -> None:
    with pytest.raises(Refused, match=f"{name}: ") as caught:
        validate(settings, dataset(settings, rows))
    assert look_at in caught.value.what
    assert caught.value.remedy


def test_a_column_too_many_or_of_another_type_is_refused(settings: Settings) -> None:
    made = dataset(settings, good())
    frame = pl.read_parquet(made.path)
    frame.with_columns(pl.col("label").cast(pl.String), pl.lit(1).alias("extra")).write_parquet(made.path)
    with pytest.raises(Refused, match="schema: ") as caught:
        validate(settings, made)
    assert "extra" in caught.value.what
    assert "label" in caught.value.what


def test_rows_that_are_not_the_records_are_refused(settings: Settings) -> None:
    """A file changed behind the record's back has another digest."""
    made = dataset(settings, good())
    pl.read_parquet(made.path).head(30).write_parquet(made.path)
    with pytest.raises(BadInput, match="another digest"):
        validate(settings, made)


def test_no_file_is_an_error_that_says_what_to_run(settings: Settings) -> None:
    gone = Dataset(str(settings.state / "gone.parquet"), "0" * 64, 1, 1, ())
    with pytest.raises(BadInput, match="coalmine collect"):
        validate(settings, gone)


def feedback(minority: float, count: int = 60) -> list[Row]:
    """Texts that a share of people call 1 and the others 0."""
    return [
        Row(f"said {number}", label, weight, FEEDBACK, f"{FEEDBACK}/{number}")
        for number in range(count)
        for label, weight in ((number % 2, 1 - minority), (1 - number % 2, minority))
    ]


def test_people_who_contradict_one_another_stop_the_run(settings: Settings) -> None:
    """Every text half up, half down teaches nothing; a quarter against the rest is how people are."""
    calm = validate(settings, dataset(settings, good() + feedback(0.25))).checks
    assert by_name(calm)["contradictions"].value == pytest.approx(0.25)
    with pytest.raises(Refused, match="contradictions: "):
        validate(settings, dataset(settings, good() + feedback(0.5)))


def said_by(settings: Settings, users: list[str]) -> Dataset:
    """Good rows, learnt where these users gave a thumb up each."""
    served = [a_prediction(f"said {number}") for number in range(len(users))]
    log(settings, served)
    say(settings, [an_event(row, 1, Kind.THUMB, 1.0, user=user) for row, user in zip(served, users, strict=True)])
    taken, _ = taken_now(settings)
    return replace(dataset(settings, good()), snapshot=taken)


def test_one_user_who_floods_the_votes_stops_the_run(settings: Settings) -> None:
    many = [f"user-{number}" for number in range(80)]
    calm = said_by(settings, many)
    assert by_name(validate(settings, calm).checks)["flood"].found is Found.PASSED
    loud = said_by(settings, ["mallory"] * 40)
    with pytest.raises(Refused, match=r"flood: .*look at user mallory"):
        validate(settings, loud)
    assert by_name(validate(settings, calm).checks)["flood"].found is Found.PASSED


def test_nameless_votes_are_no_flood() -> None:
    assert checking.flood([""] * 100, Checks()).found is Found.PASSED


@pytest.mark.parametrize(
    ("text", "says"),
    [("schema: 2", "schema"), ("missing: 2", "missing"), ("what: 1", "what"), (":", "no YAML"), ("missing: [", "YAML")],
)
def test_a_wrong_bound_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "checks.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=says) as caught:
        load_checks(path)
    assert caught.value.where == str(path)


def test_the_examples_own_bounds_can_be_read() -> None:
    assert load_checks(ROOT / "bentos" / "sentiment" / "checks.yaml").duplicates == 0.05


def test_without_the_package_it_is_missing_and_not_good(settings: Settings) -> None:
    """An ImportError is never "nothing wrong": the run stops and says what to install."""
    made = dataset(settings, good())
    script = (
        "import sys; sys.modules['pandera'] = None\n"
        "from coalmine.errors import Missing\nfrom coalmine.records import Dataset\n"
        "from coalmine.settings import Settings\nfrom coalmine.steps.validate import validate\n"
        f"s = Settings(project={str(settings.project)!r}, state={str(settings.state)!r}, model='toy')\n"
        f"try: validate(s, Dataset({made.path!r}, {made.digest!r}, 40, 20, ()))\n"
        "except Missing as error: print(error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=110, check=True)
    assert "coalmine[lake]" in done.stdout
    assert Missing.exit_code == 4


def test_a_predicted_number_has_no_balance_and_must_be_finite(settings: Settings) -> None:
    folder = settings.project / "bentos" / "toy"
    (folder / "workload.py").write_text(WORKLOAD.replace('("no", "yes")', "()"))
    rows = [Row(f'{{"rooms": {n}}}', 1.5 * n, 1.0, "d", f"d/{n}") for n in range(40)]
    made = store(settings.state / "datasets", rows, sources=("made",), task=Task.REGRESSION)
    assert {check.name for check in validate(settings, made).checks} == {
        "schema",
        "ranges",
        "missing",
        "duplicates",
        "leakage",
    }
    endless = [*rows, Row("{}", float("inf"), 1.0, "d", "d/x")]
    with pytest.raises(Refused, match="ranges: "):
        validate(settings, store(settings.state / "datasets", endless, sources=("made",), task=Task.REGRESSION))
