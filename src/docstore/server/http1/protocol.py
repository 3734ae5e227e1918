"""The transport part of the wire: does what `connection` decides, with the transport, the handler and the clock.

Its calls come from the event loop; what a request needs runs in `_answer`, in a Task only when it waits. All that
depends on a connection's state is settled in one place, `_settle`, after anything has happened.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, cast

from docstore.content import BytesContent, Upload
from docstore.errors import IncompleteUpload, UploadError, UploadTooSlow
from docstore.http.message import InvalidResponse, Request, Response, ResponseContent, StreamedContent
from docstore.server.http1 import response_head
from docstore.server.http1.connection import BODY, DRAIN, ENDED, HEAD, LINGER, OVER, Connection, Phase
from docstore.server.http1.errors import ProtocolError
from docstore.server.http1.fields import CHUNKED
from docstore.server.http1.registry import Admission, Application
from docstore.server.http1.request_body import HIGH_SIZE, LOW_SIZE, Body
from docstore.server.http1.response_writer import Outlet, send
from docstore.server.http1.timeouts import Patience, Wait, awaited

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

log: Final = logging.getLogger("docstore")

TURN: Final = range(32)
"""The requests of one connection that are answered before others have their turn."""
AHEAD_SIZE: Final = 64 * 1024
"""Bytes sent ahead of the present request's answer; with more, reading pauses."""


