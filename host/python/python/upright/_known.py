"""The table of known exceptions. It knows classes by name, so that no client is imported for it."""

from __future__ import annotations

import errno
import re
import weakref
from collections.abc import Callable
from typing import NamedTuple

from upright._answers import GENERAL, NOTHING, SPECIFIC, Facts, answer_of, get, text_of

Row = tuple[str, int] | Callable[[BaseException], Facts]
"""Kind and strength, or a reader."""

_ERRNO_NAMES = {
    "permission_denied": "EPERM EACCES EROFS",
    "not_found": "ENOENT",
    "timeout": "EAGAIN ETIMEDOUT",
    "out_of_memory": "ENOMEM",
    "in_use": "EBUSY ETXTBSY",
    "invalid_input": "EINVAL",
    "too_many_open_files": "ENFILE EMFILE",
    "disk_full": "ENOSPC EDQUOT",
    "connection_reset": "EPIPE ENETRESET ECONNABORTED ECONNRESET ENOTCONN ESHUTDOWN",
    "unreachable": "ENETDOWN ENETUNREACH EHOSTDOWN EHOSTUNREACH",
    "connection_refused": "ECONNREFUSED",
    "cancelled": "ECANCELED",
}
ERRNOS: dict[int, str] = {
    getattr(errno, name): kind for kind, names in _ERRNO_NAMES.items() for name in names.split() if hasattr(errno, name)
}
"""Kinds of the operating system's error numbers, by this system's numbering."""

_PROTOCOL_KINDS = (
    ("incomplete", "incomplete_answer"),
    ("complete message body", "incomplete_answer"),
    ("illegal", "invalid_answer"),
    ("malformed", "invalid_answer"),
)
_MCP_CODES = {
    -32700: "invalid_input",
    -32602: "invalid_input",
    -32601: "not_found",
    -32600: "invalid_input",
    -32001: "timeout",
    -32000: "connection_reset",
    408: "timeout",
}


def _status(error: BaseException) -> Facts:
    return answer_of(error) or Facts()


def _vendor(error: BaseException) -> Facts:
    """openai, anthropic: an error event within a stream has no status, or 200."""
    facts = answer_of(error)
    if facts is None:
        facts = Facts("stream_error", SPECIFIC)
        facts.hear(get(error, "body") or get(error, "message"))
    return facts


def _ollama(error: BaseException) -> Facts:
    """ollama: status -1 means an error within a stream, and then nothing tells the address."""
    status = get(error, "status_code")
    facts = Facts("stream_error", SPECIFIC)
    if isinstance(status, int) and 300 <= status <= 599:
        facts.kind = "http_status"
        facts.know("status", status)
    else:
        facts.know("endpoint", "chat")
    facts.hear(get(error, "error"))
    return facts


def _aiohttp_status(error: BaseException) -> Facts:
    """aiohttp: an unreadable answer gets an invented status, and a cause."""
    facts = answer_of(error) if get(error, "__cause__") is None else None
    return facts or Facts("invalid_answer", GENERAL)


def _protocol(error: BaseException) -> Facts:
    """httpx: the peer broke off within or before an answer, or does not speak HTTP."""
    text = text_of(error).lower()
    return Facts(next((kind for phrase, kind in _PROTOCOL_KINDS if phrase in text), "connection_reset"), SPECIFIC)


def _mcp(error: BaseException) -> Facts:
    kind = _MCP_CODES.get(get(get(error, "error"), "code"))
    facts = Facts(kind, SPECIFIC) if kind else Facts()
    facts.know("endpoint", "tool")
    return facts


def _json(error: BaseException) -> Facts:
    """Invalid JSON is the server's if a client's own code was reading it, else the caller's."""
    trace, reader = error.__traceback__, ""
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
        reader = reader if package == "json" else package
        trace = trace.tb_next
    return Facts("invalid_answer" if reader in _CLIENTS else "invalid_input", GENERAL)


