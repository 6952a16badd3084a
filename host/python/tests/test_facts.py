"""Reading exceptions: chains, groups, the cache, hostile exceptions, answers, a program's own readers."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import gc
import http.client
import itertools
import json
import logging
import subprocess
import sys
import urllib.error
import weakref
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from upright import _known
from upright._answers import MESSAGE_LIMIT, endpoint_of, retry_after
from upright._facts import LINKS, PASS_THROUGH, is_pass_through, read
from upright._native import Fault, classify

VECTORS = Path(__file__).resolve().parents[3] / "guest/conformance/vectors/classifier.jsonl"


def named(name: str, *bases: type[BaseException], **attributes: object) -> type[Any]:
    """A class as a client would have it: `module.Class`."""
    module, _, own = name.rpartition(".")
    return type(own, bases or (Exception,), {"__module__": module, **attributes})


def chained(*errors: BaseException) -> BaseException:
    """Errors that cause each other, outermost first."""
    for outer, inner in itertools.pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def caught(raising: Callable[[], object]) -> BaseException:
    """Returns the exception of a function."""
    try:
        raising()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def kind(error: BaseException) -> str:
    """The kind of an exception."""
    return str(read(error).kind)


def answered(status: int, body: str = "", **headers: str) -> BaseException:
    """An unknown client's error status."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()} | {"Server": "test"}
    response = SimpleNamespace(status_code=status, headers=fields, url="http://x/api/chat", _content=body.encode())
    error: BaseException = named("unknown.ApiError", status_code=status, response=response)("failed")
    return error


# Chains


def test_a_general_link_gives_way_to_a_specific_one_below() -> None:
    fault = read(
        chained(ConnectionError("cannot connect"), Exception("wrapped"), ConnectionRefusedError(111, "refused"))
    )
    assert (fault.kind, fault.message) == ("connection_refused", "cannot connect: wrapped: [Errno 111] refused")


def test_of_two_specific_links_the_outermost_decides() -> None:
    assert kind(chained(TimeoutError(), ConnectionRefusedError())) == "timeout"


def test_of_two_general_links_the_outermost_decides() -> None:
    assert kind(chained(ConnectionError("no connection"), ValueError("x"))) == "unreachable"


def test_a_suppressed_context_is_read() -> None:
    def hide() -> None:
        try:
            raise ConnectionRefusedError(111, "refused")
        except ConnectionRefusedError:
            raise ConnectionError("is the server running?") from None

    fault = read(caught(hide))
    assert fault.kind == "connection_refused"
    assert fault.errno == (111 if sys.platform == "linux" else None)


def test_a_cause_goes_before_a_context() -> None:
    error = Exception("outer")
    error.__context__, error.__cause__ = MemoryError(), TimeoutError()
    assert kind(error) == "timeout"


@pytest.mark.parametrize("where", ["reason", "os_error"])
def test_a_cause_in_an_attribute_of_a_client_is_read(where: str) -> None:
    assert kind(named("client.Failed", **{where: ConnectionResetError()})("failed")) == "connection_reset"


def test_a_cause_among_the_arguments_is_read() -> None:
    assert kind(Exception("aborted", ConnectionResetError())) == "connection_reset"


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = Exception("first"), Exception("second")
    first.__cause__, second.__cause__ = second, first
    assert read(first).message == "first: second"


def test_a_chain_is_read_up_to_its_limit() -> None:
    near = chained(*(Exception(str(number)) for number in range(LINKS - 1)), TimeoutError())
    far = chained(*(Exception(str(number)) for number in range(LINKS)), TimeoutError())
    assert (kind(near), kind(far)) == ("timeout", "other")


def test_a_text_that_the_outer_one_quotes_stands_once() -> None:
    assert read(chained(Exception("failed: no route"), Exception("no route"))).message == "failed: no route"


def test_a_long_text_keeps_both_ends() -> None:
    message = read(Exception("start" + "ü" * MESSAGE_LIMIT + "end")).message
    assert message.startswith("start") and message.endswith("end") and len(message.encode()) <= MESSAGE_LIMIT


def test_a_long_chain_of_long_texts_stays_within_the_limit() -> None:
    error = chained(*(Exception(f"{number}" * MESSAGE_LIMIT) for number in range(LINKS)))
    assert len(read(error).message.encode()) <= MESSAGE_LIMIT


def test_an_exception_without_text_says_its_name() -> None:
    assert read(named("library.core.OutOfMemoryError")()).message == "library.core.OutOfMemoryError"