class Protocol(asyncio.Protocol):
    """One connection. uvicorn makes it, and calls `shutdown` when the server stops."""

    __slots__ = ("_address", "_body", "_connection", "_house", "_outlet", "_patience", "_reading", "_state",
                 "_transport")  # fmt: skip

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        loop = _loop or asyncio.get_running_loop()
        self._house = cast(Application, config.loaded_app).house(loop, server_state)
        self._state = server_state
        self._connection = Connection(self._house.limits)
        self._patience = Patience()
        self._body: Body | None = None
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._outlet = Outlet(self._transport, self._house.loop)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        self._state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes only
        match self._house.admit(self, self._address):
            case Admission.FULL:
                self._refuse(ProtocolError(503))
            case Admission.CROWDED:
                self._transport.abort()
            case Admission.WELCOME:
                self._connection.stopping = self._house.stopping

    def connection_lost(self, exc: Exception | None) -> None:
        self._house.leave(self, self._address)
        self._state.connections.discard(self)
        self._connection.phase = OVER
        self._outlet.lose()
        self._fail_body(IncompleteUpload("the client went away"))

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        connection.receive(data)
        # What belongs to a body is handed on at once: a segment may be large, and more come in the same turn.
        if connection.phase is HEAD and connection.waiting_size <= AHEAD_SIZE:
            self._house.soon(self)
        else:
            self.advance()

    def eof_received(self) -> bool:
        """The client sends nothing more; what it has sent is answered still, where the transport lets us (not TLS)."""
        self._connection.end()
        self.advance()
        return self._outlet.can_end

    def pause_writing(self) -> None:
        self._outlet.pause()

    def resume_writing(self) -> None:
        self._outlet.resume()
        # Not at once: this may have been called from inside a write.
        if self._connection.phase is HEAD and (self._connection.waiting_size or self._connection.ended):
            self._house.loop.call_soon(self.advance)

    def shutdown(self) -> None:
        """uvicorn's word for a graceful stop: what has begun is finished, nothing else begins."""
        self._house.stopping = self._connection.stopping = True
        self._settle()

    def check(self, now_s: float) -> None:
        """Called at every sweep of the house."""
        outlet, connection = self._outlet, self._connection
        wait, moved = (Wait.READER, outlet.sent) if outlet.unsent else awaited(connection, reading=self._reading)
        if not self._patience.is_over(wait, connection.requests, moved, now_s, self._house.limits):
            return
        match wait:
            case Wait.HEAD:
                self._refuse(ProtocolError(408))
            case Wait.BODY:
                self._break_off(UploadTooSlow(f"fewer than {self._house.limits.lowest_rate} bytes a second"))
            case Wait.FIRST | Wait.NEXT:
                self._transport.close()
            case _:
                self._transport.abort()

    def advance(self) -> None:
        """Does all that can be done with what has come."""
        connection = self._connection
        for _ in TURN:
            if connection.phase is not HEAD:
                self._move_body()
            if connection.phase is not HEAD or self._outlet.paused:
                break
            try:
                request = connection.take_request()
                if request is None:
                    if connection.ended:
                        self._end_of_requests()
                    break
                self._begin(request)
            except ProtocolError as refused:
                self._refuse(refused)
                break
        else:
            self._house.loop.call_soon(self.advance)
        self._settle()

    def _end_of_requests(self) -> None:
        """No whole head is there, and none will be. Raises ProtocolError."""
        partial = self._connection.waiting_size > 0
        self._connection.refuse()
        if partial:
            raise ProtocolError(400, "the head ends early")

    def _begin(self, request: Request) -> None:
        """Runs a request, to its end or to its first wait. Raises ProtocolError when its body is none."""
        if self._connection.phase is not ENDED:
            request.body = self._upload()
        self._state.total_requests += 1
        task = self._house.runner.run(self._answer(request))
        if task is not None:
            task.add_done_callback(self._answered)

    def _upload(self) -> Upload:
        """The request's body: in memory when all of it is there, which spares a PUT its first wait."""
        connection = self._connection
        piece = connection.take_body() if connection.waiting_size else b""
        if connection.phase is ENDED:
            return BytesContent(piece)
        length = connection.section.length
        self._body = Body(None if length == CHUNKED else length, self._body_changed)
        if piece:
            self._body.feed(piece)
        return self._body

    async def _answer(self, request: Request) -> None:
        """Gets the answer and sends it, whole or, when that fails, in a way that can't be taken for whole."""
        try:
            response = await self._house.handle(request)
        except UploadError:
            self._transport.abort()
            return
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = response_head.fault()
        if self._outlet.lost:
            return
        content = self._send_start(response, request)
        if content is not None:
            if not isinstance(content, StreamedContent):
                self._leave_body()  # nobody asks for it any more, and its client may read when it has sent all of it
            try:
                await send(self._outlet, content, chunked=self._connection.section.minor >= 1)
            except Exception as error:
                # A client that goes away is not the server's trouble.
                if not self._outlet.lost and not isinstance(error, ConnectionError):
                    log.error("%s %s: its answer broke off: %s", request.method, request.path, error)
                self._transport.abort()
                return
        self._connection.answered()
        if self._body is not None:
            self._leave_body()

    def _send_start(self, response: Response, request: Request) -> ResponseContent | None:
        """Sends the head of an answer, with content that is small and in memory; what is left to send."""
        openings, connection = self._house.openings, self._connection
        try:
            start, content = response_head.start(openings, response, request, connection)
        except InvalidResponse:
            log.exception("the answer to %s %s can't be sent", request.method, request.path)
            start, content = response_head.start(openings, response_head.fault(), request, connection)
        self._outlet.write(start)
        return content

    def _answered(self, task: "asyncio.Task[None]") -> None:
        """A request that had to wait is over."""
        if task.cancelled() or task.exception() is not None:
            self._transport.abort()
        elif not self._outlet.lost:
            self.advance()

    def _move_body(self) -> None:
        """Hands on what has come of the body, or drops it when the answer is out already."""
        phase = self._connection.phase
        if phase is not BODY and phase is not DRAIN:
            return
        try:
            piece = self._connection.take_body()
        except ProtocolError as refused:
            self._fail_body(IncompleteUpload(refused.detail))
            return
        if self._body is not None:
            if piece:
                self._body.feed(piece)
            if self._connection.phase is ENDED:
                self._body.finish()
        if self._connection.ended and self._connection.phase is BODY:
            self._break_off(IncompleteUpload("the content ends early"))

    def _leave_body(self) -> None:
        """What is left of the body is dropped as it comes."""
        if self._body is not None:
            self._body.abandon()
            self._body = None
            self._settle()

    def _body_changed(self) -> None:
        """The body is asked for, or enough of it was taken."""
        if not self._connection.continued and self._connection.phase is BODY:
            self._connection.continued = True
            self._outlet.write(response_head.CONTINUE)
        self._settle()

    def _break_off(self, error: UploadError) -> None:
        self._connection.break_off()
        self._fail_body(error)

    def _fail_body(self, error: UploadError) -> None:
        if self._body is not None:
            self._body.fail(error)

    def _refuse(self, refused: ProtocolError) -> None:
        """The last answer of this connection."""
        self._outlet.write(response_head.refusal(self._house.openings, refused))
        self._connection.refuse()
        self._settle()

    def _settle(self) -> None:
        """Brings the transport in line with the state: reads or pauses, ends its half, or closes."""
        connection, transport = self._connection, self._transport
        idle = connection.phase is HEAD and not connection.waiting_size
        if (idle and self._reading and not connection.stopping) or transport.is_closing():
            return
        if connection.phase is OVER or (idle and connection.stopping):
            transport.close()
            return
        if connection.phase is LINGER and self._outlet.can_end:
            transport.write_eof()
        wanted = idle or self._wants_more()
        if wanted != self._reading and not connection.ended:
            self._reading = wanted
            if wanted:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _wants_more(self) -> bool:
        connection = self._connection
        match connection.phase:
            case Phase.BODY if self._body is not None:
                return self._body.held < HIGH_SIZE if self._reading else self._body.held <= LOW_SIZE
            case Phase.ENDED:
                return connection.waiting_size < AHEAD_SIZE
            case Phase.HEAD if self._outlet.paused:
                return connection.waiting_size < AHEAD_SIZE
            case _:
                return True
