"""Every way to send a request with an HTTP client, and every way to read its response.

A sender sends a JSON body and returns all bytes of the response's body that the application gets, decompressed.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

Body = Mapping[str, Any]
Sender = Callable[[str, Body], bytes]


def _httpx_whole(library: Any) -> Sender:
    def send(url: str, body: Body) -> bytes:
        with library.Client() as client:
            content: bytes = client.post(url, json=body).content
            return content

    return send


def _httpx_streamed(library: Any, *, raw: bool = False) -> Sender:
    def send(url: str, body: Body) -> bytes:
        with library.Client() as client, client.stream("POST", url, json=body) as response:
            return b"".join(response.iter_raw() if raw else response.iter_bytes())

    return send


def _httpx_async(library: Any) -> Sender:
    async def send(url: str, body: Body) -> bytes:
        async with library.AsyncClient() as client:
            content: bytes = (await client.post(url, json=body)).content
            return content

    return lambda url, body: asyncio.run(send(url, body))


def _httpx_async_streamed(library: Any) -> Sender:
    async def send(url: str, body: Body) -> bytes:
        async with library.AsyncClient() as client, client.stream("POST", url, json=body) as response:
            return b"".join([chunk async for chunk in response.aiter_bytes()])

    return lambda url, body: asyncio.run(send(url, body))


def _requests(read: Callable[[requests.Response], bytes], *, stream: bool = True) -> Sender:
    def send(url: str, body: Body) -> bytes:
        with requests.Session() as session, session.post(url, json=body, stream=stream) as response:
            return read(response)

    return send


def _urllib3(read: Callable[[Any], bytes], **options: Any) -> Sender:
    def send(url: str, body: Body) -> bytes:
        with urllib3.PoolManager() as pool:
            headers = {"content-type": "application/json", "accept-encoding": "gzip, br, zstd"}
            return read(pool.request("POST", url, body=json.dumps(body), headers=headers, **options))

    return send


def _aiohttp(read: Callable[[aiohttp.ClientResponse], Any], **options: Any) -> Sender:
    async def send(url: str, body: Body) -> bytes:
        async with aiohttp.ClientSession(**options) as session, session.post(url, json=body) as response:
            data: bytes = await read(response)
            return data

    return lambda url, body: asyncio.run(send(url, body))


async def _lines(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([line async for line in response.content])


async def _chunks(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([data async for data, _ in response.content.iter_chunks()])


async def _pieces(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([data async for data in response.content.iter_chunked(7)])


SENDERS: dict[str, Sender] = {
    "httpx": _httpx_whole(httpx),
    "httpx streamed": _httpx_streamed(httpx),
    "httpx async": _httpx_async(httpx),
    "httpx async streamed": _httpx_async_streamed(httpx),
    "httpx2": _httpx_whole(httpx2),
    "httpx2 streamed": _httpx_streamed(httpx2),
    "httpx2 async": _httpx_async(httpx2),
    "httpx2 async streamed": _httpx_async_streamed(httpx2),
    "requests": _requests(lambda response: response.content, stream=False),
    "requests streamed": _requests(lambda response: b"".join(response.iter_content(None))),
    "requests in pieces": _requests(lambda response: b"".join(response.iter_content(7))),
    "requests content": _requests(lambda response: response.content),
    "urllib3": _urllib3(lambda response: response.data),
    "urllib3 streamed": _urllib3(
        lambda response: b"".join(response.stream(decode_content=True)), preload_content=False
    ),
    "urllib3 in pieces": _urllib3(
        lambda response: b"".join(response.stream(5, decode_content=True)), preload_content=False
    ),
    "urllib3 read": _urllib3(lambda response: response.read(), preload_content=False),
    "urllib3 read in pieces": _urllib3(
        lambda response: b"".join(iter(lambda: response.read(9), b"")), preload_content=False
    ),
    "urllib3 read1": _urllib3(lambda response: b"".join(iter(response.read1, b"")), preload_content=False),
    "urllib3 data": _urllib3(lambda response: response.data, preload_content=False),
    "aiohttp": _aiohttp(lambda response: response.read()),
    "aiohttp lines": _aiohttp(_lines),
    "aiohttp chunks": _aiohttp(_chunks),
    "aiohttp in pieces": _aiohttp(_pieces),
    "aiohttp content": _aiohttp(lambda response: response.content.read()),
}

CLIENTS = ("httpx", "httpx async", "httpx2", "httpx2 async", "requests", "urllib3", "aiohttp")
"""One sender of each client."""

STREAMS = ("httpx streamed", "httpx async streamed", "httpx2 streamed", "requests streamed", "urllib3 streamed")


def led_to_local(patch: pytest.MonkeyPatch) -> None:
    """Let every host name be this machine, so that a provider's address reaches the local server."""
    real = socket.getaddrinfo

    def local(_host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1", *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", local)
