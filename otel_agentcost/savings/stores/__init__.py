"""Stores of cached answers and results: one module for each kind, and the function that opens one by its URL.

The protocol and its values are defined in `core.cache_store`. A module of this folder whose name has no leading
underscore is the store of the URL scheme of that name; it has a function `open_store(url, *, timeout, most_bytes)`.
"""