def test_a_cancellation_below_does_not_decide() -> None:
    error = ValueError("invalid literal")
    error.__context__ = asyncio.CancelledError("by a scope")
    assert (kind(error), read(error).message) == ("invalid_input", "invalid literal")


# Kinds


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionError("x"), "unreachable"),
        (ConnectionError("certificate has expired"), "tls"),
        (BrokenPipeError(), "connection_reset"),
        (TimeoutError(), "timeout"),
        (asyncio.TimeoutError(), "timeout"),
        (concurrent.futures.TimeoutError(), "timeout"),
        (subprocess.TimeoutExpired("ls", 1), "timeout"),
        (MemoryError(), "out_of_memory"),
        (PermissionError("no number"), "permission_denied"),
        (FileNotFoundError("no number"), "not_found"),
        (OSError(28, "No space left on device"), "disk_full"),
        (OSError("no number"), "other"),
        (KeyError("500"), "invalid_input"),
        (ValueError("port 5000 in use"), "invalid_input"),
        (ValueError("CUDA out of memory"), "other"),
        (NotImplementedError(), "invalid_input"),
        (RuntimeError("anything"), "other"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (named("trio.Cancelled", BaseException)(), "cancelled"),
        (http.client.RemoteDisconnected("closed"), "connection_reset"),
        (urllib.error.URLError(ConnectionRefusedError(111, "refused")), "connection_refused"),
        (urllib.error.HTTPError("http://x", 503, "busy", Message(), None), "http_status"),
    ],
)
def test_an_exception_of_python_has_its_kind(error: BaseException, expected: str) -> None:
    assert kind(error) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="other systems number their errors differently")
@pytest.mark.parametrize(
    ("number", "expected"),
    [(12, "out_of_memory"), (24, "too_many_open_files"), (101, "unreachable"), (122, "disk_full"), (110, "timeout")],
)
def test_an_error_number_has_its_kind(number: int, expected: str) -> None:
    fault = read(OSError(number, "x"))
    assert (fault.kind, fault.errno) == (expected, number)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems number their errors differently")
def test_an_error_number_is_as_specific_as_a_type() -> None:
    assert kind(chained(OSError(28, "No space left on device"), TimeoutError())) == "disk_full"


def test_a_text_refines_no_specific_kind() -> None:
    assert kind(named("requests.InvalidURL", ValueError)("out of memory")) == "invalid_input"


@pytest.mark.parametrize("package", ["httpx", "httpx2", "httpcore", "httpcore2"])
def test_twins_have_the_same_kinds(package: str) -> None:
    assert kind(named(f"{package}.PoolTimeout", named(f"{package}.TimeoutException"))()) == "bulkhead_full"


def test_a_resolvers_number_is_no_number_of_the_system() -> None:
    import socket

    fault = read(socket.gaierror(2, "unknown name"))
    assert (fault.kind, fault.errno) == ("dns", None)


def test_a_class_that_moved_within_its_package_is_known() -> None:
    assert kind(named("httpx._somewhere._else.ReadTimeout", named("httpx.x.TimeoutException"))()) == "timeout"


def test_a_class_of_the_same_name_in_another_package_is_unknown() -> None:
    assert kind(named("mine.ReadTimeout")("x")) == "other"


def test_a_subclass_has_the_kind_of_the_nearest_known_class() -> None:
    timeout = named("urllib3.exceptions.TimeoutError")
    assert kind(named("urllib3.exceptions.NewConnectionError", timeout)("x")) == "unreachable"


def test_json_is_the_servers_if_a_client_read_it() -> None:
    client: dict[str, Any] = {"__name__": "httpx._models"}
    exec("import json\ndef answer(text): return json.loads(text)", client)  # noqa: S102
    assert kind(caught(lambda: client["answer"]("{"))) == "invalid_answer"
    assert kind(caught(lambda: json.loads("{"))) == "invalid_input"


def test_a_commands_own_words_are_read() -> None:
    assert (
        read(subprocess.CalledProcessError(1, ["timeout", "5"], stderr=b"No space left\xff\n")).message
        == "No space left\ufffd"
    )
    assert read(subprocess.CalledProcessError(1, "dump", stderr="")).message.startswith("Command 'dump' returned")


