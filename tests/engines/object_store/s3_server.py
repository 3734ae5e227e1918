"""A small S3 server for tests: moto, with one request at a time, because it does not keep conditional writes otherwise.

    python -m tests.engines.object_store.s3_server

It prints its port, has the bucket `docs` and stops at the end of standard input. The environment variable
DOCSTORE_TEST_S3 has the URL of a real cluster instead, in which `{}` is the name of one store.
"""

import atexit
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

BUCKET = "docs"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "AWS_REGION": "us-east-1"}
ON_CLUSTER = "DOCSTORE_TEST_S3" in os.environ

_running = ExitStack()
atexit.register(_running.close)


def s3_url(folder: Path) -> str:
    """The engine URL of the store that belongs to `folder`, which is empty at first."""
    return _template().format(sha256(str(folder).encode()).hexdigest()[:16])


@cache
def _template() -> str:
    return os.environ["DOCSTORE_TEST_S3"] if ON_CLUSTER else _running.enter_context(running_s3_server())


@contextmanager
def running_s3_server() -> Iterator[str]:
    """Start the server in a process of its own, set its credentials, and yield the URL of stores in its bucket."""
    os.environ.update(CREDENTIALS)
    with Popen([sys.executable, "-m", __name__], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"s3://{BUCKET}/{{}}?endpoint=http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def main() -> None:
    import boto3
    from moto.core import errors, serialize
    from moto.moto_api._internal.moto_random import MotoRandom
    from moto.server import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Headers and body are two packets.

        def log(self, type: str, message: str, *args: Any) -> None:
            """Log nothing."""

    # Each of these would take a twentieth of a request, or a quarter of a listing: the times of its objects, the tables
    # of errors, identifiers of requests drawn letter by letter, and buckets in the name of the host.
    serialize.parse_to_aware_datetime = lru_cache(serialize.parse_to_aware_datetime)
    errors.ErrorLookupFactory = cache(errors.ErrorLookupFactory)
    MotoRandom.get_random_string = lambda self, length=20, **_: f"{self.getrandbits(4 * length):0{length}X}"
    os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    # Not moto's dispatcher, which searches its package for the service of each request.
    moto, turn = create_backend_app("s3"), threading.Lock()

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        with turn:
            return list(moto(environ, start_response))

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.port}").create_bucket(Bucket=BUCKET)
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
