"""Copies within a collection. HTTP has no operation for them, so the content is read and written again.

The content is collected in memory, or in a temporary file if it is large, so that a write whose response was lost can
be repeated. It is sent with its digest.
"""

from docstore.client.body import SPOOL_SIZE, body_of, spooled_content
from docstore.client.download import iter_content
from docstore.client.listing import stored_info, stored_options
from docstore.client.operations import Operations
from docstore.client.results import PutResult
from docstore.client.retry import RetryState, pause_or_raise
from docstore.errors import Conflict, NotFound, OutcomeUnknown


async def copy(operations: Operations, key: str, new_key: str, /, *, replace: bool = False) -> PutResult:
    """Store a document under another key too, with its type, fields, meta and remaining TTL; both have one version.

    Raise NotFound, Conflict if `new_key` exists, unless `replace` is true, and what `put` raises.
    """
    return (await _copy(operations, key, new_key, replace))[1]


async def rename(operations: Operations, key: str, new_key: str, /, *, replace: bool = False) -> PutResult:
    """Store a document under another key, with its type, fields, meta and remaining TTL, and remove the old one.

    These are two steps: first both documents exist, so an error or a crash between them leaves both, and rename can be
    called again with `replace`. The old document is removed only in the version that was copied: if another client has
    replaced it meanwhile, Conflict is raised and both exist. Raise also NotFound, Conflict if `new_key` exists, unless
    `replace` is true, what `put` raises, and OutcomeUnknown.
    """
    if key == new_key:
        raise ValueError(f"the new key is the old one: {key[:100]!r}")
    version, result = await _copy(operations, key, new_key, replace)
    left = f"{new_key[:100]!r} is stored; {key[:100]!r}"
    try:
        await operations.delete(key, if_match=version)
    except Conflict as error:
        raise Conflict(None, f"{left} has changed meanwhile and remains", version=error.version) from error
    except NotFound:
        pass  # another client has removed it
    except OutcomeUnknown as error:
        raise OutcomeUnknown(f"{left} may remain: {error}") from error
    return result


async def _copy(operations: Operations, key: str, new_key: str, replace: bool) -> tuple[str, PutResult]:
    """The version of the document, and the result of storing its copy."""
    operations.address.target(new_key)  # raises InvalidKey before the content is read
    state, work = RetryState(operations.policy), operations.transport.work
    while True:
        info = await stored_info(operations, await operations.head_info(key))
        from tempfile import SpooledTemporaryFile  # PERF: only copies need it

        with SpooledTemporaryFile(SPOOL_SIZE) as file:
            try:
                async for piece in iter_content(operations, key, if_match=info.version):
                    await work(lambda: file.write(piece))  # noqa: B023 - it is called at once
            except Conflict as error:
                await pause_or_raise(operations.transport, state, error)
                continue
            content = await work(lambda: spooled_content(file))
            options = stored_options(info)
            options["digest"] = info.digest or True
            if not replace:
                options["if_none_match"] = "*"
            return info.version, await operations.put(new_key, body_of(content), options)
