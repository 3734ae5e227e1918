"""A zip, written as a stream in constant memory: content as it is stored, sizes in 64 bits where needed.

The CRC follows each content, in a data descriptor, because it is known only then. The central directory is collected in
a temporary file. The zipfile module and the libraries that stream with it keep an object for each member until the end,
which takes gigabytes for some millions of documents. Compression was rejected: it takes most of a second for 30 MB, in
which the server answers nobody else.
"""

import time
import zlib
from collections.abc import Iterator
from struct import pack
from tempfile import SpooledTemporaryFile
from typing import Final

from docstore.content import CHUNK_SIZE
from docstore.model import Meta

ZIP64_SIZE: Final = 0xFFFF_FFFF
"""A size or offset from here on needs ZIP64."""
ZIP64_COUNT: Final = 0xFFFF
"""A number of members from here on needs ZIP64."""
_ELSEWHERE: Final = 0xFFFF_FFFF
"""The value of a number that is in a ZIP64 record instead."""
_FLAGS: Final = 0x0808
"""A data descriptor follows the content; names are UTF-8."""
_REGULAR_FILE: Final = 0o100644 << 16
_MADE_ON_UNIX: Final = 3 << 8
_DIRECTORY_IN_MEMORY: Final = 1024 * 1024
_FIRST_DOS_S: Final = 315_532_800
"""1980-01-01, the first time of a zip."""
_LAST_DOS_S: Final = 4_354_819_198
"""2107-12-31, the last one."""


class ZipMembers:
    """Members of a zip; times are UTC. See APPNOTE.TXT 6.3.10 for the records."""

    def __init__(self) -> None:
        self._directory = SpooledTemporaryFile(_DIRECTORY_IN_MEMORY)  # noqa: SIM115 - close() closes it
        self._count = 0
        self._offset = 0
        self._start = 0
        self._name = b""
        self._size = self._crc = self._modified_s = 0

    def begin(self, meta: Meta, name: str) -> bytes:
        self._name, self._size, self._crc, self._start = name.encode("utf-8"), meta.size, 0, self._offset
        self._modified_s = meta.modified_ns // 1_000_000_000
        extra = self._time()
        large = self._size >= ZIP64_SIZE
        if large:
            extra = pack("<HHQQ", 1, 16, 0, 0) + extra
        size = _ELSEWHERE if large else 0
        header = pack("<4s2H", b"PK\3\4", _version(large), _FLAGS) + self._fields(0, size, size, len(extra))
        header += self._name + extra
        self._offset += len(header)
        return header

    def add(self, chunk: bytes) -> None:
        self._crc = zlib.crc32(chunk, self._crc)
        self._offset += len(chunk)

    def finish(self) -> bytes:
        large = self._size >= ZIP64_SIZE
        descriptor = pack("<4sLQQ" if large else "<4sLLL", b"PK\7\10", self._crc, self._size, self._size)
        self._offset += len(descriptor)
        far = self._start >= ZIP64_SIZE
        numbers = ([self._size, self._size] if large else []) + ([self._start] if far else [])
        extra = self._time()
        if numbers:
            extra = pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers) + extra
        size = _ELSEWHERE if large else self._size
        version = _version(large or far)
        record = pack("<4s3H", b"PK\1\2", _MADE_ON_UNIX | version, version, _FLAGS)
        record += self._fields(self._crc, size, size, len(extra))
        record += pack("<3H2L", 0, 0, 0, _REGULAR_FILE, _ELSEWHERE if far else self._start)
        self._directory.write(record + self._name + extra)
        self._count += 1
        return descriptor

    def end(self) -> Iterator[bytes]:
        size = self._directory.tell()
        self._directory.seek(0)
        while chunk := self._directory.read(CHUNK_SIZE):
            yield chunk
        count, start = self._count, self._offset
        short_count, short_size, short_start = count, size, start
        if count >= ZIP64_COUNT or max(size, start) >= ZIP64_SIZE:
            yield pack("<4sQ2H2L4Q", b"PK\6\6", 44, _MADE_ON_UNIX | 45, 45, 0, 0, count, count, size, start)
            yield pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
            short_count, short_size, short_start = 0xFFFF, _ELSEWHERE, _ELSEWHERE
        yield pack("<4s4H2LH", b"PK\5\6", 0, 0, short_count, short_count, short_size, short_start, 0)

    def close(self) -> None:
        self._directory.close()

    def _fields(self, crc: int, compressed_size: int, size: int, extra_size: int) -> bytes:
        """The fields from the compression method to the size of the extra field, as both headers have them."""
        year, month, day, hour, minute, second, *_ = time.gmtime(min(max(self._modified_s, _FIRST_DOS_S), _LAST_DOS_S))
        clock, date = hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
        return pack("<3H3L2H", 0, clock, date, crc, compressed_size, size, len(self._name), extra_size)

    def _time(self) -> bytes:
        """The extended timestamp, which is exact and UTC: the other time is local for most programs."""
        return pack("<HHBl", 0x5455, 5, 1, min(max(self._modified_s, 0), 0x7FFF_FFFF))


def _version(zip64: bool) -> int:
    """The version of the format that is needed to extract."""
    return 45 if zip64 else 20
