"""The release file has one accepted rendering, and whatever differs from it is named by file and field."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coalmine.errors import BadInput
from coalmine.records import ReleaseId
from coalmine.release import faults
from coalmine.release.file import ReleaseFile, locate, parse, path, render

from .conftest import AT, M1

NAMES = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\Z")
RELEASES = st.builds(
    ReleaseId,
    version=st.integers(min_value=1, max_value=10**9),
    sha=st.text("0123456789abcdef", min_size=7, max_size=40),
)
FAULTS = st.builds(
    faults.Faults,
    error_rate=st.floats(0, 1),
    delay_ms=st.floats(0, 1e5),
    crash_under_load=st.integers(0, 1000),
).map(faults.render)


@given(model=NAMES, env=NAMES, release=RELEASES, drill=FAULTS)
@example(model="no", env="1e3", release=ReleaseId(10**9, "0000000"), drill="error_rate=1e-05")
def test_what_is_rendered_is_read_back_equal(model: str, env: str, release: ReleaseId, drill: str) -> None:
    file = ReleaseFile(model, env, release, drill)
    text = render(file)
    assert parse(text, at=path(model, env)) == file
    assert render(parse(text, at=path(model, env))) == text
    assert text.isascii()


@given(model=NAMES, env=NAMES)
def test_a_path_gives_model_and_environment_back(model: str, env: str) -> None:
    assert locate(path(model, env)) == (model, env)


@settings(deadline=None)  # the YAML parser needs a third of a second for a thousand brackets
@given(st.text(max_size=300))
@example("[" * 1000)
@example("x" * 2000)
@example("a: 2024-99-99")
@example("a: &a [*a]")
@example("? {}\n: 1")
def test_any_text_is_read_or_refused_with_the_files_name(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text, at=AT)
    assert caught.value.where == AT


@given(cut=st.integers(min_value=0, max_value=520), put=st.text(max_size=3))
def test_no_other_bytes_pass_as_the_rendering(cut: int, put: str) -> None:
    """Whatever is read from changed bytes renders to other bytes than those."""
    text = render(ReleaseFile("sentiment", "local", M1))
    changed = text[:cut] + put + text[cut + 1 :]
    try:
        read = parse(changed, at=AT)
    except BadInput:
        return
    assert render(read) != changed or changed in {text, render(read)}


def test_kustomize_reads_it_as_a_component() -> None:
    tree = yaml.safe_load(render(ReleaseFile("sentiment", "local", M1, "error_rate=0.05")))
    assert tree == {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "images": [{"name": "sentiment", "newTag": "m1-abc1234"}],
        "commonAnnotations": {
            "coalmine.dev/release": "m1-abc1234",
            "coalmine.dev/model-version": "1",
            "coalmine.dev/faults": "error_rate=0.05",
        },
    }


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a" * 64, "-a", 'a"', "a\n"])
def test_a_name_that_is_no_folders_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        path(name, "local")
    with pytest.raises(BadInput):
        path("sentiment", name)


@pytest.mark.parametrize("drill", ['a="1"', "a=1\n", "a", "a=1,", "A=1"])
def test_faults_that_yaml_could_misread_are_not_written(drill: str) -> None:
    with pytest.raises(BadInput):
        render(ReleaseFile("sentiment", "local", M1, drill))
