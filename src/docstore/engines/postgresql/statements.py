"""Every SQL statement on the tables of one prefix, and rows as documents.

A write is one statement: it locks the row, checks the expectation, writes, and returns the state that it found. Each
common table expression reads what the one before it found, so the check follows the lock. A statement that finds a row
created or removed at the same moment does nothing and is run again (`done` is false, and the expectation holds).

An expired row is absent, and the next write replaces it. The time is the engine's, not the database's; only the time
until which an orphan is kept is the database's, because all processes share it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import asyncpg

from docstore.content import BytesContent, Content
from docstore.engines.contract import PutRequest
from docstore.engines.shared.columns import end_of
from docstore.errors import CorruptData
from docstore.model import ABSENT, ANY, Document, Expectation, Fields, Meta

AFTER_ALL_KEYS: Final = "\U0010ffff" * 257
"""Longer than a key can be, and later than all."""

ANYTHING: Final = "*"
NOTHING: Final = ""
"""How expectations are written in a statement; a version is never one of these."""

KEEP_S: Final = 60
"""Seconds for which a content is kept after its last document, reader or upload was seen."""

# PERF: most documents have the same few fields.
_unpack_fields: Final[Callable[[str], Fields]] = lru_cache(1024)(Fields.unpack)


def expected(expect: Expectation) -> str:
    return ANYTHING if expect is ANY else NOTHING if expect is ABSENT else str(expect)


def row_meta(row: asyncpg.Record, key: str) -> Meta:
    """Raise CorruptData for unreadable fields."""
    try:
        return Meta(key, row[1], row[2], row[3], _unpack_fields(row[4]), row[5], row[6])
    except CorruptData as error:
        raise CorruptData(f"{key!r}: {error}") from error


def document_of(row: asyncpg.Record, large: Callable[[asyncpg.Record], Content]) -> Document:
    """The document in a row of `Statements.read`; `large` opens content that is not in it. Raise CorruptData."""
    meta, data = row_meta(row, row[0]), row[-1]
    if row["content"] is not None:
        return Document(meta, large(row))
    if data is None or len(data) != meta.size:
        raise CorruptData(f"the content of {meta.key!r} does not have {meta.size} bytes")
    return Document(meta, BytesContent(data))


def list_arguments(prefix: str, after: str, now_ns: int, limit: int) -> tuple[Any, ...]:
    return max(prefix, after), end_of(prefix) or AFTER_ALL_KEYS, after, now_ns, limit


def put_arguments(request: PutRequest, meta: Meta, now_ns: int) -> tuple[Any, ...]:
    """The first arguments of `put` and `put_large`; both add the content."""
    packed = meta.fields.pack()
    state = (meta.key, meta.version, meta.size, meta.digest, packed, meta.modified_ns, meta.expires_ns)
    return (*state, expected(request.expect), now_ns)


_COLUMNS: Final = {
    "meta": "version, size, digest, fields, modified_ns, expires_ns",
    "values": "$2::text, $3::bigint, $4::bytea, $5::text, $6::bigint, $7::bigint, $10::uuid, $11::bytea",
    "later": f"now() + interval '{KEEP_S} seconds'",
    "not_durable": "(SELECT set_config('synchronous_commit', 'off', true)) AS setting",
}
"""What templates refer to, beside the tables {d}ocuments, {c}hunks and {o}rphans."""

_FOUND: Final = """
    WITH found AS (SELECT {meta}, content FROM {d} WHERE key = $1 FOR UPDATE)"""
_CURRENT: Final = "coalesce((SELECT version FROM found WHERE expires_ns IS NULL OR expires_ns > %s), '')"
_PUT: Final = """,
    allowed AS (SELECT 1 WHERE ($8::text = '*' OR $8::text = %s) %s),
    updated AS (
        UPDATE {d} SET ({meta}, content, data) = ({values})
        WHERE key = $1 AND EXISTS (SELECT 1 FROM allowed) RETURNING 1),
    inserted AS (
        INSERT INTO {d} (key, {meta}, content, data) SELECT $1, {values}
        WHERE EXISTS (SELECT 1 FROM allowed) AND NOT EXISTS (SELECT 1 FROM found)
        ON CONFLICT (key) DO NOTHING RETURNING 1),
    done AS (SELECT 1 FROM updated UNION ALL SELECT 1 FROM inserted)"""
_NEEDED: Final = """,
    needed AS (SELECT 1 FROM {o} WHERE content = $10 AND keep_until > now() FOR UPDATE)"""
_COMPLETE: Final = """
    AND EXISTS (SELECT 1 FROM needed) AND (SELECT count(*) FROM {c} WHERE content = $10) = $12::bigint"""
_USED: Final = """,
    used AS (DELETE FROM {o} WHERE content = $10 AND EXISTS (SELECT 1 FROM done))"""
_DELETE: Final = """,
    done AS (
        DELETE FROM {d} WHERE key = $1 AND EXISTS (SELECT 1 FROM found)
        AND ($2::text = '*' OR $2::text = %s) RETURNING 1)"""
_RETIRED: Final = """,
    retired AS (
        INSERT INTO {o} (content, keep_until)
        SELECT content, {later} FROM found WHERE content IS NOT NULL AND EXISTS (SELECT 1 FROM done))"""
_OUTCOME: Final = """
    SELECT EXISTS (SELECT 1 FROM done) AS done, {meta} FROM (SELECT 1) AS one LEFT JOIN found ON true"""
_SWEEP: Final = """
    WITH expired AS (SELECT least($1::bigint, (extract(epoch FROM now()) * 1000000000)::bigint) AS until_ns),
    found AS (
        DELETE FROM {d} WHERE expires_ns <= (SELECT until_ns FROM expired) AND key IN (
            SELECT key FROM {d} WHERE expires_ns <= (SELECT until_ns FROM expired)
            ORDER BY expires_ns LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING content),
    done AS (SELECT 1 FROM found)"""
_COUNT_DONE: Final = " SELECT count(*) FROM done"


class Statements:
    """The statements. In rows of documents the columns of a Meta follow the first."""

    def __init__(self, prefix: str) -> None:
        """`prefix` is checked: it becomes part of the statements."""
        names = {table[0]: f"{prefix}_{table}" for table in ("documents", "chunks", "orphans")}

        def sql(template: str) -> str:
            return template.format(**names, **_COLUMNS)

        current = _CURRENT % "$9"
        self.put: Final = sql(_FOUND + _PUT % (current, "") + _RETIRED + _OUTCOME)
        """Write small content."""
        self.put_large: Final = sql(_FOUND + _NEEDED + _PUT % (current, _COMPLETE) + _USED + _RETIRED + _OUTCOME)
        """Write content in chunks, if all of them are there: those of an upload are not durable before this commit."""
        self.delete: Final = sql(_FOUND + _DELETE % (_CURRENT % "$3") + _RETIRED + _OUTCOME)
        self.read: Final = sql("""
            SELECT key, {meta}, content, CASE WHEN key = ANY ($2::text[]) THEN data END AS data
            FROM {d} WHERE key = ANY ($1::text[])""")
        """Documents of several keys, those in the second list with small content."""
        self.list: Final = sql("""
            SELECT key, {meta} FROM {d} WHERE key >= $1 AND key < $2 AND key <> $3
            AND (expires_ns IS NULL OR expires_ns > $4) ORDER BY key LIMIT $5""")
        self.count: Final = sql("""
            SELECT count(*), coalesce(sum(size), 0)::bigint FROM {d} WHERE expires_ns IS NULL OR expires_ns > $1""")
        self.sweep: Final = sql(_SWEEP + _RETIRED + _COUNT_DONE)
        self.probe: Final = sql("SELECT 1 FROM {d} LIMIT 1")

        self.new_content: Final = sql("INSERT INTO {o} (content, keep_until) SELECT $1, {later} FROM {not_durable}")
        self.new_chunk: Final = sql("""
            INSERT INTO {c} (content, number, data) SELECT $1::uuid, $2::integer, $3::bytea FROM {not_durable},
            (SELECT 1 FROM {o} WHERE content = $1 AND keep_until > now() FOR SHARE) AS needed RETURNING 1""")
        """Add a chunk, unless the content was removed meanwhile."""
        self.read_chunk: Final = sql("SELECT substr(data, $3, $4) FROM {c} WHERE content = $1 AND number = $2")
        self.is_used: Final = sql("SELECT 1 FROM {d} WHERE content = $1")
        self.keep: Final = sql("""
            UPDATE {o} SET keep_until = {later} WHERE content = ANY ($1::uuid[]) AND keep_until > now()""")
        self.keep_all: Final = sql("UPDATE {o} SET keep_until = {later} WHERE keep_until > now()")
        self.condemn: Final = sql("""
            UPDATE {o} SET keep_until = '1970-01-01T00:00:00Z' WHERE content IN (
                SELECT content FROM {o} WHERE keep_until <= now() ORDER BY keep_until LIMIT $1 FOR UPDATE SKIP LOCKED)
            RETURNING content""")
        """From then on no reader and no upload can have it back, so its chunks may be removed in several steps."""
        self.remove_chunks: Final = sql("""
            DELETE FROM {c} WHERE content = $1 AND number IN (
                SELECT number FROM {c} WHERE content = $1 ORDER BY number LIMIT $2) RETURNING 1""")
        self.remove_orphan: Final = sql("DELETE FROM {o} WHERE content = $1")
