"""The program in README.md recovers from a server that is down."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

README = Path(__file__).resolve().parents[3] / "README.md"
PORT = "127.0.0.1:11434"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{\"models\":[]}"


def run(port: int) -> str:
    """What the program prints, with a server's port in place of Ollama's."""
    found = re.search(r"^## Python$.*?```python\n(.*?)```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    program = found[1]
    assert program.count(PORT) == 1
    command = [sys.executable, "-c", program.replace(PORT, f"127.0.0.1:{port}")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_the_program_in_readme_serves_its_fallback_while_the_server_is_down() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        # Nobody listens there.
        assert run(bound.getsockname()[1]) == "no server"


def test_the_program_in_readme_gets_the_answer_of_a_server_that_drops_its_first_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for number in range(3):
                connection, _ = server.accept()
                with connection:
                    if number == 2:
                        connection.recv(1 << 16)
                        connection.sendall(ANSWER)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert run(server.getsockname()[1]) == '{"models":[]}'
        thread.join(timeout=60)
        assert not thread.is_alive()
