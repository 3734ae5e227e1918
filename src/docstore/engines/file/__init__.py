"""file: a folder that a person can `ls` and `cat`. One plain file a document, its bytes exactly the content.

    FOLDER/<names of the key>         content; filenames.py says how keys are spelled
    FOLDER/.docstore/format           one line: version of this layout, scheme of the names
                    /meta/<SHA-256>   what is known of one key's content, one or two notes (sidecar.py)
                    /expiring/        one empty file for each document with an expiry: what `sweep` looks at
                    /tmp/             files on their way; what a crash leaves is removed by the next lone opener
                    /locks/, lock     flock(2): one writer a key; who has the folder open

No key is ever spelled with a leading `.`, so nothing in .docstore is a document. A note is tied to its content by
the file's size and modification time, which survive a copy or a restore, where an inode does not; an edit by hand that
keeps both goes unseen.

A write goes to the disk in this order, each step fsynced before the next:

    1. all of the content, to tmp/: it never stands half in its place
    2. the marker of its expiry: a marker without a document is dropped when due, the reverse would never be swept
    3. the sidecar, with the note of the old content and that of the new: whichever stands after a crash finds its own
    4. the rename of the content to its place: the commit
A delete unlinks the content, fsyncs its folder, then unlinks the sidecar: a sidecar alone is nothing. The names of the
folders above are fsynced before the first write into them, whoever made them (tree.py).

Files put there by hand are documents: their type is guessed from the name, their digest computed. A reader never
writes. A person who edits in place changes a file that may be being sent; replace it by `mv` instead. Hand-made names
that no key is spelled as, files whose name begins with `.`, links, sockets, pipes and devices are not documents.

A listing leaves out files and folders that the server may not read, and documents whose sidecar is corrupt, with one
warning in the log; to read one of them is an error that names it. Any other failure fails the listing.

There is no index of names, because a person changes the folder behind its back. So every page of a listing scans the
whole of each folder that it comes to, whatever its limit: half a second for 100,000 names in one folder, and then a few
opens for each document that it shows. Files that came by hand are hashed when they are first listed. Large collections
belong into folders of some thousands each, or into sqlite:.

Windows was rejected: it has no openat(2), and does not replace a file that somebody reads. There the module loads, and
opening is refused in one line.
"""

from typing import Final

from docstore.engines.file.engine import File
from docstore.engines.file.opening import open_file
from docstore.engines.file.verify import check_file
from docstore.engines.registry import EngineKind, Processes

__all__ = ["FILE", "File", "open_file"]

FILE: Final = EngineKind(
    open=open_file,
    check=check_file,
    summary="a folder of plain files, which a person can read and put files into",
    example="file:documents",
    survives="kill -9 and power loss",
    processes=Processes.MANY,
    streams=True,
    on_disk=True,
)