def _command(error: BaseException) -> Facts:
    """subprocess: the command's own words, if there are any. Its arguments say nothing about the failure."""
    facts, said = Facts(), get(error, "stderr")
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said or "")
    if words.strip():
        facts.hear(words)
    return facts


def _open_breaker(error: BaseException) -> Facts:
    found = re.match(r"Circuit breaker OPEN(?:\. Recovery in (\d+(?:\.\d+)?)s)?", text_of(error))
    facts = Facts("circuit_open", SPECIFIC) if found else Facts()
    facts.know("retry_after", float(found[1]) if found and found[1] else None)
    return facts


def _own_breaker(error: BaseException) -> Facts:
    facts, left = _open_breaker(error), get(error, "time_left")
    facts.take("circuit_open", SPECIFIC)
    facts.know("retry_after", float(left) if isinstance(left, (int, float)) else None)
    return facts


_SPECIFIC_KINDS = {
    "connection_refused": "builtins.ConnectionRefusedError",
    "connection_reset": """builtins.ConnectionResetError builtins.ConnectionAbortedError builtins.BrokenPipeError
        ssl.SSLEOFError ssl.SSLZeroReturnError http.RemoteDisconnected asyncio.IncompleteReadError
        aiohttp.ServerDisconnectedError aiohttp.ClientConnectionResetError""",
    "dns": "socket.gaierror socket.herror urllib3.NameResolutionError aiohttp.ClientConnectorDNSError",
    "tls": "ssl.SSLError aiohttp.ServerFingerprintMismatch",
    "timeout": """builtins.TimeoutError asyncio.TimeoutError concurrent.TimeoutError subprocess.TimeoutExpired
        requests.Timeout urllib3.TimeoutError httpx.TimeoutException aiohttp.ServerTimeoutError openai.APITimeoutError
        langchain_core.ModelTimeoutError""",
    "out_of_memory": "builtins.MemoryError",
    "permission_denied": "builtins.PermissionError",
    "not_found": "builtins.FileNotFoundError",
    "invalid_input": """requests.InvalidURL requests.MissingSchema requests.InvalidSchema requests.InvalidHeader
        requests.URLRequired urllib3.LocationParseError urllib3.ClosedPoolError httpx.LocalProtocolError
        httpx.UnsupportedProtocol httpx.InvalidURL httpx.StreamError ollama.RequestError aiohttp.InvalidURL
        aiohttp.NonHttpUrlClientError http.InvalidURL http.ImproperConnectionState""",
    "incomplete_answer": """requests.ChunkedEncodingError urllib3.IncompleteRead urllib3.InvalidChunkLength
        http.IncompleteRead urllib.ContentTooShortError aiohttp.ClientPayloadError""",
    "invalid_answer": """requests.JSONDecodeError requests.ContentDecodingError urllib3.DecodeError httpx.DecodingError
        openai.APIResponseValidationError http.BadStatusLine http.LineTooLong http.UnknownProtocol
        http.UnknownTransferEncoding aiohttp.HttpProcessingError""",
    "rejected_result": "openai.LengthFinishReasonError langchain_core.OutputParserException",
    "bulkhead_full": "httpx.PoolTimeout urllib3.EmptyPoolError urllib3.FullPoolError",
    "cancelled": """builtins.KeyboardInterrupt builtins.GeneratorExit builtins.SystemExit asyncio.CancelledError
        concurrent.CancelledError trio.Cancelled""",
}
_GENERAL_KINDS = {
    "unreachable": """builtins.ConnectionError requests.ConnectionError urllib3.NewConnectionError urllib3.ProxyError
        urllib.URLError httpx.ConnectError openai.APIConnectionError aiohttp.ClientConnectorError
        aiohttp.ClientConnectionError langchain_core.ModelConnectionError""",
    "connection_reset": """httpx.ReadError httpx.WriteError httpx.CloseError urllib3.ProtocolError aiohttp.ClientOSError
        anyio.EndOfStream anyio.BrokenResourceError anyio.ClosedResourceError""",
    "tls": "requests.SSLError urllib3.SSLError aiohttp.ClientSSLError",
    "timeout": "builtins.BlockingIOError",
    "invalid_input": """builtins.ValueError builtins.TypeError builtins.LookupError builtins.AttributeError
        builtins.NameError builtins.AssertionError builtins.ArithmeticError builtins.NotImplementedError
        builtins.ImportError builtins.SyntaxError openai.OpenAIError openai.AnthropicError""",
}
_READERS: dict[str, Row] = {
    "aiohttp.ClientResponseError": _aiohttp_status,
    "builtins.RuntimeError": _open_breaker,
    "httpx.HTTPStatusError": _status,
    "httpx.RemoteProtocolError": _protocol,
    "json.JSONDecodeError": _json,
    "mcp.MCPError": _mcp,
    "mcp.McpError": _mcp,
    "ollama.ResponseError": _ollama,
    "openai.APIError": _vendor,
    "requests.HTTPError": _status,
    "requests.TooManyRedirects": _status,
    "subprocess.CalledProcessError": _command,
    "upright.CircuitOpenError": _own_breaker,
    "urllib.HTTPError": _status,
}


