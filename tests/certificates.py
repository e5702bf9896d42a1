"""An authority for tests, made by openssl: certificates of any kind, and revocation lists."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services import require_program

from dicom_node.settings.tls import TlsSettings

_CONFIGURATION = """
[ca]
default_ca = this
[this]
dir = {folder}
database = {folder}/index
serial = {folder}/serial
crlnumber = {folder}/crlnumber
new_certs_dir = {folder}
certificate = {folder}/ca.crt
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
"""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    file: Path
    key: Path


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        require_program("openssl")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "ca.crt"
        self._configuration = folder / "openssl.cnf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder, name=name))
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        (folder / "crlnumber").write_text("01\n")
        self._make_key(folder / "ca.key")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-days", "30",
                      "-config", "openssl.cnf", "-extensions", "authority")  # fmt: skip

    def issue(
        self,
        name: str,
        *,
        san: str = "DNS:localhost,IP:127.0.0.1",
        days: int = 7,
        bits: int | None = None,
        password: str | None = None,
    ) -> Certificate:
        """Issue a certificate; one of negative `days` has expired.

        Parameters
        ----------
        bits : length of an RSA key; None makes a key on the curve P-256
        """
        stem = f"{name}-{len(list(self.folder.glob('*.csr')))}"
        key = self.folder / f"{stem}.key"
        self._make_key(key, bits)
        request = [f"{stem}.key", "-out", f"{stem}.csr", "-subj", f"/CN={name}"]
        self._openssl("req", "-new", "-config", "openssl.cnf", "-key", *request,
                      *(["-addext", f"subjectAltName={san}"] if san else []))  # fmt: skip
        end = datetime.now(UTC) + timedelta(days=days)
        start = min(datetime.now(UTC), end) - timedelta(days=1)
        dates = [f"{one:%y%m%d%H%M%SZ}" for one in (start, end)]
        self._openssl("ca", "-batch", "-config", "openssl.cnf", "-extensions", "leaf", "-notext",
                      "-in", f"{stem}.csr", "-out", f"{stem}.crt",
                      "-startdate", dates[0], "-enddate", dates[1])  # fmt: skip
        if password is not None:
            self._openssl("pkey", "-in", f"{stem}.key", "-out", f"{stem}.locked",
                          "-aes256", "-passout", f"pass:{password}")  # fmt: skip
            key = self.folder / f"{stem}.locked"
        return Certificate(self.folder / f"{stem}.crt", key)

    def revoke(self, certificate: Certificate) -> None:
        self._openssl("ca", "-config", "openssl.cnf", "-revoke", str(certificate.file))

    def revocation_list(self, name: str = "ca.crl") -> Path:
        """Write the list of what is revoked now."""
        self._openssl("ca", "-config", "openssl.cnf", "-gencrl", "-out", name)
        return self.folder / name

    def settings(self, certificate: Certificate | None = None, **changes: object) -> TlsSettings:
        """Return [tls] with this authority, and with a certificate."""
        values: dict[str, object] = {"certificate_authorities": self.file}
        if certificate is not None:
            values |= {"certificate": certificate.file, "private_key": certificate.key}
        return TlsSettings.model_validate({**values, **changes})

    def _make_key(self, file: Path, bits: int | None = None) -> None:
        kind = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        if bits is not None:
            kind = ["RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"]
        self._openssl("genpkey", "-out", str(file), "-algorithm", *kind)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
