"""The Python library: a collection as a mapping, over HTTP or on an engine in this process, for threads or asyncio.

It uses the server's public API only. Begin with `operations.py`.
"""