def _rows(strength: int, kinds: dict[str, str]) -> dict[str, Row]:
    return {name: (kind, strength) for kind, names in kinds.items() for name in names.split()}


# By top package and class, because clients move their classes between modules.
_TABLE = _rows(SPECIFIC, _SPECIFIC_KINDS) | _rows(GENERAL, _GENERAL_KINDS) | _READERS
# Packages with classes of the same names.
_TWINS = dict.fromkeys(("httpx2", "httpcore", "httpcore2"), "httpx") | {
    "anthropic": "openai",
    "exceptiongroup": "builtins",
}
_CLIENTS = frozenset(("requests", "urllib3", "httpx", "httpx2", "aiohttp", "ollama", "openai", "anthropic"))
# Classes whose `errno` is no number of the operating system.
_OWN_NUMBERS = frozenset(("ssl.SSLError", "socket.gaierror", "socket.herror"))

PASS_THROUGH = frozenset(("langgraph.GraphBubbleUp", "celery.Retry", "celery.Ignore"))
"""Exceptions that are a framework's control flow, by top package and class. They are no failures."""


class Known(NamedTuple):
    """Facts about a class, from its name and those of its bases."""

    row: Row
    group: bool
    numbered: bool  # `errno` counts.
    states: bool  # Has `__upright_fault__`.
    asks: bool  # A client's: may have a request.
    foreign: bool  # May look like an error status, or hide its cause in an attribute.
    cancels: bool
    passes: bool
    plain: bool  # The type says it all, if there is no chain.


_CACHE: dict[int, tuple[weakref.ref[type[object]], Known]] = {}


def known(kind: type[object]) -> Known:
    """Returns the facts about a class. They are kept as long as the class lives."""
    found = _CACHE.get(id(kind))
    if found is not None and found[0]() is kind:
        return found[1]
    number, studied = id(kind), _study(kind)
    _CACHE[number] = (weakref.ref(kind, lambda _: _CACHE.pop(number, None)), studied)
    return studied


def _study(kind: type[object]) -> Known:
    packages = [str(base.__module__).partition(".")[0] for base in kind.__mro__]
    names = [f"{_TWINS.get(package, package)}.{base.__name__}" for package, base in zip(packages, kind.__mro__)]
    row: Row = next((_TABLE[name] for name in names if name in _TABLE), ("other", NOTHING))
    group, foreign = "builtins.BaseExceptionGroup" in names, packages[0] != "builtins"
    return Known(
        row=row,
        group=group,
        numbered=issubclass(kind, OSError) and _OWN_NUMBERS.isdisjoint(names),
        states=hasattr(kind, "__upright_fault__"),
        asks=not _CLIENTS.isdisjoint(packages),
        foreign=foreign,
        cancels=not callable(row) and row == ("cancelled", SPECIFIC),
        passes=not PASS_THROUGH.isdisjoint(names),
        plain=not callable(row) and row[1] == SPECIFIC and not group and not foreign,
    )
