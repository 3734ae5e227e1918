"""The transport part: carries out what `connection` decides, with the transport, the handler and the clock.

The event loop calls the public methods. A request runs in `_respond`, in a Task only when it waits. After anything has
happened, one method brings the transport in line with the connection's state: `_update_transport`.
"""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from docstore.content import BytesContent, Upload
from docstore.errors import ContentTooLarge, IncompleteUpload, UploadError, UploadTooSlow
from docstore.http.message import InvalidResponse, Request, Response, ResponseContent, StreamedContent
from docstore.server.access_log import request_line
from docstore.server.http1 import response_head
from docstore.server.http1.connection import (
    BODY_PHASE,
    CLOSED_PHASE,
    COMPLETE_PHASE,
    DRAIN_PHASE,
    HEAD_PHASE,
    LINGER_PHASE,
    Connection,
    Phase,
)
from docstore.server.http1.parser import CHUNKED, ProtocolError
from docstore.server.http1.registry import Admission, UvicornApplication
from docstore.server.http1.request_body import PAUSE_SIZE, RESUME_SIZE, RequestBody
from docstore.server.http1.response_writer import ResponseWriter
from docstore.server.http1.timeouts import IdleTimer, Wait, current_wait

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

log: Final = logging.getLogger("docstore")

PIPELINE_SIZE: Final = 64 * 1024
"""Bytes of pipelined requests that are read before the current response is sent."""

_TURN: Final = range(32)
"""The requests of one connection that are answered before other connections get a turn."""


