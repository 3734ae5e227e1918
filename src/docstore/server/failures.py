"""What a client gets when a request fails: each exception becomes a problem, and each problem a response."""

import logging
from typing import Final

from docstore.engines.contract import Metered
from docstore.errors import DocstoreError, EngineError, NoSpace
from docstore.http.headers import TooManyMembers
from docstore.http.message import Request, Response
from docstore.server.access_log import request_line
from docstore.server.error_page import render_problem
from docstore.server.errors import HTTPProblem, problem_for, problem_media_type, problem_response
from docstore.server.mounts import Mount, Mounts
from docstore.server.resources.login import login_page
from docstore.server.security.access import without_basic
from docstore.server.security.sessions import shows_login

log: Final = logging.getLogger("docstore")


async def problem_of(request: Request, error: Exception, mount: Mount | None) -> HTTPProblem:
    """Return the problem that an exception is for the client, and log what the operator has to know."""
    where = request_line(request)
    match error:
        case HTTPProblem():
            return error
        case TooManyMembers():
            return HTTPProblem("fields-too-large", str(error))
        case EngineError():
            log.error("%s: %s", where, error)
            return (isinstance(error, NoSpace) and await _full_mount(mount)) or problem_for(error)
        case DocstoreError():
            return problem_for(error)
        case _:
            log.error("%s failed", where, exc_info=error)
            return HTTPProblem("internal")


async def _full_mount(mount: Mount | None) -> HTTPProblem | None:
    """Return the problem of a full mount with the figures of its quota, for clients that see them."""
    if mount is None or not isinstance(mount.engine, Metered):
        return None
    try:
        usage = await mount.engine.usage()
    except EngineError:  # the disk is full, too
        return None
    return HTTPProblem(
        "no-space", f"the documents of this mount take {usage.used_bytes:,} of {usage.max_bytes:,} bytes"
    )


async def failure_response(request: Request, problem: HTTPProblem, seen: Mounts) -> Response:
    """Return the response to a problem; its page names only mounts that the client may see."""
    media_type, page = problem_media_type(request.headers.get("accept")), ""
    if problem.type.name == "unauthorized" and request.user is not None and shows_login(request.headers):
        problem.headers = without_basic(problem.headers)
        response = (
            login_page(request, None, problem) if media_type == "text/html" else problem_response(problem, media_type)
        )
    else:
        if media_type == "text/html":
            page = await render_problem(problem, request, seen)
        response = problem_response(problem, media_type, page)
    response.head_only = request.method == "HEAD"
    return response
