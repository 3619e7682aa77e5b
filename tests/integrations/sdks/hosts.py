"""Clients for providers at their real addresses, whose requests are led to the local server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx2


class ToLocal(httpx2.HTTPTransport):
    """Sends every request to the local server, whatever host it is for."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = urlsplit(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self._to.hostname, port=self._to.port)
        return super().handle_request(request)


class ToLocalAsync(httpx2.AsyncHTTPTransport):
    """`ToLocal` for asynchronous clients."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = urlsplit(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self._to.hostname, port=self._to.port)
        return await super().handle_async_request(request)


def led(url: str, **options: Any) -> httpx2.Client:
    """An HTTP client whose requests all go to `url`."""
    return httpx2.Client(transport=ToLocal(url), **options)


def led_async(url: str) -> httpx2.AsyncClient:
    """`led` for asynchronous clients."""
    return httpx2.AsyncClient(transport=ToLocalAsync(url))
