"""The Ollama protocol in front of the llama server: ollama-proxy-plus like `ollama-proxy serve` (`ollama_proxy.server:app`
under uvicorn), but on a socket bound here, so that no other process can take the port.

Usage: serve_proxy.py PORT     (PORT 0: any free one; the environment names the upstream)
"""

import lifeline  # first: it redirects standard output

import socket
import sys

lifeline.hold()

import uvicorn  # noqa: E402


class Announced(uvicorn.Server):
    """Reports its port once it accepts requests."""

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        lifeline.announce(sockets[0].getsockname()[1])


listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
Announced(uvicorn.Config("ollama_proxy.server:app")).run(sockets=[listener])
