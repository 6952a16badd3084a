"""The specification's classes have the attributes, positional forms and defaults that its users rely on."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from upright import error_recovery as er

# Parameters of the reference's public callables: names, kinds and defaults, without annotations.
SIGNATURES = {
    "ErrorClassifier": "(max_history=100)",
    "ErrorClassifier.classify": "(self, error, context=None)",
    "ErrorClassifier.get_error_patterns": "(self)",
    "ErrorClassifier.clear_history": "(self)",
    "CircuitBreaker": "(failure_threshold=5, recovery_timeout=60.0, success_threshold=2)",
    "CircuitBreaker.call": "(self, func, *args, **kwargs)",
    "CircuitBreaker.reset": "(self)",
    "RetryStrategy": (
        "(max_retries=3, base_delay=1.0, max_delay=60.0, backoff_factor=2.0, jitter=True, use_circuit_breaker=True)"
    ),
    "RetryStrategy.execute": "(self, func, *args, fallback=None, **kwargs)",
    "RetryStrategy.execute_async": "(self, func, *args, fallback=None, **kwargs)",
    "RetryStrategy._calculate_delay": "(self, attempt)",
    "GracefulDegradation": "(fallback_models=None)",
    "GracefulDegradation.get_fallback_model": "(self, failed_model)",
    "GracefulDegradation.cache_response": "(self, key, value)",
    "GracefulDegradation.get_cached_response": "(self, key, max_age=3600.0)",
    "GracefulDegradation.clear_cache": "(self)",
    "GracefulDegradation.simplify_workflow": "(self, workflow)",
    "HealthCheck": "(ollama_base_url='http://localhost:11434', timeout=5)",
    "HealthCheck.check_ollama": "(self)",
    "HealthCheck.check_model_available": "(self, model)",
    "HealthCheck.check_system_resources": "(self)",
    "HealthCheck.check_all": "(self, models=None)",
    "RecoveryManager": "(retry_strategy=None, fallback_models=None)",
    "RecoveryManager.execute_with_recovery": "(self, func, *args, fallback=None, checkpoint_key=None, **kwargs)",
    "RecoveryManager.save_checkpoint": "(self, key, state)",
    "RecoveryManager.restore_checkpoint": "(self, key)",
    "RecoveryManager.clear_checkpoints": "(self)",
    "RecoveryManager.get_system_health": "(self, models=None)",
    "RecoveryManager.shutdown_gracefully": "(self)",
    "with_retry": "(max_retries=3, backoff_factor=2.0, fallback=None)",
    "with_circuit_breaker": "(failure_threshold=5, recovery_timeout=60.0)",
    "RetryConfig": (
        "(max_retries=3, base_delay=1.0, max_delay=60.0, backoff_factor=2.0, jitter=True, jitter_range=(0.8, 1.2))"
    ),
    "ModelFallback": "(primary_model, fallback_models, cache_enabled=True, simplified_workflow=False)",
}


def refused() -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def find(path: str) -> Any:
    found: Any = er
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(("path", "expected"), SIGNATURES.items())
def test_a_public_callable_has_the_parameters_of_the_reference(path: str, expected: str) -> None:
    signature = inspect.signature(find(path))
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    # A native method takes its object by position only.
    assert str(inspect.Signature(bare)).replace("(self, /, ", "(self, ") == expected


def test_the_module_exports_the_fifteen_names_of_the_specification() -> None:
    assert len(er.__all__) == 15
    assert all(hasattr(er, name) for name in er.__all__)


def test_enumerations_have_the_values_of_the_reference() -> None:
    categories = ["transient", "permanent", "resource", "connection", "timeout", "unknown"]
    assert [category.value for category in er.ErrorCategory] == categories
    assert [severity.value for severity in er.ErrorSeverity] == ["low", "medium", "high", "critical"]
    assert [state.value for state in er.CircuitState] == ["closed", "open", "half_open"]


def test_a_breakers_attributes_can_be_read_and_assigned() -> None:
    breaker = er.CircuitBreaker(2, 60.0, 1)
    assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.success_threshold) == (2, 60.0, 1)
    assert (breaker.state, breaker.failure_count, breaker.success_count) == (er.CircuitState.CLOSED, 0, 0)
    assert breaker.last_failure_time is None
    breaker.failure_threshold, breaker.recovery_timeout, breaker.success_threshold = 3, 5.5, 4
    assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.success_threshold) == (3, 5.5, 4)
    breaker.failure_count = 2
    with pytest.raises(ConnectionRefusedError):
        breaker.call(refused)
    assert breaker.state is er.CircuitState.OPEN
    assert breaker.last_failure_time is not None
    breaker.last_failure_time = 1.5
    assert breaker.last_failure_time == 1.5
    breaker.state = er.CircuitState.CLOSED
    assert breaker.call(lambda: 7) == 7
    breaker.state = er.CircuitState.OPEN
    with pytest.raises(RuntimeError, match=r"Circuit breaker OPEN\. Recovery in 5\.[45]s"):
        breaker.call(lambda: 7)
    breaker.state = er.CircuitState.HALF_OPEN
    breaker.success_count = 3
    assert (breaker.call(lambda: 8), breaker.state) == (8, er.CircuitState.CLOSED)
    breaker.reset()
    assert (breaker.state, breaker.failure_count, breaker.last_failure_time) == (er.CircuitState.CLOSED, 0, None)


def test_a_strategys_settings_are_live() -> None:
    retry = er.RetryStrategy(5, 2.0, 30.0, 3.0, False, False)
    config = retry.config
    assert (config.max_retries, config.base_delay, config.max_delay, config.backoff_factor) == (5, 2.0, 30.0, 3.0)
    assert (config.jitter, config.jitter_range, retry.circuit_breaker) == (False, (0.8, 1.2), None)
    assert [retry._calculate_delay(attempt) for attempt in range(4)] == [2.0, 6.0, 18.0, 30.0]
    config.base_delay = 1.0
    assert [retry._calculate_delay(attempt) for attempt in range(3)] == [1.0, 3.0, 9.0]
    config.max_retries = 0
    retry.circuit_breaker = er.CircuitBreaker(failure_threshold=1)
    with pytest.raises(ConnectionRefusedError):
        retry.execute(refused)
    assert retry.circuit_breaker.state is er.CircuitState.OPEN
    retry.circuit_breaker = None
    with pytest.raises(ConnectionRefusedError):
        retry.execute(refused)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda: er.RetryStrategy(max_retries=-1), "max_retries is -1; expected a whole number"),
        (lambda: er.RetryStrategy(base_delay=-1.0), "base_delay"),
        (lambda: er.RetryStrategy(backoff_factor=0.0), "backoff_factor"),
        (lambda: er.CircuitBreaker(failure_threshold=0), "failure_threshold"),
        (lambda: er.CircuitBreaker(failure_threshold=-1), "failure_threshold is -1; expected a whole number"),
        (lambda: er.CircuitBreaker(recovery_timeout=-1.0), "recovery_timeout"),
        (lambda: er.CircuitBreaker(success_threshold=0), "success_threshold"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_its_name(change: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        change()


def test_a_refused_change_of_a_setting_leaves_the_old_one() -> None:
    retry = er.RetryStrategy(jitter=False)
    with pytest.raises(ValueError, match="base_delay"):
        retry.config.base_delay = -1.0
    assert (retry.config.base_delay, retry._calculate_delay(0)) == (1.0, 1.0)


def test_checkpoints_and_cache_are_mappings_with_their_times() -> None:
    manager = er.RecoveryManager()
    state = {"progress": 50}
    manager.save_checkpoint("a", state)
    assert manager.restore_checkpoint("a") is state
    assert (len(manager.checkpoints), set(manager.checkpoints["a"])) == (1, {"state", "timestamp"})
    assert manager.checkpoints.pop("a", None) is not None
    assert manager.checkpoints.pop("a", None) is None
    cache = manager.degradation.cache
    manager.degradation.cache_response("q", 42)
    assert (len(cache), cache["q"]["value"], manager.degradation.get_cached_response("q")) == (1, 42, 42)
    assert manager.degradation.get_cached_response("q", max_age=-1.0) is None
    assert len(cache) == 0


def test_a_history_keeps_the_last_failures_and_its_length_can_be_changed() -> None:
    classifier = er.ErrorClassifier(max_history=5)
    for number in range(10):
        classifier.classify(ConnectionError(str(number)), {"number": number})
    assert [info.context["number"] for info in classifier.error_history] == [5, 6, 7, 8, 9]
    classifier.max_history = 2
    classifier.classify(TimeoutError())
    assert [info.category.value for info in classifier.error_history] == ["connection", "timeout"]
    assert classifier.get_error_patterns() == {"connection": 1, "timeout": 1}


def test_a_degradation_without_models_has_the_two_of_the_specification() -> None:
    for nothing in (None, []):
        assert er.GracefulDegradation(nothing).fallback_chain == ["qwen3:8b", "gemma3:4b"]
    degradation = er.GracefulDegradation()
    degradation.fallback_chain = ["a", "b"]
    assert [degradation.get_fallback_model(model) for model in ("a", "b", "x")] == ["b", None, "a"]


def test_strategies_and_breakers_are_copied_and_pickled_with_their_state() -> None:
    retry = er.RetryStrategy(max_retries=0)
    retry.config.jitter_range = (0.5, 1.5)
    breaker = retry.circuit_breaker
    assert breaker is not None
    breaker.failure_threshold = 1
    with pytest.raises(ConnectionRefusedError):
        retry.execute(refused)
    for again in (copy.deepcopy(retry), pickle.loads(pickle.dumps(retry))):
        assert again.config == retry.config
        assert again.circuit_breaker.state is er.CircuitState.OPEN
        with pytest.raises(RuntimeError, match="Circuit breaker OPEN"):
            again.execute(lambda: 1)
    retry.circuit_breaker = None
    assert retry.execute(lambda: 1) == 1


def test_system_resources_are_floats() -> None:
    status = er.HealthCheck().check_system_resources()
    names = ["memory_available_gb", "memory_percent", "disk_available_gb", "disk_percent", "cpu_percent"]
    assert status.component == "system_resources"
    assert [type(status.details[name]) for name in names] == [float] * 5
    assert status.details["memory_available_gb"] > 0