def test_an_open_breaker_of_the_specification_is_recognized() -> None:
    fault = read(RuntimeError("Circuit breaker OPEN. Recovery in 59.9s"))
    assert (fault.kind, fault.retry_after) == ("circuit_open", 59.9)


def test_a_breaker_of_this_package_is_recognized() -> None:
    fault = read(named("upright._errors.CircuitOpenError", RuntimeError, time_left=2)("the breaker is open"))
    assert (fault.kind, fault.retry_after) == ("circuit_open", 2.0)


def test_reading_changes_nothing() -> None:
    error = caught(lambda: int("x"))
    before = (error.__traceback__, error.__cause__, error.__context__, error.args, dict(vars(error)))
    read(error)
    assert before == (error.__traceback__, error.__cause__, error.__context__, error.args, dict(vars(error)))


# Groups


def group(*leaves: BaseException) -> BaseException:
    """An exception group; Python 3.10 has it from a package."""
    native = getattr(builtins, "BaseExceptionGroup", None)
    if native is not None:
        error: BaseException = native("unhandled errors in a TaskGroup", leaves)
        return error
    kind = named("exceptiongroup.ExceptionGroup", named("exceptiongroup.BaseExceptionGroup"), exceptions=leaves)
    error = kind("unhandled errors in a TaskGroup")
    return error


def test_one_invalid_input_makes_a_group_permanent() -> None:
    assert kind(group(ConnectionRefusedError(), TypeError("x"), TimeoutError())) == "invalid_input"


def test_the_most_specific_leaf_decides_for_a_group() -> None:
    assert kind(group(Exception("x"), ConnectionError("x"), ConnectionResetError())) == "connection_reset"


def test_a_leaf_is_read_with_its_chain() -> None:
    assert kind(group(chained(ConnectionError("x"), ConnectionRefusedError()))) == "connection_refused"


def test_a_group_in_a_group_and_in_a_chain_is_read() -> None:
    assert kind(chained(Exception("outer"), group(group(TimeoutError())))) == "timeout"


def test_a_cancelled_leaf_decides_last() -> None:
    assert kind(group(concurrent.futures.CancelledError(), TimeoutError())) == "timeout"
    assert kind(group(asyncio.CancelledError())) == "cancelled"


def test_the_texts_of_unknown_leaves_are_joined() -> None:
    assert read(group(Exception("first"), Exception("second"))).message == "first: second"


def test_a_group_that_holds_itself_ends() -> None:
    leaf = Exception("leaf")
    whole = group(leaf)
    leaf.__cause__ = whole
    assert read(whole).message == "leaf"


def test_a_deep_nest_of_groups_ends() -> None:
    error: BaseException = TimeoutError()
    for _ in range(10_000):
        error = group(chained(Exception("x"), error))
    assert kind(error) == "other"


# The cache


def test_a_class_is_studied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = named("mine.Failure", TimeoutError)
    studied: list[type] = []
    study = _known._study

    def counted(kind: type) -> _known.Known:
        studied.append(kind)
        return study(kind)

    monkeypatch.setattr(_known, "_study", counted)
    for _ in range(3):
        assert kind(mine()) == "timeout"
    assert studied == [mine]


def test_the_cache_keeps_no_class_alive() -> None:
    mine = named("mine.Failure")
    read(mine())
    alive, number = weakref.ref(mine), id(mine)
    del mine
    gc.collect()
    assert alive() is None and number not in _known._CACHE


def test_reading_keeps_no_exception_alive() -> None:
    error = named("mine.Failure")("x")
    read(error)
    alive = weakref.ref(error)
    del error
    assert alive() is None


# Hostile exceptions


def failing(*_: object) -> str:
    """A method that fails."""
    raise RuntimeError("hostile")


def test_a_failing_str_does_not_mask_the_kind() -> None:
    fault = read(chained(named("mine.Failure", __str__=failing)(), TimeoutError("slow")))
    assert (fault.kind, fault.message) == ("timeout", "(this error cannot say what it is): slow")


def test_failing_attributes_do_not_mask_the_kind() -> None:
    names = ("__cause__", "__context__", "reason", "args", "errno", "response", "status_code", "headers", "exceptions")
    mine = named("requests.Hostile", OSError, **{name: property(failing) for name in names})
    assert kind(mine("x")) == "other"


def test_attributes_of_strange_types_do_not_mask_the_kind() -> None:
    mine = named("requests.Strange", ConnectionResetError, args=7, errno=10**30, response=7, exceptions=7, reason="x")
    fault = read(mine("x"))
    assert (fault.kind, fault.errno) == ("connection_reset", None)


