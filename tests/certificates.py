"""Certificates for the tests of TLS."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple


class KeyPair(NamedTuple):
    """The PEM files of a certificate and of its key."""

    chain: Path
    key: Path


def make_certificate(folder: Path, *names: str) -> KeyPair:
    """Write `pair.pem` and `key.pem` into `folder`, for these host names and addresses, signed by themselves."""
    pair = KeyPair(folder / "pair.pem", folder / "key.pem")
    alternatives = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test"
    options = ["-addext", f"subjectAltName={alternatives}", "-keyout", pair.key, "-out", pair.chain]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)  # the program is on every machine
    return pair


def trusting(pair: KeyPair) -> ssl.SSLContext:
    """Return the context of a client that trusts only this certificate."""
    return ssl.create_default_context(cafile=pair.chain)
