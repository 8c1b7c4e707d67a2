"""A server that fails on demand: `python faulty.py PORT`. The request's path says how."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
SETTLE = 0.2  # seconds until the first half is on its way to the client


def answer(link: socket.socket, path: str) -> bool:
    """False where the connection is of no use any more."""
    if path == "/hang":
        time.sleep(30)
    elif path == "/dies-before-headers":
        os.kill(os.getpid(), signal.SIGKILL)
    elif path == "/dies-within-body":
        link.sendall(HALF)
        time.sleep(SETTLE)
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        status = path.removeprefix("/")
        link.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        return True
    return False


def serve(link: socket.socket) -> None:
    buffer = b""
    with link:
        while True:
            while b"\r\n\r\n" not in buffer:
                part = link.recv(65536)
                if not part:
                    return
                buffer += part
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            if not answer(link, head.split(b" ")[1].decode()):
                return


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=serve, args=(accepted,), daemon=True).start()