def test_a_body_that_fails_to_say_what_it_is_does_not_mask_the_failure() -> None:
    assert kind(named("openai.APIError", body=named("mine.Body", __str__=failing)())("x")) == "other"


def test_an_interrupt_while_reading_is_passed_on() -> None:
    def interrupted(_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(named("mine.Failure", __str__=interrupted)())


def test_a_text_that_is_no_valid_unicode_is_mended() -> None:
    assert read(Exception("file \udcff")).message == "file ?"


def test_a_text_of_a_class_of_its_own_becomes_plain() -> None:
    class Text(str):
        __slots__ = ()
        __contains__ = __format__ = failing  # type: ignore[assignment]

    assert type(read(named("mine.Failure", __str__=lambda _: Text("x"))()).message) is str


def test_a_status_that_is_none_is_ignored() -> None:
    for status in (0, -1, 200, 600, 10**30, True, "500", None):
        assert (
            kind(named("mine.Failure", status_code=status, response=SimpleNamespace(headers={"a": "b"}))("x"))
            == "other"
        )


# Answers


def test_an_unknown_clients_status_is_read_by_its_look() -> None:
    fault = read(answered(503, '{"error":"server busy"}', retry_after="7", x_should_retry="false"))
    assert (fault.kind, fault.status, fault.message, fault.endpoint) == ("http_status", 503, "server busy", "chat")
    assert (fault.retry_after, fault.should_retry) == (7.0, False)


@pytest.mark.parametrize("name", ["status_code", "status", "code"])
def test_a_status_has_several_names(name: str) -> None:
    error = named("unknown.ApiError", **{name: 429, "response": SimpleNamespace(headers={"Retry-After": "1"})})("x")
    assert (read(error).status, read(error).retry_after) == (429, 1.0)


def test_a_status_without_a_response_is_no_answer() -> None:
    assert kind(named("mine.Failure", code=500)("x")) == "other"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after-ms": "2500", "retry-after": "3"}, 2.5),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "Sun, 06 Nov 1994 08:51:37 GMT"}, 120.0),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "Sunday, 06-Nov-94 08:50:37 GMT"}, 60.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "Sun, 99 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_every_form_of_retry_after_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(headers) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:11434/api/chat", "chat"),
        ("http://x/ollama/api/generate/?stream=1", "generate"),
        ("http://x/api/embeddings", "embed"),
        ("/api/tags", "tags"),
        ("https://api.openai.com/v1/chat/completions", "openai"),
        ("http://v1/other", None),
        ("http://x/api/chat/more", None),
        ("", None),
        (None, None),
    ],
)
def test_a_url_names_its_endpoint(url: str | None, expected: str | None) -> None:
    assert endpoint_of(url) == expected


@pytest.mark.parametrize(
    ("body", "message", "error_type", "error_code"),
    [
        ('{"error":"model \'x\' not found"}', "model 'x' not found", None, None),
        (
            '{"error":{"message":"too long","type":"invalid_request_error","code":null}}',
            "too long",
            "invalid_request_error",
            None,
        ),
        (
            '{"error":{"message":"too long","code":"context_length_exceeded"}}',
            "too long",
            None,
            "context_length_exceeded",
        ),
        (
            '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            "Overloaded",
            "overloaded_error",
            None,
        ),
        (
            '{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}',
            "quota",
            "RESOURCE_EXHAUSTED",
            "429",
        ),
        ('{"error":"{\\"error\\":{\\"message\\":\\"inner\\",\\"code\\":400}}"}', "inner", None, "400"),
        ('{"detail":[{"msg":"field required"},{"msg":"too short"}]}', "field required: too short", None, None),
        (
            "<html><head><style>a{}</style></head><h1>502</h1><p>Bad  Gateway</p></html>",
            "502 Bad Gateway",
            "html",
            None,
        ),
        ("plain words", "plain words", None, None),
        ("{broken", "{broken", None, None),
        ('{"type":"error","message":"failed"}', "failed", None, None),
        ('{"type":"outer","error":{"message":"failed"}}', "failed", None, None),
        ("{" * 20, "{" * 20, None, None),
        ('{"unknown":"shape"}', '{"unknown": "shape"}', None, None),
        ("", "", None, None),
    ],
)
def test_a_body_of_any_shape_gives_its_innermost_message(
    body: str, message: str, error_type: str | None, error_code: str | None
) -> None:
    fault = read(answered(400, body))
    assert (fault.message, fault.error_type, fault.error_code) == (message, error_type, error_code)


