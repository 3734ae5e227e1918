"""The page of a problem, for people: the path, the nearest mount, and links to what they can do next."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from docstore.errors import DocstoreError
from docstore.http.message import Request
from docstore.http.url import InvalidTarget, encode, segments
from docstore.server import pages
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount, Mounts
from docstore.server.resources.listing import has_documents

SHOWN_PATH_SIZE: Final = 300
"""Characters of the path."""
LISTED_MOUNTS: Final = 10
SIMILAR: Final = 0.6
"""The least similarity of a mount's name, from 0 to 1."""
PARENT_LIMIT: Final = 8
"""How many folders above a key are looked up."""


@dataclass(frozen=True, slots=True)
class Link:
    """An action, and the path where it leads."""

    text: str
    path: str
    """The path in the store, for display."""
    href: str


async def render_problem(problem: HTTPProblem, request: Request, mounts: Mounts) -> str:
    """Render the page for a client that sees these mounts."""
    try:
        parts = [] if request.path == "*" else segments(request.path)
    except InvalidTarget:
        parts = []
    found = mounts.find(parts)
    if found is not None:
        links = await _links_in(*found, problem, request)
    else:
        links = [_link(text, mount, rest, request.root) for text, mount, rest in _other_mounts(parts, mounts)]
    if parts[:1] == ["-"]:
        links.insert(0, Link("Open the start of the service", "/-/", f"{request.root}/-/"))
    links.append(Link("See all mounts", "/", f"{request.root}/"))
    return pages.render(
        "problem.html",
        request.root,
        kind=problem.type,
        detail=problem.detail,
        method=request.method,
        path=request.path[:SHOWN_PATH_SIZE] + ("\u2026" if len(request.path) > SHOWN_PATH_SIZE else ""),
        allowed=b"".join(value for name, value in problem.headers if name == b"allow").decode("ascii"),
        links=links,
    )


async def _links_in(mount: Mount, key: str, problem: HTTPProblem, request: Request) -> list[Link]:
    """Links within the mount of the path."""
    links = []
    if problem.type.status >= 500 and request.method in ("GET", "HEAD"):
        links.append(Link("Try again", request.path[:SHOWN_PATH_SIZE], request.root + encode(mount.prefix + key)))
        links.append(Link("See whether every storage responds", "/-/ready", f"{request.root}/-/ready"))
    folder = await _nearest_folder(mount, key)
    place = request.root + encode(mount.prefix + folder)
    if problem.type.name == "not-found" and key and not key.endswith("/") and _may_create(mount, key):
        links.append(Link("Create it here", mount.prefix + key, f"{place}#{encode(key)}"))
    if folder:
        links.append(Link("Open the nearest folder", mount.prefix + folder, place))
    return [*links, _link("Open the nearest mount", mount, "", request.root)]


def _may_create(mount: Mount, key: str) -> bool:
    try:
        if mount.rights is not None:
            mount.rights.check_unsafe("PUT", key)
    except HTTPProblem:
        return False
    return not mount.readonly


async def _nearest_folder(mount: Mount, key: str) -> str:
    """The longest folder above the key that has documents; "" for the collection, also if the storage fails."""
    if mount.keys != "path":
        return ""
    ends = [index + 1 for index, character in enumerate(key[:-1]) if character == "/"]
    try:
        for end in ends[: -PARENT_LIMIT - 1 : -1]:
            if mount.allows(key[: end - 1]) and await has_documents(mount, key[:end]):
                return key[:end]
    except (DocstoreError, HTTPProblem):
        return ""
    return ""


def _other_mounts(parts: list[str], mounts: Mounts) -> list[tuple[str, Mount, str]]:
    """The mounts whose names are similar to the start of a path, each with the rest of it; otherwise some mounts.

    The first item is the text of the link.
    """
    scores = []
    for mount in mounts:
        depth = mount.name.count("/") + 1
        start = "/".join(parts[:depth])[:SHOWN_PATH_SIZE]
        score = SequenceMatcher(None, start.lower(), mount.name.lower()).ratio()
        scores.append((score, mount, "/".join(parts[depth:])))
    scores.sort(key=lambda row: -row[0])
    similar = [
        ("Open the same path in a similar mount" if rest else "Open the nearest mount", mount, rest)
        for score, mount, rest in scores
        if score >= SIMILAR
    ]
    return similar[:3] or [("Open a mount", mount, "") for mount in list(mounts)[:LISTED_MOUNTS]]


def _link(text: str, mount: Mount, rest: str, root: str) -> Link:
    path = mount.prefix + rest
    return Link(text, path[:SHOWN_PATH_SIZE], root + encode(path))
