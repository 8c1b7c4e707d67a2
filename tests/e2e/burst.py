"""Requests that arrive at the same moment: each connection is open and lacks its last byte, then all get it."""

from __future__ import annotations

import asyncio
import json
import ssl

from coalmine.settings import Settings

_BODY = json.dumps({"text": "a fine day"}).encode()
_HEAD = (
    "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(_BODY)}\r\nConnection: close\r\n\r\n"
).encode()


def burst(settings: Settings, size: int) -> list[int]:
    """Send `size` predictions at once over connections of their own; the statuses, 0 where none came."""
    return asyncio.run(_burst(settings, size))


async def _burst(settings: Settings, size: int) -> list[int]:
    trust = ssl.create_default_context(cafile=str(settings.tls / "ca.pem"))
    opening = [_open(settings.ports.https, trust) for _ in range(size)]
    ready = [pair for pair in await asyncio.gather(*opening, return_exceptions=True) if isinstance(pair, tuple)]
    for _, writer in ready:
        writer.write(_BODY[-1:])
    return await asyncio.gather(*(_status(*pair) for pair in ready))


async def _open(port: int, trust: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
    writer.write(_HEAD + _BODY[:-1])
    await writer.drain()
    return reader, writer


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    try:
        line = await asyncio.wait_for(reader.readline(), timeout=15)
        return int(line.split()[1]) if line else 0
    except (OSError, TimeoutError):
        return 0
    finally:
        writer.transport.abort()
