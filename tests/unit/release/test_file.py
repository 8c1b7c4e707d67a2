"""The release file has one accepted rendering, and whatever differs from it is named by file and field."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from coalmine.errors import BadInput
from coalmine.records import ReleaseId
from coalmine.release import faults
from coalmine.release.file import LIMIT, ReleaseFile, locate, parse, path, render

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
PARTS = st.from_regex(r"\A[a-z0-9]([a-z0-9]|[._-][a-z0-9]){0,12}\Z")
HOSTS = st.sampled_from(["ghcr.io", "registry.bench.test:5000", "127.0.0.1:5000", "localhost", "localhost:80"])
IMAGES = st.builds(lambda host, parts: "/".join([host, *parts]), HOSTS, st.lists(PARTS, min_size=1, max_size=4))
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda digits: f"sha256:{digits}")
IN_CLUSTER = ReleaseFile("sentiment", "local", M1, image="ghcr.io/acme/sentiment", digest=f"sha256:{'0a' * 32}")


@given(model=NAMES, env=NAMES, release=RELEASES, drill=FAULTS)
@example(model="no", env="1e3", release=ReleaseId(10**9, "0000000"), drill="error_rate=1e-05")
def test_what_is_rendered_is_read_back_equal(model: str, env: str, release: ReleaseId, drill: str) -> None:
    file = ReleaseFile(model, env, release, drill)
    text = render(file)
    assert parse(text, at=path(model, env)) == file
    assert render(parse(text, at=path(model, env))) == text
    assert text.isascii()


@given(model=NAMES, env=NAMES, release=RELEASES, drill=FAULTS, image=IMAGES, digest=DIGESTS)
def test_an_image_by_digest_is_read_back_equal(
    model: str, env: str, release: ReleaseId, drill: str, image: str, digest: str
) -> None:
    file = ReleaseFile(model, env, release, drill, image, digest)
    text = render(file)
    assert parse(text, at=path(model, env)) == file
    assert render(parse(text, at=path(model, env))) == text
    assert text.isascii()


def test_the_longest_file_that_can_be_written_can_be_read() -> None:
    file = ReleaseFile(
        "a" * 63,
        "b" * 63,
        ReleaseId(10**9, "f" * 40),
        faults="error_rate=0." + "5" * 243,
        image="ghcr.io/" + "c" * 247,
        digest=f"sha256:{'0' * 64}",
    )
    assert len(render(file)) <= LIMIT
    assert parse(render(file), at=path(file.model, file.env)) == file


@pytest.mark.parametrize(
    ("image", "digest"),
    [
        ("ghcr.io/acme/sentiment", ""),
        ("", IN_CLUSTER.digest),
        ("sentiment", IN_CLUSTER.digest),
        ("acme/sentiment", IN_CLUSTER.digest),
        ("ghcr.io/acme/sentiment:m1", IN_CLUSTER.digest),
        ("ghcr.io/acme/Sentiment", IN_CLUSTER.digest),
        ('ghcr.io/acme/sen"timent', IN_CLUSTER.digest),
        ("ghcr.io/acme/sentiment\n", IN_CLUSTER.digest),
        ("ghcr.io/" + "a" * 256, IN_CLUSTER.digest),
        ("ghcr.io/acme/sentiment", "sha256:0a"),
        ("ghcr.io/acme/sentiment", f"{IN_CLUSTER.digest}\n"),
        ("ghcr.io/acme/sentiment", f"sha512:{'0a' * 32}"),
    ],
)
def test_an_image_without_its_registry_or_by_anything_but_a_digest_is_not_written(image: str, digest: str) -> None:
    with pytest.raises(BadInput):
        render(ReleaseFile("sentiment", "local", M1, image=image, digest=digest))


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("ghcr.io/acme/sentiment", "sentiment", "no image's name"),
        ("sha256:0a", "sha256:0A", "no image's digest"),
        ('    digest: "', '    newTag: "m1-abc1234"\n    digest: "', "newTag: stands beside a digest"),
        ("    newName:", "    other:", "no image's name"),
    ],
)
def test_a_broken_image_is_refused_by_field(old: str, new: str, field: str) -> None:
    with pytest.raises(BadInput, match=rf"images\[0\].*{field}"):
        parse(render(IN_CLUSTER).replace(old, new, 1), at=AT)


@given(model=NAMES, env=NAMES)
def test_a_path_gives_model_and_environment_back(model: str, env: str) -> None:
    assert locate(path(model, env)) == (model, env)


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


@given(cut=st.integers(min_value=0, max_value=700), put=st.text(max_size=3))
@pytest.mark.parametrize("file", [ReleaseFile("sentiment", "local", M1), IN_CLUSTER], ids=["tag", "digest"])
def test_changed_bytes_are_refused_or_read_as_what_they_say(file: ReleaseFile, cut: int, put: str) -> None:
    """A check accepts only what equals its own rendering, so what is read must come back from its rendering."""
    text = render(file)
    changed = text[:cut] + put + text[cut + 1 :]
    try:
        read = parse(changed, at=AT)
    except BadInput:
        return
    assert parse(render(read), at=AT) == read


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


def test_kustomize_reads_an_image_by_digest() -> None:
    assert yaml.safe_load(render(IN_CLUSTER))["images"] == [
        {"name": "sentiment", "newName": "ghcr.io/acme/sentiment", "digest": f"sha256:{'0a' * 32}"}
    ]


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
