"""The contract suite on Azurite, the emulator of Azure Blob Storage from npm, which keeps conditional writes.

`.ci/run` installs it (tests/recipes/node). The account and its key are those of every emulator, and no secret.
"""

import base64
import email.utils
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import OpenError
from docstore.model import Clock
from docstore.testing.contract import EngineContract

AZURITE = (
    Path(__file__).parents[2] / "recipes" / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
)
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
STARTS_WITHIN_S = 60


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the container `docs`."""
    node = shutil.which("node")
    if node is None or not AZURITE.exists():
        pytest.skip("npm ci --prefix tests/recipes/node --ignore-scripts was not run")
    folder = tmp_path_factory.mktemp("azurite")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([node, AZURITE, *options, str(port)], cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        create_container(url, "docs", folder / "log")
        yield url
    finally:
        process.kill()
        process.wait()


def create_container(url: str, name: str, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while True:
        fields = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        lines = "".join(f"{field}:{value}\n" for field, value in fields.items())
        signed = "PUT" + 12 * "\n" + f"{lines}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        signature = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
        fields["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
        request = urllib.request.Request(f"{url}/{name}?restype=container", method="PUT", headers=fields)
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError) or time.monotonic() > end:
                raise RuntimeError(log.read_text()) from error
        time.sleep(0.1)


@pytest.mark.usefixtures("fewer_examples")
class TestAzure(EngineContract):
    durable = True

    @pytest.fixture(autouse=True)
    def container(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        self.endpoint = endpoint

    def url(self, folder: Path, container: str = "docs") -> EngineURL:
        prefix = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        return EngineURL.parse(f"az://{container}/{prefix}?endpoint={self.endpoint}")

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(self.url(folder), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        return (found for found in check_store(self.url(folder)) if isinstance(found, Finding))

    def test_a_missing_container_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(OpenError, match="the bucket does not exist"):
            open_engine(self.url(tmp_path, "missing"))

    def test_a_wrong_key_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"wrong").decode())
        monkeypatch.setattr("docstore.engines.object_store.opening._raced", set())
        with pytest.raises(OpenError, match="access denied"):
            open_engine(self.url(tmp_path))
