"""`/-/login` and `/-/logout`: a browser sends a token once, and gets the cookie of a session."""

import json
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs

from docstore.content import BytesContent, SizeLimitedUpload, read_all
from docstore.http.headers import parse_media_type
from docstore.http.json import InvalidJSON, parse_json
from docstore.http.message import HeaderPairs, Request, Response
from docstore.http.negotiation import names
from docstore.server import pages
from docstore.server.errors import HTTPProblem
from docstore.server.openapi_schema import UNSAFE_PROBLEMS, UPLOAD_PROBLEMS, Answer, Operation
from docstore.server.resources.resource import ReadableResource, Resource, negotiate
from docstore.server.responses import SAFETY_HEADERS, small_response
from docstore.server.security.access import AccessControl, without_basic
from docstore.server.security.tokens import Token
from docstore.units import format_rfc3339

LOGIN_SIZE_LIMIT: Final = 8 * 1024
"""Bytes of the content of a login."""
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_NEXT: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""Matches a path and a query on this server: what begins with two slashes, or a backslash, is another server."""


class _SessionResource(Resource):
    # A login is small, and clients without a token must not take the places of uploads.
    counts_as_upload = False

    def __init__(self, access: AccessControl | None, token: Token | None) -> None:
        """`token` is that of the client, if it has one."""
        self._sessions = None if access is None else access.sessions
        self._access = access
        self._token = token


class LoginResource(_SessionResource, ReadableResource):
    """`/-/login`."""

    @Operation({200: Answer("Who the client is.", {"text/html": "", _JSON: "Login"}, ("Cache-Control", "Vary"))},
               ("not-acceptable",))  # fmt: skip
    async def GET(self, request: Request) -> Response:
        """Return the token of the client as JSON, or a page to log in or out."""
        if negotiate(request, (_JSON, "text/html")) == "text/html":
            return login_page(request, self._token)
        return _login_response(self._token, [(b"vary", b"Accept")])

    @Operation(
        {
            200: Answer("The session has begun; Set-Cookie has its cookie.", {_JSON: "Login"}, ("Cache-Control",)),
            303: Answer("The same, for clients that accept text/html.", {"text/plain": ""}, ("Location",)),
        },
        (*UNSAFE_PROBLEMS, *UPLOAD_PROBLEMS, "unsupported-type", "not-found"),
        body="login",
    )
    async def POST(self, request: Request) -> Response:
        """Begin a session with a token. It has the rights of the token, and ends with it, or after 12 hours."""
        if self._access is None or self._sessions is None:
            raise HTTPProblem("not-found", "this store has no tokens, so nobody logs in")
        for_people = names(request.headers.get("accept"), "text/html")
        form = await read_form(request)
        next = form.get("next", "")
        try:
            token = self._access.log_in(form.get("token", ""))
        except HTTPProblem as problem:
            if problem.type.status != 401 or not for_people:
                raise
            return login_page(request, None, problem, next=next)
        cookie = await self._sessions.begin(request, token)
        if for_people:
            return _see_other(request, next if _NEXT.fullmatch(next) else "/", cookie)
        return _login_response(token, cookie)


class LogoutResource(_SessionResource):
    """`/-/logout`."""

    @Operation(
        {
            204: Answer("The session has ended, if there was one."),
            303: Answer("The same, for clients that accept text/html.", {"text/plain": ""}, ("Location",)),
        },
        (*UNSAFE_PROBLEMS, *UPLOAD_PROBLEMS),
    )
    async def POST(self, request: Request) -> Response:
        """End the session of the client, and with it all copies of its cookie."""
        if self._sessions is not None:
            await self._sessions.end(request)
        if names(request.headers.get("accept"), "text/html"):
            return _see_other(request, "/-/login", [])
        return Response(204, [(b"cache-control", b"no-store")])


LOGIN_RESOURCES: Final[dict[tuple[str, ...], type[_SessionResource]]] = {
    ("-", "login"): LoginResource,
    ("-", "logout"): LogoutResource,
}
"""By the segments of the path."""


def login_resource(parts: Sequence[str] | None, access: AccessControl | None, token: Token | None) -> Resource:
    """Return the resource at a path for which `is_login` holds."""
    return LOGIN_RESOURCES[tuple(parts or ())](access, token)


def login_page(
    request: Request, token: Token | None, problem: HTTPProblem | None = None, *, next: str = ""
) -> Response:
    """Return the page with the form, 401 for a problem; for a client with a session, the page with the logout.

    `next` is where the browser goes then; by default to the request, if that is no login.
    """
    here = f"{request.path}?{request.query}" if request.query else request.path
    if not next and request.method in ("GET", "HEAD") and not request.path.startswith("/-/log"):
        next = here
    body = pages.render(
        "login.html",
        request.root,
        user=request.user,
        name=request.user if token is not None and request.session else "",
        detail=problem.detail if problem is not None else "",
        next=next if _NEXT.fullmatch(next) else "",
        came_from_elsewhere=request.headers.get("sec-fetch-site") in ("cross-site", "same-site"),
    ).encode("utf-8")
    headers = [(b"content-type", b"text/html; charset=utf-8"), *SAFETY_HEADERS[:2], *_FORM_HEADERS]
    headers += [(b"cache-control", b"no-store"), (b"vary", b"Accept"), (b"content-length", b"%d" % len(body))]
    if problem is None:
        return Response(200, headers, BytesContent(body))
    headers += without_basic(problem.headers)
    return Response(problem.type.status, headers, BytesContent(body))


_FORM_HEADERS: Final[HeaderPairs] = [
    # With `no-referrer`, a browser hides the origin of a form, which the server checks.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", pages.POLICY.replace(b"form-action 'none'", b"form-action 'self'")),
]


def _login_response(token: Token | None, more: HeaderPairs) -> Response:
    about: dict[str, str] | None = None
    if token is not None:
        about = {"id": token.id, "note": token.note}
        if token.expires_ns is not None:
            about["expires"] = format_rfc3339(token.expires_ns)
    return small_response(json.dumps({"token": about}) + "\n", _JSON, cache=b"no-store", more=more)


def _see_other(request: Request, path: str, more: HeaderPairs) -> Response:
    location = request.root + path
    headers = [(b"location", location.encode("ascii")), *more]
    return small_response(f"{location}\n", "text/plain", status=303, cache=b"no-store", more=headers)


async def read_form(request: Request) -> dict[str, str]:
    """Return the texts in a form or a JSON object. Raise HTTPProblem, or UploadError."""
    parsed = parse_media_type(request.headers.get("content-type") or "")
    media_type = parsed.essence if parsed else ""
    if media_type not in (_FORM, _JSON):
        raise HTTPProblem("unsupported-type", f"a login is {_FORM} or {_JSON}, with the member token")
    data = await read_all(SizeLimitedUpload(request.body, LOGIN_SIZE_LIMIT))
    try:
        if media_type == _FORM:
            return {name: values[-1] for name, values in parse_qs(data.decode("ascii"), max_num_fields=10).items()}
        members = parse_json(data)
    except (InvalidJSON, ValueError):
        return {}
    pairs = members.items() if isinstance(members, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}
