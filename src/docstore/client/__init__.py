"""The Python library: a collection as a mapping, over HTTP or to an engine in this process, plain or asynchronous.

It speaks to a server as any client may. `operations.py` is the place to begin reading; ARCHITECTURE.md tells the rest.
"""