class Protocol(asyncio.Protocol):
    """One connection. uvicorn makes it, and calls `shutdown` when the server stops."""

    __slots__ = ("_address", "_body", "_connection", "_idle_timer", "_reading", "_registry", "_scheme", "_state",
                 "_transport", "_writer")  # fmt: skip

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        loop = _loop or asyncio.get_running_loop()
        self._registry = cast(UvicornApplication, config.loaded_app).registry(loop, server_state)
        self._state = server_state
        self._connection = Connection(self._registry.limits)
        self._idle_timer = IdleTimer()
        self._body: RequestBody | None = None
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._writer = ResponseWriter(self._transport, self._registry.loop)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        self._scheme = "https" if self._writer.encrypted else ""
        self._state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes only
        match self._registry.add(self, self._address):
            case Admission.ACCEPT:
                self._connection.stopping = self._registry.stopping
            case Admission.REJECT_503:
                self._reject(ProtocolError(503))
            case Admission.DROP:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._registry.remove(self, self._address)
        self._state.connections.discard(self)
        self._connection.phase = CLOSED_PHASE
        self._writer.disconnect()
        self._fail_body(IncompleteUpload("the client disconnected"))

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        connection.receive(data)
        # Parts of a body are passed on at once: a segment may be large, and more may come in the same turn.
        if connection.phase is HEAD_PHASE and connection.unread_size <= PIPELINE_SIZE:
            self._registry.schedule(self)
        else:
            self.advance()

    def eof_received(self) -> bool:
        """Respond to what the client has sent before it closed its half, where the transport allows it (not TLS)."""
        self._connection.receive_eof()
        self.advance()
        return self._writer.can_write_eof

    def pause_writing(self) -> None:
        self._writer.pause()

    def resume_writing(self) -> None:
        self._writer.resume()
        # Not at once: a write may have called this.
        if self._connection.phase is HEAD_PHASE and (self._connection.unread_size or self._connection.eof):
            self._registry.loop.call_soon(self.advance)

    def shutdown(self) -> None:
        """Stop gracefully: finish the current request and start no other. uvicorn calls this."""
        self._registry.stopping = self._connection.stopping = True
        self._update_transport()

    @property
    def transport(self) -> asyncio.Transport:
        """Named as in uvicorn's protocols, for a forced stop, which aborts it."""
        return self._transport

    def check_timeout(self, now_s: float) -> None:
        writer, connection, limits = self._writer, self._connection, self._registry.limits
        if writer.has_unsent:
            wait, moved = Wait.READER, writer.received_size
        else:
            wait, moved = current_wait(connection, reading=self._reading)
        if not self._idle_timer.has_expired(wait, connection.request_count, moved, now_s, limits):
            return
        match wait:
            case Wait.HEAD:
                self._reject(ProtocolError(408))
            case Wait.BODY:
                self._abort_body(UploadTooSlow(f"fewer than {limits.lowest_rate} bytes a second"))
            case Wait.FIRST_BYTE | Wait.NEXT_REQUEST:
                self._transport.close()
            case _:
                self._transport.abort()

    def advance(self) -> None:
        """Handle all complete requests and bodies in the received bytes."""
        connection = self._connection
        for _ in _TURN:
            if connection.phase is not HEAD_PHASE:
                self._feed_body()
            if connection.phase is not HEAD_PHASE or self._writer.paused:
                break
            try:
                request = connection.take_request()
                if request is None:
                    if connection.eof:
                        self._end_requests()
                    break
                self._start_request(request)
            except ProtocolError as error:
                self._reject(error)
                break
        else:
            self._registry.loop.call_soon(self.advance)
        self._update_transport()

    def _end_requests(self) -> None:
        """Accept no further request. Raises ProtocolError when the client closed its half inside a head."""
        is_partial = self._connection.unread_size > 0
        self._connection.reject()
        if is_partial:
            raise ProtocolError(400, "the head is incomplete")

    def _start_request(self, request: Request) -> None:
        """Run a request to its end or to its first wait. Raises ProtocolError for an invalid body."""
        request.address, request.scheme = self._address, self._scheme
        if self._connection.phase is not COMPLETE_PHASE:
            request.body = self._start_body()
        self._state.total_requests += 1
        if self._connection.phase is COMPLETE_PHASE:
            response = self._registry.fast_path(request)
            if response is not None:
                self._send(response, request)
                return
            has_body = self._connection.section.length != 0
            if has_body and self._registry.fast_write(request, partial(self._finish_write, request)):
                return
        self._run(self._respond(request))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._registry.runner.run(work)
        if task is not None:
            task.add_done_callback(self._finish_task)

    def _send(self, response: Response, request: Request) -> None:
        """Send the response to a request whose body is complete."""
        content = self._send_head(response, request)
        if content is None:
            self._connection.finish_response()
        else:
            self._run(self._send_content(content, request))

    def _finish_write(self, request: Request, response: Response) -> None:
        if not self._writer.disconnected:
            self._send(response, request)
            self.advance()

    def _start_body(self) -> Upload:
        """Return the request's body: in memory if it is complete, which saves a PUT its first wait."""
        connection = self._connection
        piece = connection.take_body() if connection.unread_size else b""
        if connection.phase is COMPLETE_PHASE:
            return BytesContent(piece)
        length = connection.section.length
        self._body = RequestBody(None if length == CHUNKED else length, self._on_body_change)
        if piece:
            self._body.feed(piece)
        return self._body

    async def _respond(self, request: Request) -> None:
        """Get the response and send it. If that fails midway, abort the connection: the client must see the failure."""
        try:
            response = await self._registry.handle(request)
        except UploadError:
            self._transport.abort()
            return
        except Exception:
            log.exception("%s failed", request_line(request))
            response = ProtocolError(500).response
        if self._writer.disconnected:
            return
        content = self._send_head(response, request)
        if content is not None:
            await self._send_content(content, request)
        else:
            self._finish_response()

    async def _send_content(self, content: ResponseContent, request: Request) -> None:
        if not isinstance(content, StreamedContent):
            self._discard_body()  # the handler has ended, and the client may read only after sending everything
        try:
            await self._writer.send(content, chunked=self._connection.section.minor >= 1)
        except Exception as error:
            # A client that disconnects is not an error of the server.
            if not self._writer.disconnected and not isinstance(error, ConnectionError):
                log.error("%s: sending the response failed: %s", request_line(request), error)
            self._transport.abort()
        else:
            self._finish_response()

    def _finish_response(self) -> None:
        self._connection.finish_response()
        if self._body is not None:
            self._discard_body()

    def _send_head(self, response: Response, request: Request) -> ResponseContent | None:
        """Send the head, with small content in memory, and return the content left to send."""
        status_lines, connection = self._registry.status_lines, self._connection
        try:
            data, content = response_head.start_response(status_lines, response, request, connection)
        except InvalidResponse:
            log.exception("the response to %s is invalid", request_line(request))
            response = ProtocolError(500).response
            data, content = response_head.start_response(status_lines, response, request, connection)
        self._writer.write_head(data, content)
        return content

    def _finish_task(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._transport.abort()
        elif not self._writer.disconnected:
            self.advance()

    def _feed_body(self) -> None:
        """Pass on what has arrived of the body, or drop it when the response is already sent."""
        connection, phase = self._connection, self._connection.phase
        if phase is not BODY_PHASE and phase is not DRAIN_PHASE:
            return
        try:
            piece = connection.take_body()
        except ProtocolError as error:
            too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            self._fail_body(ContentTooLarge(None, error.detail) if too_large else IncompleteUpload(error.detail))
            return
        if self._body is not None:
            if piece:
                self._body.feed(piece)
            if connection.phase is COMPLETE_PHASE:
                self._body.finish()
        if connection.eof and connection.phase is BODY_PHASE:
            self._abort_body(IncompleteUpload("the content is incomplete"))

    def _discard_body(self) -> None:
        """Drop the rest of the body as it arrives."""
        if self._body is not None:
            self._body.discard()
            self._body = None
            self._update_transport()

    def _on_body_change(self) -> None:
        """Ask the client for the body if it waits for that, and read on if there is space."""
        if not self._connection.body_wanted and self._connection.phase is BODY_PHASE:
            self._connection.body_wanted = True
            self._writer.write(response_head.CONTINUE)
        self._update_transport()

    def _abort_body(self, error: UploadError) -> None:
        self._connection.abort_body()
        self._fail_body(error)

    def _fail_body(self, error: UploadError) -> None:
        if self._body is not None:
            self._body.fail(error)

    def _reject(self, error: ProtocolError) -> None:
        """Send the last response of this connection."""
        self._writer.write(response_head.error_response(self._registry.status_lines, error))
        self._connection.reject()
        self._update_transport()

    def _update_transport(self) -> None:
        """Read, pause, close the writing half or close, as the connection's state requires."""
        connection, transport = self._connection, self._transport
        idle = connection.phase is HEAD_PHASE and not connection.unread_size
        if (idle and self._reading and not connection.stopping) or transport.is_closing():
            return
        if connection.phase is CLOSED_PHASE or (idle and connection.stopping):
            transport.close()
            return
        if connection.phase is LINGER_PHASE and self._writer.can_write_eof:
            transport.write_eof()
        reading = idle or self._wants_data()
        if reading != self._reading and not connection.eof:
            self._reading = reading
            if reading:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _wants_data(self) -> bool:
        connection = self._connection
        match connection.phase:
            case Phase.BODY if self._body is not None:
                held = self._body.buffered_size
                return held < PAUSE_SIZE if self._reading else held <= RESUME_SIZE
            case Phase.COMPLETE:
                return connection.unread_size < PIPELINE_SIZE
            case Phase.HEAD if self._writer.paused:
                return connection.unread_size < PIPELINE_SIZE
            case _:
                return True
