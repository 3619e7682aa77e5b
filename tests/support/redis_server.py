"""Real Redis servers for tests: on a free port, in a folder of their own, gone at the end."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any


def binary() -> str | None:
    """Redis or Valkey, whichever is installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class Server:
    """A server that is started and stopped, also more than once, on the same port."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self._program = program
        self._folder = folder
        self._options = options
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Any:
        import redis  # here, because every test imports this module and not every environment has Redis

        return redis.Redis(port=self.port)

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([*command, *self._options], cwd=self._folder, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + 10
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", self.port)) != 0:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self._program} does not answer")
                time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def empty(self) -> None:
        self.client.flushall()


def _free_port() -> int:
    """A port that is free, and so is the one ten thousand above it, on which nodes of a cluster talk."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            return port