def test_a_body_of_endless_depth_is_text() -> None:
    assert read(answered(400, "[" * 60_000)).message.startswith("[[[")


def test_the_servers_words_stand_alone() -> None:
    fault = read(chained(answered(503, "server busy"), Exception("503 for url: http://x/timeout")))
    assert fault.message == "server busy"


def test_of_two_answers_the_outermost_gives_the_facts() -> None:
    fault = read(chained(answered(503, "busy", retry_after="7"), answered(429, "slow", retry_after="9")))
    assert (fault.status, fault.retry_after, fault.message) == (503, 7.0, "busy")


def test_a_redirect_of_an_unknown_client_is_no_failure() -> None:
    assert kind(answered(302)) == "other"


def test_an_address_to_sign_in_at_is_read() -> None:
    assert (
        read(answered(401, '{"error":"unauthorized","signin_url":"https://x/connect"}')).points_to
        == "https://x/connect"
    )


def test_the_address_of_a_request_is_no_part_of_the_message() -> None:
    error = named("requests.HTTPError", OSError, status_code=403, headers={})(
        "403 Forbidden for url: http://127.0.0.1/oom"
    )
    assert read(error).message == "403 Forbidden for url:"


# A program's own readers


def test_a_programs_own_reader_decides() -> None:
    own = Fault("invalid_input", "row 7 is malformed")
    error = chained(Exception("outer"), named("mine.Malformed")("row 7"))
    assert read(error, fault_reader=[lambda _: None, lambda e: own if str(e) == "row 7" else None]) is own


def test_a_reader_that_fails_is_logged_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: BaseException) -> Fault | None:
        raise LookupError("mistake in the reader")

    with caplog.at_level(logging.WARNING, "upright"):
        assert read(TimeoutError(), fault_reader=[broken]).kind == "timeout"
    assert "mistake in the reader" in caplog.text


def test_a_reader_that_returns_something_else_is_passed_over() -> None:
    assert read(TimeoutError(), fault_reader=[lambda _: "timeout"]).kind == "timeout"  # type: ignore[list-item,return-value]


def test_a_class_may_state_its_fault() -> None:
    own = Fault("rejected_result", "answer of no use")
    as_value = named("mine.Useless", __upright_fault__=own)("x")
    as_method = named("mine.Useless", __upright_fault__=lambda self: own if self.args else None)("x")
    assert read(as_value) is own and read(chained(ValueError("outer"), as_method)) is own


def test_a_class_that_fails_to_state_its_fault_is_read_as_any_other() -> None:
    assert kind(named("mine.Late", TimeoutError, __upright_fault__=failing)()) == "timeout"
    assert kind(named("mine.Late", TimeoutError, __upright_fault__=lambda self: None)()) == "timeout"


def test_a_leaf_of_a_group_may_state_its_fault() -> None:
    own = Fault("invalid_input", "x")
    assert read(group(TimeoutError(), named("mine.Wrong", __upright_fault__=own)())) is own


# Control flow


@pytest.mark.parametrize("name", sorted(PASS_THROUGH))
def test_control_flow_of_a_framework_is_known_by_name(name: str) -> None:
    package, _, own = name.partition(".")
    base = named(f"{package}.errors.{own}")
    assert is_pass_through(base()) and is_pass_through(named("mine.Interrupt", base)())


def test_a_failure_is_no_control_flow() -> None:
    assert not is_pass_through(named("mine.Retry")()) and not is_pass_through(ValueError())


def test_text_and_number_of_an_exception_whose_type_says_it_all_mean_nothing() -> None:
    questions = map(json.loads, VECTORS.read_text(encoding="utf-8").splitlines())
    texts = {question["arguments"].get("fault", {}).get("message", "") for question in questions}
    types = [value for value in vars(builtins).values() if isinstance(value, type) and issubclass(value, BaseException)]
    kinds = {str(about.row[0]) for about in map(_known.known, types) if about.plain}  # type: ignore[index]
    assert len(texts) > 500 and len(kinds) > 5
    for kind_ in kinds:
        alone = classify(Fault(kind_))
        assert all(classify(Fault(kind_, text)) == alone for text in texts), kind_
        assert all(classify(Fault(kind_, errno=number)) == alone for number in range(1, 134)), kind_
