"""The fleet's certificate authority: whom server and devices believe on a connection (X.509, RFC 5280).

A certificate opens the door and no more: who takes part is said by the roster. So a device's certificate
lasts as long as the authority, and whoever left the roster is refused at the next plan, whatever certificate
it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from covey.errors import InputError

AUTHORITY_DAYS: Final = 3650
BEFORE: Final = timedelta(days=1)
"""Certificates hold from so long ago: clocks differ."""

_MOST_NAME: Final = 40


@dataclass(frozen=True)
class Authority:
    """A certificate authority that can sign.

    Attributes:
        key: ECDSA P-256. Not shown when printed.
        certificate: Its own.
    """

    key: EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """Its certificate (DER)."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """Its certificate (PEM)."""
        return self.certificate.public_bytes(Encoding.PEM)

    def client(self, device: str, key: bytes, now: int) -> bytes:
        """A device's certificate (DER).

        Args:
            device: Its name in the roster: the certificate's common name.
            key: Its public key (SubjectPublicKeyInfo, DER).
            now: Unix time, seconds.
        """
        public = load_der_public_key(key)
        if not isinstance(public, EllipticCurvePublicKey):
            raise InputError(f"the key of {device} cannot have a certificate", hint="let it make another one")
        builder = self._builder(device, public, now, self.certificate.not_valid_after_utc)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._signed(builder.add_extension(usage, critical=False)).public_bytes(Encoding.DER)

    def server(self, key: EllipticCurvePublicKey, hosts: Sequence[str], now: int, until: int) -> bytes:
        """The server's certificate (PEM).

        Args:
            key: The server's public key.
            hosts: Names and addresses under which devices reach it.
            now: Unix time, seconds.
            until: Its last second, if the authority's is not before.

        Raises:
            InputError: Not a host.
        """
        last = min(datetime.fromtimestamp(until, UTC), self.certificate.not_valid_after_utc)
        builder = self._builder("covey server", key, now, last)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        names = x509.SubjectAlternativeName([general_name(host) for host in hosts])
        made = self._signed(builder.add_extension(usage, critical=False).add_extension(names, critical=False))
        return made.public_bytes(Encoding.PEM)

    def _builder(
        self, name: str, public: EllipticCurvePublicKey, now: int, until: datetime
    ) -> x509.CertificateBuilder:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _described(name, self.certificate.subject, public, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(issuer, critical=False)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self.key, SHA256())


def new_authority(fleet: str, key: EllipticCurvePrivateKey, now: int) -> Authority:
    """An authority with a certificate of its own signing.

    Args:
        fleet: The fleet's name.
        key: ECDSA P-256.
        now: Unix time, seconds.
    """
    until = datetime.fromtimestamp(now, UTC) + timedelta(days=AUTHORITY_DAYS)
    name = f"covey {_plain(fleet)}"
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _described(name, issuer, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Authority(key, builder.sign(key, SHA256()))


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate in PEM.

    Raises:
        InputError: There is none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="bring the certificate in PEM") from error


def general_name(host: str) -> x509.GeneralName:
    """A host as certificates have it: an address, or a name.

    Raises:
        InputError: Neither.
    """
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    if not host or not host.isascii() or not all(char.isalnum() or char in "-._*" for char in host):
        raise InputError(f"{host!r} is no host", hint="give a name such as fleet.example.org, or an address")
    return x509.DNSName(host)


def _described(
    name: str, issuer: x509.Name, public: EllipticCurvePublicKey, now: int, until: datetime
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now, UTC) - BEFORE)
        .not_valid_after(until)
        .add_extension(identifier, critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _plain(fleet: str) -> str:
    """The fleet's name as far as a common name holds it: 64 bytes."""
    return (
        "".join(char for char in fleet if char.isascii() and char.isprintable())[:_MOST_NAME].strip()
        or "fleet"
    )
