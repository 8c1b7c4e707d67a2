"""The local CA signs little and for long enough; a user's own certificate is refused in words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from coalmine.edge import certificates, own
from coalmine.edge.authority import key_pem, utc
from coalmine.errors import BadInput, Broken
from coalmine.settings import FILE, load

NOW = 1_800_000_000.0
DAY = 86400.0
NAMES = ("localhost", "api.example.org")


def _leaf(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def test_the_ca_may_sign_for_its_names_only_and_for_no_other_ca(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path, NAMES, now=NOW)
    assert made.ca is not None
    ca = _leaf(made.ca)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    names = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert {str(subtree.value) for subtree in names.value.permitted_subtrees or []} == {
        "localhost",
        "api.example.org",
        "127.0.0.1/32",
        "::1/128",
    }


def test_keys_are_read_by_their_owner_only(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path / "tls", NAMES, now=NOW)
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "tls" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert made.pem.stat().st_mode & 0o777 == 0o600


def test_a_good_certificate_is_kept_and_one_with_a_third_left_is_renewed(tmp_path: Path) -> None:
    first = certificates.ensure(tmp_path, NAMES, now=NOW)
    serial = _leaf(first.pem).serial_number
    kept = certificates.ensure(tmp_path, NAMES, now=NOW + 59 * DAY)
    assert (kept.changed, _leaf(kept.pem).serial_number) == (False, serial)
    renewed = certificates.ensure(tmp_path, NAMES, now=NOW + 61 * DAY)
    assert (renewed.changed, renewed.new_authority) == (True, False)
    assert _leaf(renewed.pem).serial_number != serial
    assert renewed.expires > first.expires


def test_a_new_server_name_makes_a_new_authority_and_says_so(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, ("localhost",), now=NOW)
    made = certificates.ensure(tmp_path, NAMES, now=NOW)
    assert (made.changed, made.new_authority) == (True, True)


def test_a_renewed_authority_keeps_its_key_so_that_trust_in_the_old_one_holds(tmp_path: Path) -> None:
    made = certificates.ensure(tmp_path, NAMES, now=NOW)
    assert made.ca is not None
    old = _leaf(made.ca)
    later = certificates.ensure(tmp_path, NAMES, now=NOW + 2600 * DAY)
    assert later.ca is not None
    new = _leaf(later.ca)
    assert new.serial_number != old.serial_number
    assert (new.subject, new.public_key()) == (old.subject, old.public_key())
    _leaf(later.pem).verify_directly_issued_by(old)


def test_an_authority_that_cannot_be_read_is_broken_with_the_way_out(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, NAMES, now=NOW)
    (tmp_path / "ca.key").write_text("nonsense")
    with pytest.raises(Broken, match="can't be read"):
        certificates.ensure(tmp_path, NAMES, now=NOW)


def test_a_kill_between_the_two_files_of_a_new_authority_mends_itself(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, NAMES, now=NOW)
    (tmp_path / "ca.key").write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1())))
    made = certificates.ensure(tmp_path, NAMES, now=NOW)
    assert made.ca is not None
    _leaf(made.pem).verify_directly_issued_by(_leaf(made.ca))


def _own(
    path: Path,
    *,
    names: tuple[str, ...] = NAMES,
    begin: float = -1,
    end: float = 30,
    other_key: bool = False,
    password: bytes | None = None,
    with_key: bool = True,
) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc(NOW) + timedelta(days=begin))
        .not_valid_after(utc(NOW) + timedelta(days=end))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    served = rsa.generate_private_key(public_exponent=65537, key_size=2048) if other_key else key
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    text = certificate.public_bytes(serialization.Encoding.PEM)
    if with_key:
        text += served.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    path.write_bytes(text)
    return path


def test_a_users_own_certificate_is_put_in_force_and_a_changed_one_after_it(tmp_path: Path) -> None:
    site = _own(tmp_path / "own.pem")
    first = certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=site)
    assert (first.changed, first.ca) == (True, None)
    assert first.pem.read_bytes() == site.read_bytes()
    assert not certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=site).changed
    _own(site, end=60)
    assert certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=site).changed


def _certbots(folder: Path, content: bytes, *, only: str = "") -> Path:
    """Chain and key as certbot lays them, or one of the two."""
    folder.mkdir(exist_ok=True)
    chain, mark, key = content.partition(b"-----BEGIN PRIVATE KEY-----")
    for name, part in (("fullchain.pem", chain), ("privkey.pem", mark + key)):
        if only in ("", name):
            (folder / name).write_bytes(part)
    return folder


def test_certbots_folder_is_read_and_refused_while_chain_and_key_are_of_different_renewals(tmp_path: Path) -> None:
    """Certbot turns one link after the other: what is seen between them is never served, and seen again afterwards."""
    old, new = (_own(tmp_path / f"{end}.pem", end=end).read_bytes() for end in (30, 60))
    live = _certbots(tmp_path / "live", old)
    served = certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=live).pem
    assert served.read_bytes() == old
    seen = [own.stamp(live)]
    for part in own.CERTBOTS:
        _certbots(live, new, only=part)
        seen.append(own.stamp(live))
        if part != own.CERTBOTS[-1]:
            with pytest.raises(BadInput, match="does not belong"):
                certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=live)
            assert served.read_bytes() == old
    assert certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=live).pem.read_bytes() == new
    assert len(set(seen)) == 3
    assert own.stamp(tmp_path / "gone") == ()


def test_a_certificates_relative_path_counts_from_the_project(tmp_path: Path) -> None:
    """Not from where one happens to be."""
    (tmp_path / "bentos").mkdir()
    (tmp_path / FILE).write_text('model = "m"\ncertificate = "tls/site.pem"\n')
    assert load(project=tmp_path, environ={}).certificate == tmp_path.resolve() / "tls" / "site.pem"


def test_a_wildcard_covers_one_label(tmp_path: Path) -> None:
    site = _own(tmp_path / "own.pem", names=("*.example.org",))
    certificates.ensure(tmp_path / "tls", ("api.example.org",), now=NOW, own_pem=site)
    for name in ("example.org", "a.b.example.org"):
        with pytest.raises(BadInput, match=f"not for {name}"):
            certificates.ensure(tmp_path / "tls", (name,), now=NOW, own_pem=site)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"begin": -9, "end": -1}, "expired on"),
        ({"begin": 1}, "not valid before"),
        ({"names": ("other.org",)}, "not for localhost, only for other.org"),
        ({"names": ()}, "only for nothing"),
        ({"other_key": True}, "does not belong"),
        ({"password": b"x"}, "encrypted"),
        ({"with_key": False}, "no private key"),
    ],
)
def test_a_bad_certificate_is_refused_and_the_one_in_force_stays(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    site = _own(tmp_path / "own.pem")
    before = certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=site).pem.read_bytes()
    _own(site, **change)  # type: ignore[arg-type]  # a table of keywords
    with pytest.raises(BadInput, match=says) as caught:
        certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=site)
    assert caught.value.where == str(site)
    assert caught.value.remedy
    assert (tmp_path / "tls" / "current" / "server.pem").read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path, content: bytes | None) -> None:
    site = tmp_path / "own.pem"
    if content is not None:
        site.write_bytes(content)
    with pytest.raises(BadInput, match=r"can't be read|no certificate"):
        certificates.ensure(tmp_path / "tls", NAMES, now=NOW, own_pem=site)
