"""file: a folder that a person can `ls` and `cat`. One plain file a document, its bytes exactly the content.

    FOLDER/<names of the key>         content; filenames.py says how keys are spelled
    FOLDER/.docstore/format           one line: version of this layout, scheme of the names
                    /meta/<SHA-256>   what is known of one key's content, one or two records (records.py)
                    /expiring/        one empty file for each document with an expiry: what `sweep` looks at
                    /tmp/             files on their way; what a crash leaves is removed by the next lone opener
                    /locks/, lock     flock(2): one writer a key; who has the folder open

No key is ever spelled with a leading `.`, so nothing in .docstore is a document. A record is tied to its content by
the file's size and modification time, which survive a copy or a restore, where an inode does not; an edit by hand that
keeps both goes unseen.

A write goes to the disk in this order, each step fsynced before the next:

    1. all of the content, to tmp/: it never stands half in its place
    2. the marker of its expiry: a marker without a document is dropped when due, the reverse would never be swept
    3. the sidecar, with the record of the old content and that of the new: whichever stands after a crash finds its own
    4. the rename of the content to its place: the commit
A delete unlinks the content, fsyncs its folder, then unlinks the sidecar: a sidecar alone is nothing. A folder found
standing is taken to be durable: whoever made it fsyncs its parent, and journals keep the order.

Files put there by hand are documents: their type is guessed from the name, their digest computed. A reader never
writes. A person who edits in place changes a file that may be being sent; replace it by `mv` instead. Hand-made names
that no key is spelled as, files whose name begins with `.`, links, sockets, pipes and devices are not documents.

Windows was rejected: it has no openat(2), and does not replace a file that somebody reads. There the module loads, and
opening is refused in one line. An index of names was rejected too: a person changes the folder behind its back.
"""

from docstore.engines.file.engine import File
from docstore.engines.file.opening import open_file

__all__ = ["File", "open_file"]
