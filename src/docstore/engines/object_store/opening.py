"""Opening a bucket: URL, credentials, and the race that shows whether the store keeps conditional writes.

Some stores accept conditions and ignore them, and some check them before the write instead of with it. On such a store
two processes would both succeed, and one document would be lost. So at the start of a process several writers race for
the same object: only one may create it, and only one may replace it.
"""

import configparser
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError
from obstore.store import AzureStore, GCSStore, S3Store

from docstore.engines.object_store.bucket import Bucket, has_no_bucket
from docstore.engines.object_store.engine import ObjectStoreEngine
from docstore.engines.object_store.names import FORMAT, PREFIX_LIMIT, TRIALS
from docstore.engines.registry import EngineURL
from docstore.engines.shared.clocks import clock_fault
from docstore.errors import OpenError
from docstore.model import Clock

if TYPE_CHECKING:
    from obstore import PutMode, PutResult
    from obstore.store import ObjectStore

REQUEST_TIMEOUT_S: Final = 5
"""Longest time of one small request; it is sent again then."""
BULK_TIMEOUT_S: Final = 60
RACERS: Final = 8
RACES: Final = 2

_LOCATION: Final = re.compile(r"//([^/?#]+)(?:/(.*?))?/?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_raced: Final[set[tuple[str, str, str | None]]] = set()
"""The buckets whose race this process has seen."""


def open_object_store(url: EngineURL, clock: Clock) -> ObjectStoreEngine:
    """Open `s3://BUCKET/PREFIX`, `gs://…` or `az://…`. Raise OpenError."""
    bucket, store = open_bucket(url)
    raced = url.scheme, url.location.split("/")[2], url.options.get("endpoint")
    if raced not in _raced:
        _race(bucket, store)
        _raced.add(raced)
    return ObjectStoreEngine(bucket, clock)


def open_bucket(url: EngineURL) -> "tuple[Bucket, ObjectStore]":
    """Return the bucket of a URL, and its store for blocking calls. Raise OpenError."""
    match = _LOCATION.fullmatch(url.location)
    if match is None:
        raise OpenError(f"{url.scheme}: needs the name of a bucket, as in {url.scheme}://bucket/prefix")
    prefix = match[2] or ""
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")) or len(prefix) > PREFIX_LIMIT):
        raise OpenError(f"the prefix {prefix!r} is not at most {PREFIX_LIMIT} of A-Z a-z 0-9 . _ - and /")
    endpoints = url.options["endpoint"].split(",") if "endpoint" in url.options else [""]
    where = f"{url.scheme}:{url.location}" + (f" at {','.join(endpoints)}" if endpoints != [""] else "")
    try:
        stores = [_store(url, match[1], prefix, each, REQUEST_TIMEOUT_S, 0) for each in endpoints]
        bulk = [_store(url, match[1], prefix, each, BULK_TIMEOUT_S, 4) for each in endpoints]
    except (BaseError, ValueError, OSError) as error:
        raise OpenError(f"cannot open {where}: {' '.join(str(error).split())[:300]}") from error
    bucket, store = Bucket(where, stores, bulk, bare_tags=url.scheme == "s3"), _first_answering(stores)
    _check_format(bucket, store)
    return bucket, store


def _check_format(bucket: Bucket, store: "ObjectStore") -> None:
    """Raise OpenError if a newer Docstore has changed the format."""
    try:
        number = bytes(store.get(FORMAT).bytes()).decode("ascii", "replace")[:9]
    except (BaseError, OSError) as error:
        if isinstance(error, FileNotFoundError) and not has_no_bucket(error):
            return
        raise OpenError(f"cannot open {bucket.translate(error)}") from error
    raise OpenError(f"cannot open {bucket.where}: it has the format {number!r} of a newer Docstore")


def _first_answering(stores: "list[ObjectStore]") -> "ObjectStore":
    """Return the store at the first endpoint that can be reached, the last if none can. Only one is not asked."""
    for store in stores[:-1]:
        try:
            store.head("clock")
        except GenericError:
            continue
        except (BaseError, OSError):
            pass  # It answered; what is wrong is reported by the race or the check.
        return store
    return stores[-1]


def _store(url: EngineURL, bucket: str, prefix: str, endpoint: str, timeout_s: float, retries: int) -> "ObjectStore":
    shared: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": {
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=3),
            "allow_http": endpoint.startswith("http://"),
        },
        "retry_config": {
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=BULK_TIMEOUT_S),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
    }
    if endpoint:
        shared["base_url" if url.scheme == "gs" else "endpoint"] = endpoint
    if url.scheme == "gs":
        return GCSStore(bucket, **shared)
    if url.scheme == "az":
        account: dict[str, Any] = {"account_name": url.options["account"]} if "account" in url.options else {}
        return AzureStore(bucket, **shared, **account)
    if "region" in url.options:
        shared["region"] = url.options["region"]
    return S3Store(bucket, **shared, **_profile(), disable_bulk_delete=True)


def _profile() -> dict[str, Any]:
    """Return the credentials of the profile in ~/.aws; obstore finds those of the environment and of the machine."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path("~/.aws/credentials").expanduser()
    try:
        parser.read(path)
    except configparser.Error as error:
        raise OpenError(f"{path}: {' '.join(str(error).split())}") from None
    section = os.environ.get("AWS_PROFILE") or "default"
    names = ("access_key_id", "secret_access_key", "session_token")
    return {name: parser[section][f"aws_{name}"] for name in names if parser.has_option(section, f"aws_{name}")}


def _race(bucket: Bucket, store: "ObjectStore") -> None:
    """Let writers race for an object. Raise OpenError if the store can't be used, or lets more than one succeed."""

    def succeeded(name: str, number: int, mode: "PutMode") -> "PutResult | None":
        try:
            return store.put(name, b"%d" % number, mode=mode)
        except (AlreadyExistsError, PreconditionError) as error:
            if has_no_bucket(error):
                raise
            return None

    def race(name: str, mode: "PutMode", condition: str) -> None:
        def run(number: int) -> "PutResult | BaseError | None":
            try:
                return succeeded(name, number, mode)
            except GenericError as error:  # Ceph answers 500 to some of the losers
                return error

        outcomes = list(threads.map(run, range(RACERS)))
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseError)]
        winners = RACERS - outcomes.count(None) - len(errors)
        if errors and not winners:
            raise errors[0]
        if winners > 1:
            raise OpenError(
                f"{bucket.where}: {winners} of {RACERS} racing writes with {condition} succeeded; "
                "documents would be lost on a store that does not keep conditional writes"
            )

    names = [f"{TRIALS}{secrets.token_hex(12)}" for _ in range(RACES)]
    with ThreadPoolExecutor(RACERS) as threads:
        try:
            for name in names:
                race(name, "create", "If-None-Match")
                race(name, "create", "If-None-Match")
                stored = store.put(name, b"replaced")
                if fault := clock_fault(store.head(name)["last_modified"].timestamp()):
                    raise OpenError(f"cannot open {bucket.where}: {fault}")
                race(name, bucket.state_of(stored), "If-Match")
                if succeeded(name, RACERS, bucket.state_of(stored)) is not None:
                    raise OpenError(f"{bucket.where}: the store ignores If-Match; documents would be lost")
                store.delete(name)
        except (BaseError, OSError) as error:
            raise OpenError(f"cannot open {bucket.translate(error)}") from error
