"""The classes of the specification, under its names.

`from upright.error_recovery import RetryStrategy` takes the place of the specification's own module. Where this one
differs, `docs/python.md` numbers the deviation and says why.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any, TypeAlias, TypeVar
from weakref import WeakMethod

from upright import _breakers, _drive, _health, _log
from upright._failure import failure_of
from upright._kept import Timestamped
from upright._meaning import classify
from upright._native import Breaker, PolicySlot, State, Strategy, fallback_model, simplify

__all__ = [
    "CircuitBreaker",
    "CircuitState",
    "ErrorCategory",
    "ErrorClassifier",
    "ErrorInfo",
    "ErrorSeverity",
    "GracefulDegradation",
    "HealthCheck",
    "HealthStatus",
    "ModelFallback",
    "RecoveryManager",
    "RetryConfig",
    "RetryStrategy",
    "with_circuit_breaker",
    "with_retry",
]

T = TypeVar("T")

ContextDict: TypeAlias = dict[str, Any]
ErrorPatterns: TypeAlias = dict[str, int]
HealthDetails: TypeAlias = dict[str, Any]

logger = _log.logger


class ErrorCategory(Enum):
    """Category of a failure."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    RESOURCE = "resource"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"


class ErrorSeverity(Enum):
    """Severity of a failure, mildest first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class CircuitState(Enum):
    """Phase of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


_CATEGORIES = {category.value: category for category in ErrorCategory}
_SEVERITIES = {severity.value: severity for severity in ErrorSeverity}


@dataclass
class ErrorInfo:
    """The meaning of an exception.

    `error` is the exception, without its traceback. `rule` names the rule that matched.
    """

    error: Exception
    category: ErrorCategory
    severity: ErrorSeverity
    retryable: bool
    suggested_action: str
    context: ContextDict = field(default_factory=dict[str, Any])
    timestamp: float = field(default_factory=time.time)
    rule: str = "unknown"


@dataclass
class RetryConfig:
    """Settings of retries. Delays are seconds. A change takes effect at the next call."""

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 60.0
    backoff_factor: float = 2.0
    jitter: bool = True
    jitter_range: tuple[float, float] = (0.8, 1.2)

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        object.__setattr__(self, name, value)
        changed = self.__dict__.get("_changed")
        apply = changed and changed()
        if apply is not None:
            try:
                apply()
            except (TypeError, ValueError, OverflowError):
                object.__setattr__(self, name, old)
                raise


@dataclass
class HealthStatus:
    """Health of a component. `timestamp` is in seconds since 1970."""

    component: str
    healthy: bool
    message: str
    details: HealthDetails = field(default_factory=dict[str, Any])
    timestamp: float = field(default_factory=time.time)


@dataclass
class ModelFallback:
    """A model and those that may take its place, best first."""

    primary_model: str
    fallback_models: list[str]
    cache_enabled: bool = True
    simplified_workflow: bool = False


class ErrorClassifier:
    """Says what exceptions mean, and keeps the last `max_history` of them."""

    def __init__(self, max_history: int = 100) -> None:
        self.error_history: list[ErrorInfo] = []
        self.max_history = max_history

    def classify(self, error: Exception, context: ContextDict | None = None) -> ErrorInfo:
        """The meaning of an exception, which the history keeps without its traceback."""
        info = self._info(error, context or {})
        self._record(info)
        _log.classified(error, info.category.value, info.severity.value, info.retryable, info.suggested_action)
        return info

    def _info(self, error: Exception, context: ContextDict) -> ErrorInfo:
        meaning = classify(error)
        category, severity = _CATEGORIES[meaning.category], _SEVERITIES[meaning.severity]
        alone, suggestion = _log.without_traceback(error), meaning.suggestion
        return ErrorInfo(alone, category, severity, meaning.retryable, suggestion, context, rule=meaning.rule)

    def _record(self, info: ErrorInfo) -> None:
        history = self.error_history
        history.append(info)
        if len(history) > self.max_history:
            del history[: len(history) - self.max_history]

    def get_error_patterns(self) -> ErrorPatterns:
        """Number of failures in the history, by category."""
        patterns: ErrorPatterns = {}
        for info in self.error_history:
            patterns[info.category.value] = patterns.get(info.category.value, 0) + 1
        logger.info("Error patterns: %s", patterns)
        return patterns

    def clear_history(self) -> None:
        """Forgets all failures."""
        self.error_history.clear()
        logger.info("Cleared error history")


