"""Docstore: a store of documents over plain HTTP, on any engine."""
