"""What a server tells of itself, and not of a document: its mounts, whether it is well, its version.

The library knows one collection at a time; this asks beside it, with the same client beneath.
"""

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from docstore.errors import EngineError, Unavailable

if TYPE_CHECKING:
    from docstore.cli.options import Access


def ask(store: str, path: str, access: "Access") -> tuple[int, str]:
    """Status and text of a GET. Raises Unavailable when no answer comes."""
    import httpx2

    here = (urlsplit(store).hostname or "") in ("localhost", "127.0.0.1", "::1")
    headers = {"accept": "application/json, text/plain;q=0.5", **access.headers}
    tls = store.startswith("https:")
    try:
        with httpx2.Client(timeout=access.timeout_s, headers=headers, trust_env=not here, verify=tls) as client:
            answer = client.get(store + path)
            return answer.status_code, answer.text
    except httpx2.HTTPError as error:
        raise Unavailable(f"GET of {path}: {error or type(error).__name__}") from error


def ask_json(store: str, path: str, access: "Access") -> Any:
    """Raises EngineError when it is no store that answers."""
    status, text = ask(store, path, access)
    try:
        if status == 200:
            return json.loads(text)
    except ValueError:
        pass
    raise EngineError(f"what is at {_shown(store)} is no Docstore: GET of {path} answered {status}")


def mounts(store: str, access: "Access") -> list[tuple[str, str]]:
    """The path and the engine of each mount."""
    told = ask_json(store, "/", access)
    try:
        return [(str(mount["mount"]), str(mount["engine"])) for mount in told["mounts"]]
    except (KeyError, TypeError):
        raise EngineError(f"what is at {_shown(store)} is no Docstore") from None


def _shown(store: str) -> str:
    """Without a password."""
    return store.partition("://")[0] + "://" + store.rpartition("//")[2].rpartition("@")[2]