_IN_A_ROW: dict[str, Any] = {"failure_window": 1e9, "failure_rate_threshold": 2.0}
"""Only failures in a row count, however far apart."""


class CircuitBreaker(_breakers.Blocks, Breaker):
    """Rejects calls to a service after `failure_threshold` failures in a row.

    It rejects them for `recovery_timeout` seconds, then lets one probe through at a time. `success_threshold`
    successful probes close it. It guards functions by `call`, and blocks by `with` and `async with`: a rejected block
    raises `CircuitOpenError` on entry.
    """

    _is_named = False
    # The slot that decides, and the store that it is kept in.
    _policy: PolicySlot | None = None
    _store: State | None = None

    def __init__(self, failure_threshold: int = 5, recovery_timeout: float = 60.0, success_threshold: int = 2) -> None:
        self._begin(
            "circuit",
            failure_threshold=failure_threshold,
            recovery_timeout=recovery_timeout,
            success_threshold=success_threshold,
            **_IN_A_ROW,
        )

    @classmethod
    def _of(
        cls, name: str, settings: dict[str, Any], policy: PolicySlot | None = None, store: State | None = None
    ) -> CircuitBreaker:
        """A breaker of this name, with these settings, decided by a slot's policy and kept in a store."""
        breaker = cls()
        given: dict[str, Any] = {"failure_threshold": 5, "recovery_timeout": 60.0, "success_threshold": 2, **settings}
        breaker._begin(name, **given, policy=policy, state=store)
        breaker._policy, breaker._store = policy, store
        return breaker

    @property
    def state(self) -> CircuitState:
        """Its phase. An open breaker turns half-open at the first call after its timeout."""
        return CircuitState(self.phase)

    @state.setter
    def state(self, state: CircuitState) -> None:
        self._put_phase(state.value)
        _breakers.moved(self)

    @property
    def failure_count(self) -> int:
        """Number of failures in a row."""
        return self.failures

    @failure_count.setter
    def failure_count(self, failures: int) -> None:
        self._put_failures(failures)

    @property
    def success_count(self) -> int:
        """Number of successful probes while half-open."""
        return self.successes

    @success_count.setter
    def success_count(self, successes: int) -> None:
        self._put_successes(successes)

    @property
    def last_failure_time(self) -> float | None:
        """Time of the last failure, seconds since 1970. It times nothing: the breaker's own clock never steps back."""
        return self._last_failure_time

    @last_failure_time.setter
    def last_failure_time(self, seconds: float | None) -> None:
        self._failed_at(seconds)

    @property
    def failure_threshold(self) -> int:
        """Number of failures in a row that open it."""
        return self._failure_threshold

    @failure_threshold.setter
    def failure_threshold(self, failures: int) -> None:
        self._reconfigure(failure_threshold=failures)

    @property
    def recovery_timeout(self) -> float:
        """Time from opening to the first probe, seconds. An open breaker keeps its timeout."""
        return self._recovery_timeout

    @recovery_timeout.setter
    def recovery_timeout(self, seconds: float) -> None:
        self._reconfigure(recovery_timeout=seconds)

    @property
    def success_threshold(self) -> int:
        """Number of successful probes that close it."""
        return self._success_threshold

    @success_threshold.setter
    def success_threshold(self, successes: int) -> None:
        self._reconfigure(success_threshold=successes)

    def reset(self) -> None:
        """Closes it and clears its counts."""
        self._reset()
        self._failed_at(None)
        logger.info("Circuit breaker manually reset")
        _breakers.moved(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._is_named:
            address = self._store.address if self._store is not None else None
            return _breakers.again, (self.name, self._settings, self._save(), self._policy, address)
        settings = (self.failure_threshold, self.recovery_timeout, self.success_threshold)
        return type(self), settings, self._save()

    def __setstate__(self, saved: str) -> None:
        self._restore(saved)


class RetryStrategy(Strategy):
    """Calls functions, and retries them as the policy decides. Delays are seconds.

    One strategy serves any number of threads and tasks at once. It is iterable: `for attempt in strategy:` loops over
    the attempts of one operation, each of which is `with attempt: ...`; so does `async for`.
    """

    # The slot that decides; the built-in policy where it is `None`.
    _policy: PolicySlot | None = None
    _more: Mapping[str, Any] = {}

    def __init__(
        self,
        max_retries: int = 3,
        base_delay: float = 1.0,
        max_delay: float = 60.0,
        backoff_factor: float = 2.0,
        jitter: bool = True,
        use_circuit_breaker: bool = True,
    ) -> None:
        self._config = RetryConfig(max_retries, base_delay, max_delay, backoff_factor, jitter)
        self._circuit_breaker = CircuitBreaker() if use_circuit_breaker else None
        self._apply()
        object.__setattr__(self._config, "_changed", WeakMethod(self._apply))

    @classmethod
    def _of(
        cls, *, breaker: CircuitBreaker | None, policy: PolicySlot | None, more: dict[str, Any], **settings: Any
    ) -> RetryStrategy:
        """A strategy with this breaker and slot, and with settings that only guards have."""
        strategy = cls(use_circuit_breaker=False, **settings)
        strategy._policy, strategy._more = policy, more
        strategy.circuit_breaker = breaker
        return strategy

    def _options(self) -> dict[str, Any]:
        """Its settings as the options of a guard."""
        config, more = self._config, {name: value for name, value in self._more.items() if name != "name"}
        return {
            "max_retries": config.max_retries,
            "base_delay": config.base_delay,
            "max_delay": config.max_delay,
            "backoff_factor": config.backoff_factor,
            "jitter": config.jitter,
            "breaker": self._circuit_breaker,
            "policy": self._policy,
            **more,
        }

    def _apply(self) -> None:
        config = self._config
        more: dict[str, Any] = {"name": "operation", **self._more}
        self._configure(
            **more,
            max_retries=config.max_retries,
            base_delay=config.base_delay,
            max_delay=config.max_delay,
            backoff_factor=config.backoff_factor,
            jitter=config.jitter,
            jitter_range=config.jitter_range,
            breaker=self._circuit_breaker,
            policy=self._policy,
        )

    @property
    def config(self) -> RetryConfig:
        """Its settings. A change takes effect at the next call."""
        return self._config

    @config.setter
    def config(self, config: RetryConfig) -> None:
        before, self._config = self._config, config
        try:
            self._apply()
        except (TypeError, ValueError, OverflowError):
            self._config = before
            raise
        object.__setattr__(config, "_changed", WeakMethod(self._apply))

    @property
    def circuit_breaker(self) -> CircuitBreaker | None:
        """Its circuit breaker."""
        return self._circuit_breaker

    @circuit_breaker.setter
    def circuit_breaker(self, breaker: CircuitBreaker | None) -> None:
        self._circuit_breaker = breaker
        self._apply()

    def _calculate_delay(self, attempt: int) -> float:
        return self.delay(attempt)

    def execute_async(
        self,
        func: Callable[..., Awaitable[T]],
        *args: Any,
        fallback: Callable[..., Awaitable[T]] | None = None,
        **kwargs: Any,
    ) -> Awaitable[T]:
        """`execute` for a function that is awaited, and whose fallback is."""
        return _drive.execute_async(self, func, args, kwargs, fallback)

    def __reduce__(self) -> tuple[Any, ...]:
        config = copy.copy(self._config)
        config.__dict__.pop("_changed", None)
        return _strategy, (type(self), config, self._circuit_breaker, self._policy, dict(self._more))


def _strategy(
    kind: type[RetryStrategy],
    config: RetryConfig,
    breaker: CircuitBreaker | None,
    policy: PolicySlot | None,
    more: dict[str, Any],
) -> RetryStrategy:
    strategy = kind(use_circuit_breaker=False)
    strategy._policy, strategy._more = policy, more
    strategy.config = config
    strategy.circuit_breaker = breaker
    return strategy


class GracefulDegradation:
    """Names models in place of one that failed, keeps answers, and simplifies workflows."""

    def __init__(self, fallback_models: list[str] | None = None) -> None:
        self.fallback_chain = fallback_models or ["qwen3:8b", "gemma3:4b"]
        self.cache: MutableMapping[str, dict[str, Any]] = Timestamped("value")

    def get_fallback_model(self, failed_model: str) -> str | None:
        """The next model of the chain; its first for a model that is not in it; `None` after the last."""
        following = fallback_model(failed_model, self.fallback_chain)
        if following is None:
            logger.warning("No fallback models available")
        else:
            logger.info("Falling back from %s to %s", failed_model, following)
        return following

    def cache_response(self, key: str, value: Any) -> None:
        """Keeps an answer."""
        self.cache[key] = {"value": value, "timestamp": time.time()}

    def get_cached_response(self, key: str, max_age: float = 3600.0) -> Any | None:
        """An answer of at most `max_age` seconds; `None` where there is none. An older one is forgotten."""
        kept = self.cache.get(key)
        if kept is None:
            return None
        if time.time() - kept["timestamp"] > max_age:
            self.cache.pop(key, None)
            return None
        return kept["value"]

    def clear_cache(self) -> None:
        """Forgets all answers."""
        self.cache.clear()
        logger.info("Cleared response cache")

    def simplify_workflow(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """A copy of a workflow's settings with fewer iterations and tools, and a lower temperature."""
        simplified = simplify(workflow)
        logger.info("Simplified workflow for degraded mode")
        return simplified


class HealthCheck:
    """Looks whether Ollama, its models and this machine's resources are well. `timeout` is in seconds."""

    def __init__(self, ollama_base_url: str = "http://localhost:11434", timeout: int = 5) -> None:
        self.ollama_base_url = ollama_base_url.rstrip("/")
        self.timeout = timeout

    def _models(self) -> list[str]:
        data = _health.get_json(f"{self.ollama_base_url}/api/tags", self.timeout)
        return [model.get("name", "") for model in data.get("models", [])]

    def check_ollama(self) -> HealthStatus:
        """Health of the Ollama server."""
        details: HealthDetails = {"url": self.ollama_base_url}
        try:
            self._models()
        except Exception as error:
            details["error"] = _log.text(error)
            meaning = classify(error)
            connects = meaning.category != "connection"
            message = (
                f"Ollama health check failed: {_log.text(error)}" if connects else "Cannot connect to Ollama server"
            )
            return HealthStatus("ollama", False, message, details)
        return HealthStatus("ollama", True, "Ollama server is running", details)

    def check_model_available(self, model: str) -> HealthStatus:
        """Whether the server has a model. Names compare as Ollama compares them."""
        component, details = f"model:{model}", HealthDetails(model=model)
        try:
            models = self._models()
        except Exception as error:
            details["error"] = _log.text(error)
            return HealthStatus(component, False, f"Failed to check model: {_log.text(error)}", details)
        if _health.has_model(models, model):
            return HealthStatus(component, True, f"Model {model} is available", details)
        details["available_models"] = models
        return HealthStatus(component, False, f"Model {model} not found", details)

    def check_system_resources(self) -> HealthStatus:
        """Free memory, disk and processor time of this machine, as floats."""
        component = "system_resources"
        try:
            details, issues = _health.resources()
        except Exception as error:
            message = f"Failed to check system resources: {_log.text(error)}"
            return HealthStatus(component, False, message, {"error": _log.text(error)})
        return HealthStatus(component, not issues, "; ".join(issues) or "System resources healthy", dict(details))

    def check_all(self, models: list[str] | None = None) -> dict[str, HealthStatus]:
        """All checks, by component."""
        checks = [self.check_ollama(), *map(self.check_model_available, models or []), self.check_system_resources()]
        results = {status.component: status for status in checks}
        healthy = sum(status.healthy for status in checks)
        logger.info("Health check complete: %d/%d components healthy", healthy, len(results))
        return results


class RecoveryManager:
    """Ties retries, classification, degradation, health checks and checkpoints together."""

    def __init__(self, retry_strategy: RetryStrategy | None = None, fallback_models: list[str] | None = None) -> None:
        self.retry_strategy = retry_strategy or RetryStrategy()
        self.classifier = ErrorClassifier()
        self.degradation = GracefulDegradation(fallback_models)
        self.health_check = HealthCheck()
        self.checkpoints: MutableMapping[str, dict[str, Any]] = Timestamped("state")

    def execute_with_recovery(
        self,
        func: Callable[..., T],
        *args: Any,
        fallback: Callable[..., T] | None = None,
        checkpoint_key: str | None = None,
        **kwargs: Any,
    ) -> T:
        """Calls a function with retries. Its arguments are kept under `checkpoint_key` before.

        Raises the function's own last exception, after the classifier has recorded it.
        """
        if checkpoint_key:
            self.save_checkpoint(checkpoint_key, {"args": args, "kwargs": kwargs})
        try:
            result: T = self.retry_strategy._observed(self._failed, func, args, kwargs, fallback)
            return result
        except Exception as error:
            info = self.classifier._info(error, {"function": _log.name_of(func)})
            failure = failure_of(error)
            if failure is None or not failure.attempts:
                # No attempt was made, so none has told of it.
                self.classifier._record(info)
            logger.error("Execution failed with %s error: %s", info.category.value, _log.text(error))
            if info.category is ErrorCategory.RESOURCE:
                health = self.health_check.check_system_resources()
                if not health.healthy:
                    logger.warning("System health issues: %s", health.message)
            raise

    def _failed(self, error: Exception, func: Callable[..., Any]) -> None:
        self.classifier.classify(error, {"function": _log.name_of(func)})

    def save_checkpoint(self, key: str, state: Any) -> None:
        """Keeps a state."""
        self.checkpoints[key] = {"state": state, "timestamp": time.time()}

    def restore_checkpoint(self, key: str) -> Any | None:
        """The state that was kept; `None` where there is none."""
        kept = self.checkpoints.get(key)
        if kept is None:
            logger.warning("Checkpoint not found")
            return None
        return kept["state"]

    def clear_checkpoints(self) -> None:
        """Forgets all states."""
        self.checkpoints.clear()
        logger.info("Cleared all checkpoints")

    def get_system_health(self, models: list[str] | None = None) -> dict[str, HealthStatus]:
        """All health checks, by component."""
        return self.health_check.check_all(models)

    def shutdown_gracefully(self) -> None:
        """Forgets answers, checkpoints and failures, and closes the breaker."""
        logger.info("Initiating graceful shutdown")
        self.degradation.clear_cache()
        self.clear_checkpoints()
        self.classifier.clear_history()
        if self.retry_strategy.circuit_breaker:
            self.retry_strategy.circuit_breaker.reset()
        logger.info("Graceful shutdown complete")


def with_retry(
    max_retries: int = 3, backoff_factor: float = 2.0, fallback: Callable[..., Any] | None = None
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates a function, also an `async def`: its calls are retried, by one strategy for all of them."""
    from upright._guard import guard

    def decorate(func: Callable[..., T]) -> Callable[..., T]:
        strategy = RetryStrategy(max_retries=max_retries, backoff_factor=backoff_factor)
        guarded: Callable[..., T] = guard(strategy=strategy, fallback=fallback)(func)
        return guarded

    return decorate


def with_circuit_breaker(
    failure_threshold: int = 5, recovery_timeout: float = 60.0
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates functions, also `async def`: one breaker guards all that one use of this factory decorates."""
    breaker = CircuitBreaker(failure_threshold, recovery_timeout)

    def decorate(func: Callable[..., T]) -> Callable[..., T]:
        @wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> T:
            result: T = breaker.call(func, *args, **kwargs)
            return result

        return wrapper

    return decorate
