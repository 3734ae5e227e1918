"""file: a folder that people can `ls` and `cat`, with one plain file per document that holds exactly its content.

    FOLDER/<names of the key>         content; filenames.py explains the spelling of keys
    FOLDER/.docstore/format           one line: version of this layout, scheme of the names
                    /meta/<SHA-256>   the sidecar of one key: its metadata, one or two entries (metadata.py)
                    /expiring/        one empty file for each document that expires: the markers that `sweep` reads
                    /tmp/             uploads in progress; opening the folder alone removes leftovers
                    /locks/, lock     flock(2): one writer per key; the processes that have the folder open

A sidecar entry belongs to the content with its size and modification time, which survive a copy or a restore, where an
inode does not; an edit that keeps both is not noticed. A write goes to the disk in this order, each step fsynced before
the next:

    1. the expiry marker: a sweep removes a marker without a document, but never finds a document without a marker
    2. the complete content and the sidecar, to tmp/: an incomplete file never has the name of a complete one
    3. the rename of the sidecar, with entries for the old and the new content: after a crash it matches either of them
    4. the rename of the content to its place: the commit
Writes that arrive together take each step together, so that one fsync of a folder is enough for all that renamed a file
into it; each expiry marker has its own. A delete unlinks the content, fsyncs its folder, then unlinks the sidecar: a
sidecar alone means nothing.

Files that people put there are documents: the type is guessed from the name, the digest computed. A reader never
writes. Names that spell no key, files whose name begins with `.`, links, sockets, pipes and devices are not documents.

The documents that were read last are in memory (file_cache.py). There is no index of names and no quota, because
people change the folder while it is served: every page of a listing scans the whole of each folder that it reaches,
half a second for 100,000 names. Windows was rejected: it has no openat(2) and can't replace a file that is open.
"""

from typing import Final

from docstore.engines.file.engine import File
from docstore.engines.file.metadata import NAME
from docstore.engines.file.opening import open_file, open_file_read_only
from docstore.engines.file.verify import check_file
from docstore.engines.registry import EngineKind, Processes

__all__ = ["FILE", "File", "open_file"]

FILE: Final = EngineKind(
    open=open_file,
    open_read_only=open_file_read_only,
    check=check_file,
    summary="a folder of plain files, which a person can read and put files into",
    example="file:documents",
    survives="kill -9 and power loss",
    processes=Processes.MANY,
    streams=True,
    on_disk=True,
    own_folder=NAME,
)
