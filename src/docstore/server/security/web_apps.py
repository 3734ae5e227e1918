"""Mounts that serve web apps (`content=app`): browsers run the scripts of their documents.

A browser separates origins, not paths: a script may do whatever a page of its origin may, and neither Origin nor
Sec-Fetch-Site tells paths apart. So an app gets a host of its own (`app_host`), where no other mount and no login
exists, and at all other hosts its documents are sandboxed like those of other mounts. Without `app_host`, an app
shares the origin of the store. The settings allow that only without tokens, where no credentials could be misused.
Nothing of it may stay in browsers, where it would have the rights of a user who logs in later: the server sends no
scripts of service workers there, and documents with `no-store`.
"""

from docstore.http.message import Headers, Response
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mounts
from docstore.server.responses import SANDBOX
from docstore.server.security.browser_safety import host_name


def find_app_host(headers: Headers, app_hosts: frozenset[str]) -> str:
    """Return the host of an app if the request is sent to one, otherwise ""."""
    name = headers.cached(host_name) or ""
    return name if name in app_hosts else ""


def check_forwarded_host(received: Headers, believed: Headers, app_hosts: frozenset[str], own: frozenset[str]) -> None:
    """Raise HTTPProblem if a proxy's fields lead from the host of an app to another one, or there from an own host.

    A proxy that keeps Host may pass on fields that it does not know, and a script can send them. A response without the
    sandbox would be kept by caches for the host of the store.
    """
    before, after = find_app_host(received, app_hosts), find_app_host(believed, app_hosts)
    if before != after and (before or received.cached(host_name) in own):
        raise HTTPProblem(
            "invalid-field", "Host and the fields of a proxy contradict each other: one is that of an app"
        )


def mounts_at(mounts: Mounts, app_host: str) -> Mounts:
    """Return those of the mounts that exist at the host of an app."""
    return Mounts([mount for mount in mounts if mount.app_host == app_host])


def lift_sandbox(response: Response, app_host: str) -> None:
    """Let browsers run a document as a web app. At the host of the store, they keep no copy without the sandbox."""
    headers = [pair for pair in response.headers if pair != SANDBOX]
    if not app_host and len(headers) < len(response.headers):
        headers = [(name, b"no-store" if name == b"cache-control" else value) for name, value in headers]
    response.headers = headers
