"""The default policy in Python, with decisions equal to the bit.

Policies in Python take these functions and change what they want. Decisions are pure: nothing is kept between calls;
time and randomness are arguments. The classifier's rules (`rules.json`) come from the default policy's table.
"""

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

from wit_world.exports import backoff, breaker, degradation, health, metadata, recovery, settings, types
from wit_world.exports.breaker import (
    Admission_All, Admission_NoneUntil, Admission_Probes, BreakerConfig, BreakerState, Event_Elapsed, Event_Failure, Event_Ignored,
    Event_Success, Observation, Phase, Transition,
)
from wit_world.exports.degradation import (
    WorkflowChange_Drop, WorkflowChange_Set, WorkflowChange_Truncate, WorkflowEdit, WorkflowValue_Items, WorkflowValue_Number,
)
from wit_world.exports.recovery import (
    Directive_AskAgain, Directive_EnlargeWindow, Directive_GiveUp, Directive_RetryAfter, Directive_ServeCached, Directive_Simplify, Directive_SwitchModel,
    Directive_UseFallback, ExchangeVerdict, MemoryOwner, Reason, Verdict, WindowFacts,
)
from wit_world.exports.types import Classification, ErrorCategory, ErrorSeverity, FaultKind, SuggestedAction

from power import power

LARGEST = float.fromhex("0x1.fffffffffffffp+1023")
U32, U64 = 2**32 - 1, 2**64 - 1
# White space in Rust.
WHITE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


# Identity.

def describe() -> metadata.Description:
    return metadata.Description(name="upright-default-python", version="0.1.0", state_layout=2)


# Settings: max_retries, base_delay, max_delay, attempt_timeout.

PROFILES = {
    settings.Profile.STANDARD: (3, 1.0, 60.0, None),
    settings.Profile.QUICK: (3, 0.5, 5.0, 10.0),
    settings.Profile.SLOW: (3, 2.0, 60.0, 600.0),
    settings.Profile.VERY_SLOW: (5, 5.0, 300.0, None),
    settings.Profile.NETWORK: (4, 1.0, 30.0, 30.0),
    settings.Profile.LOCAL: (2, 0.1, 2.0, 10.0),
    settings.Profile.DATABASE: (3, 0.2, 5.0, 30.0),
    settings.Profile.EXTERNAL_API: (5, 2.0, 120.0, 120.0),
}


def recommend(profile: settings.Profile) -> settings.Recommendation:
    max_retries, base_delay, max_delay, attempt_timeout = PROFILES[profile]
    retry = backoff.RetryConfig(max_retries, base_delay, max_delay, 2.0, True, backoff.JitterRange(0.8, 1.2), False)
    return settings.Recommendation(retry, BreakerConfig(5, 60.0, 2, 1, 600.0, 0.5, 20, None, 1.0), attempt_timeout, None)


# Delays.

def sane(value: float) -> float:
    """A finite, non-negative number; NaN becomes 0."""
    return min(value, LARGEST) if value > 0.0 else 0.0


def delay(config: backoff.RetryConfig, attempt: int, random: float) -> float:
    longest = sane(config.max_delay)
    plain = min(sane(sane(config.base_delay) * power(sane(config.backoff_factor), float(attempt))), longest)
    if not config.jitter:
        return plain
    low, high = sane(config.jitter_range.low), sane(config.jitter_range.high)
    jittered = sane(plain * (low + (high - low) * min(sane(random), 1.0)))
    return jittered if config.jitter_may_exceed_max else min(jittered, longest)


def as_asked(asked: float, random: float) -> float:
    """The delay for a `Retry-After`, up to a quarter longer, at least 50 ms, so that clients return apart."""
    asked = sane(asked)
    return sane(asked + max(asked / 4.0, 0.05) * min(sane(random), 1.0))


# The circuit breaker. Its memory is a window: start, last failure, calls, failures, slow calls.

WINDOW = struct.Struct("<QQIII")


def nanoseconds(span: float) -> int:
    scaled = sane(span) * 1e9
    return max(int(scaled) if scaled < 2.0**64 else U64, 1)


def admission(config: BreakerConfig, state: BreakerState) -> breaker.Admission:
    if state.phase == Phase.CLOSED:
        return Admission_All()
    if state.phase == Phase.OPEN:
        return Admission_NoneUntil(min(state.since + nanoseconds(config.recovery_timeout), U64))
    return Admission_Probes(max(config.half_open_permits, 1))


def enter(phase: Phase, state: BreakerState, now: int) -> BreakerState:
    return BreakerState(phase, 0, 0, now, (state.generation + 1) & U64, b"")


def initial(now: int) -> Transition:
    return Transition(BreakerState(Phase.CLOSED, 0, 0, now, 0, b""), Admission_All())


def step(config: BreakerConfig, state: BreakerState, observation: Observation) -> Transition:
    after = next_state(config, state, observation)
    return Transition(after, admission(config, after))


def next_state(config: BreakerConfig, state: BreakerState, observation: Observation) -> BreakerState:
    event, now, successes = observation.event, observation.now, observation.successes
    slow = is_slow(config, observation.took)
    if isinstance(event, Event_Elapsed):
        waited = state.phase == Phase.OPEN and now >= min(state.since + nanoseconds(config.recovery_timeout), U64)
        return enter(Phase.HALF_OPEN, state, now) if waited else state
    if event.value != state.generation:
        return state
    if state.phase == Phase.HALF_OPEN:
        if isinstance(event, Event_Failure):
            return enter(Phase.OPEN, state, now)
        if isinstance(event, Event_Success):
            # Closed, the breaker would admit equally slow calls.
            if slow and 0.0 < config.slow_call_rate_threshold <= 1.0:
                return enter(Phase.OPEN, state, now)
            passed = min(state.half_open_successes + 1, U32)
            if passed >= max(config.success_threshold, 1):
                return enter(Phase.CLOSED, state, now)
            return replace(state, half_open_successes=passed)
    if state.phase == Phase.CLOSED:
        if isinstance(event, Event_Failure):
            return count(config, state, now, successes, (True, slow))
        if isinstance(event, Event_Success):
            return count(config, state, now, successes, (False, True)) if slow else count(config, state, now, min(successes + 1, U64), None)
        if successes > 0:
            return count(config, state, now, successes, None)
    return state


def is_slow(config: BreakerConfig, took: float) -> bool:
    duration = config.slow_call_duration
    return duration is not None and duration > 0.0 and took >= duration


def count(config: BreakerConfig, state: BreakerState, now: int, successes: int, last: tuple[bool, bool] | None) -> BreakerState:
    """Counts successes, then the failed or slow call `last`, if any."""
    length = nanoseconds(config.failure_window)
    memory = bytes(state.memory)
    empty = (state.since, state.since, 0, 0, 0)
    began, last_failure, calls, failures, slow = WINDOW.unpack(memory) if len(memory) == WINDOW.size else empty
    consecutive = state.consecutive_failures
    if successes > 0 or now - last_failure > length:
        consecutive = 0
    if now - began > length:
        began, calls, failures, slow = now, 0, 0, 0
    calls = min(calls + min(successes, U32), U32)
    if last is not None:
        failed, was_slow = last
        calls, failures, slow = min(calls + 1, U32), min(failures + failed, U32), min(slow + was_slow, U32)
        consecutive = min(consecutive + 1, U32) if failed else 0
        last_failure = now if failed else last_failure
        too_many = failed and consecutive >= max(config.failure_threshold, 1)
        shares = ((failures, config.failure_rate_threshold), (slow, config.slow_call_rate_threshold))
        too_large = any(threshold > 0.0 and part / calls >= threshold for part, threshold in shares)
        if too_many or (calls >= max(config.minimum_calls, 1) and too_large):
            return enter(Phase.OPEN, state, now)
    return replace(state, consecutive_failures=consecutive, memory=WINDOW.pack(began, last_failure, calls, failures, slow))


# The classifier.

MESSAGE_LIMIT = 8192
TOKEN_LIMIT = 256
GAP_LIMIT = 256
SPACE = frozenset(b" \t\n\x0c\r")
WORD = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_")
NO_WORD = frozenset(range(256)) - WORD
DIGITS = frozenset(b"0123456789")
ERROR_STATUS = re.compile("[+]?0*([0-9]{3})")
SPEAKING = (FaultKind.OTHER, FaultKind.HTTP_STATUS, FaultKind.STREAM_ERROR, FaultKind.INVALID_ANSWER)


def skip(text: bytes, at: int, those: frozenset) -> int:
    while at < len(text) and text[at] in those:
        at += 1
    return at


class Phrase:
    """A phrase, divided after its first word."""

    def __init__(self, text: bytes) -> None:
        self.begins_message = text.startswith(b"^")
        text = text.removeprefix(b"^")
        length = skip(text, 0, WORD)
        self.word, self.rest = text[:length], text[length:]


class Rule:
    """A rule, matched if all conditions hold; None and an empty set always hold."""

    def __init__(self, data: dict) -> None:
        meaning = data["meaning"]
        self.kinds = {FaultKind[kind.upper()] for kind in data["kinds"]} if data["kinds"] is not None else None
        self.endpoints = {types.Endpoint[endpoint.upper()] for endpoint in data["endpoints"]} if data["endpoints"] is not None else None
        self.statuses, self.blank, self.points = data["statuses"], data["blank"], data["points"]
        self.phrases, self.also, self.unless = (
            {Phrase(phrase.encode()) for phrase in data[role] or ()} for role in ("phrases", "also", "unless")
        )
        self.meaning = Classification(
            ErrorCategory[meaning["category"].upper()], ErrorSeverity[meaning["severity"].upper()], meaning["retryable"],
            meaning["retry_limit"], meaning["counted"], meaning["model_specific"], meaning["host_specific"],
            SuggestedAction[meaning["action"].upper()], data["name"],
        )


TABLE = json.loads(Path(__file__).with_name("rules.json").read_text(encoding="utf-8"))
RULES = [Rule(rule) for rule in TABLE["rules"]]
UNKNOWN = Rule(TABLE["unknown"])
ERRNO_KINDS = {int(errno): FaultKind[kind.upper()] for errno, kind in TABLE["errno_kinds"].items()}
STATUS_WORDS = {word.encode() for word in TABLE["status_words"]}
STATUS_REASONS = [(status, reason.encode()) for status, reason in TABLE["status_reasons"]]
# Phrases by first word; open ones (`timeout*`) by first letter.
PHRASES: dict[bytes | int, list[Phrase]] = {}
for _rule in RULES:
    for _phrase in _rule.phrases | _rule.also | _rule.unless:
        PHRASES.setdefault(_phrase.word[0] if _phrase.rest.startswith(b"*") else _phrase.word, []).append(_phrase)


def skip_token(text: bytes, at: int) -> int:
    """The end of the token at `at`: its closing quote or the next white space."""
    rest = text[at : at + TOKEN_LIMIT]
    if rest and rest[0] in b"\"'`":
        closing = rest.find(rest[0], 1)
        if closing >= 0:
            return at + closing + 1
    return at + next((length for length, byte in enumerate(rest) if byte in SPACE), len(rest))


def matches(phrase: bytes, text: bytes, at: int) -> bool:
    """Whether the rest of a phrase matches at `at` and ends at a word's end."""
    for index, letter in enumerate(phrase):
        if letter == ord("*"):
            return True
        if letter == ord("$"):
            return skip(text, at, NO_WORD) == len(text)
        if phrase.startswith(b" .. ", index):
            return matches_further(phrase[index + 4 :], text, at)
        if letter == ord(" "):
            start, at = at, skip(text, at, SPACE)
            if at == start:
                return False
        elif letter == ord("{"):
            rest = phrase[index + 3 :]
            return matches(rest, text, at) or matches(rest, text, skip(text, skip_token(text, at), SPACE))
        elif at < len(text) and text[at] == letter:
            at += 1
        else:
            return False
    return at >= len(text) or text[at] not in WORD


def matches_further(phrase: bytes, text: bytes, start: int) -> bool:
    """Whether the rest of a phrase follows later in the line."""
    line = text[start : start + GAP_LIMIT].split(b"\n", 1)[0]
    words = (at for at in range(max(start, 1), start + len(line)) if text[at] in WORD and text[at - 1] not in WORD)
    return any(matches(phrase, text, at) for at in words)


def stands_as_status(text: bytes, at: int) -> int | None:
    """The error status at `at`, next to a word or reason."""
    digits, after = text[at : at + 3], text[at + 3 :]
    if len(digits) < 3 or not all(byte in DIGITS for byte in digits):
        return None
    goes_on = after[:1] and (after[0] in WORD or after[0] == ord("%"))
    goes_on = goes_on or (len(after) > 1 and after[0] in b".:/-," and after[1] in WORD)
    number = int(digits)
    if goes_on or not 400 <= number <= 599:
        return None
    return number if said_before(text[:at]) or said_after(number, after) else None


def said_before(before: bytes) -> bool:
    end = len(before)
    while end and (before[end - 1] in SPACE or before[end - 1] in b":=(\"'["):
        end -= 1
    if not 1 <= len(before) - end <= 4:
        return False
    version = end
    while version and (before[version - 1] in DIGITS or before[version - 1] == ord(".")):
        version -= 1
    if version < end and before[version - 1 : version] == b"/":
        end = version - 1
    start = end
    while start and before[start - 1] in WORD:
        start -= 1
    return before[start:end] in STATUS_WORDS


def said_after(number: int, after: bytes) -> bool:
    skipped = 0
    while skipped < len(after) and (after[skipped] in SPACE or after[skipped] in b":-)"):
        skipped += 1
    return skipped > 0 and any(status == number and after[skipped:].startswith(reason) for status, reason in STATUS_REASONS)


class Said:
    """Phrases found in texts, and a status."""

    def __init__(self) -> None:
        self.phrases: set[Phrase] = set()
        self.status: int | None = None

    def read(self, message: str) -> None:
        # Only ASCII letters change.
        text = message.encode().lower()
        if len(text) <= MESSAGE_LIMIT:
            self.scan(text)
        else:
            self.scan(text[: MESSAGE_LIMIT // 4 * 3])
            self.scan(text[len(text) - MESSAGE_LIMIT // 4 :])

    def scan(self, text: bytes) -> None:
        start = skip(text, 0, NO_WORD)
        first = start
        while start < len(text):
            end = skip(text, start, WORD)
            word = text[start:end]
            if word[0] in DIGITS and self.status is None:
                self.status = stands_as_status(text, start)
            for phrase in (*PHRASES.get(word, ()), *PHRASES.get(word[0], ())):
                stands = start == first or not phrase.begins_message
                if stands and word.startswith(phrase.word) and matches(phrase.rest, text, end):
                    self.phrases.add(phrase)
            start = skip(text, end, NO_WORD)


def error_status(label: str | None) -> int | None:
    """The status, if the label is nothing else."""
    number = ERROR_STATUS.fullmatch(label or "")
    return int(number[1]) if number and 300 <= int(number[1]) <= 599 else None


def classify(fault: types.Fault) -> Classification:
    kind = fault.kind
    if kind == FaultKind.OTHER and fault.errno is not None:
        kind = ERRNO_KINDS.get(fault.errno, kind)
    said = Said()
    # Other kinds are facts by themselves.
    if kind in SPEAKING:
        said.read(fault.message)
    status = fault.status if fault.status is not None else said.status if kind == FaultKind.OTHER else None
    if fault.labels is not None:
        for label in (fault.labels.error_type, fault.labels.error_code):
            if label is not None:
                said.read(label)
        # In a stream under 200, only the code tells a status.
        code = error_status(fault.labels.error_code)
        status = code if code is not None and (status is None or status < 300) else status
    is_blank = len(fault.message.encode()) <= MESSAGE_LIMIT and not fault.message.strip(WHITE)
    for rule in RULES:
        fits = (
            (rule.kinds is None or kind in rule.kinds)
            and (not rule.phrases or rule.phrases & said.phrases)
            and (not rule.also or rule.also & said.phrases)
            and not rule.unless & said.phrases
            and (rule.statuses is None or (status is not None and any(low <= status <= high for low, high in rule.statuses)))
            and (rule.endpoints is None or fault.endpoint in rule.endpoints)
            and (not rule.points or fault.points_to is not None)
            and (not rule.blank or is_blank)
        )
        if fits:
            return obey(rule.meaning, fault.should_retry)
    return obey(UNKNOWN.meaning, fault.should_retry)


def obey(meaning: Classification, should_retry: bool | None) -> Classification:
    """Applies `x-should-retry`, as the server vendor's own clients do."""
    if should_retry is False:
        return replace(meaning, retryable=False, retry_limit=None)
    if should_retry is None or meaning.action == SuggestedAction.NOTHING:
        return replace(meaning)
    category = ErrorCategory.TRANSIENT if meaning.category == ErrorCategory.PERMANENT else meaning.category
    return replace(meaning, category=category, retryable=True, retry_limit=meaning.retry_limit or None)


# Degradation.

LIGHTER = {"max_iterations": ("at most", 3.0), "tools": ("first items", 3), "temperature": ("at most", 0.3)} | {
    key: ("dropped", None) for key in ("top_k", "top_p", "min_p", "typical_p", "tfs_z", "mirostat", "mirostat_eta", "mirostat_tau")
}


def model_name(text: str) -> tuple:
    """A model name as Ollama reads it: `[[host/]namespace/]name[:tag]`."""
    text = text.strip(WHITE)
    if "://" in text:
        text = text.split("://", 1)[1]
    path, tag = text, ""
    colon = text.rfind(":")
    # A colon before the last slash belongs to a port.
    if colon >= 0 and "/" not in text[colon:]:
        path, tag = text[:colon], text[colon + 1 :]
    rest, _, name = path.rpartition("/")
    host, _, namespace = rest.rpartition("/")
    parts = (host or "registry.ollama.ai", namespace or "library", name, tag or "latest")
    return tuple(part.encode().lower() for part in parts)


def next_model(current: str, chain: list[str], fits=lambda index: True) -> int | None:
    names, wanted = [model_name(name) for name in chain], model_name(current)
    start = names.index(wanted) + 1 if wanted in names else 0
    return next((index for index in range(start, len(names)) if names.index(names[index]) == index and fits(index)), None)


def lighter(entry: degradation.WorkflowEntry) -> degradation.WorkflowChange | None:
    rule, limit = LIGHTER.get(entry.key, ("", None))
    value = entry.value
    if rule == "at most" and isinstance(value, WorkflowValue_Number) and value.value > limit:
        return WorkflowChange_Set(limit)
    if rule == "first items" and isinstance(value, WorkflowValue_Items) and value.value > limit:
        return WorkflowChange_Truncate(limit)
    if rule == "dropped" and isinstance(value, WorkflowValue_Number):
        return WorkflowChange_Drop()
    return None


def simplify_workflow(workflow: list) -> list:
    changes = ((index, lighter(entry)) for index, entry in enumerate(workflow))
    return [WorkflowEdit(index, change) for index, change in changes if change is not None]


def may_serve_cached(age: float, max_age: float, failure: Classification) -> bool:
    hides_a_mistake = failure.action in (SuggestedAction.FIX_INPUT, SuggestedAction.NOTHING)
    return 0.0 <= age <= max_age and not hides_a_mistake


# Health.

def used_percent(total: int, available: int) -> float | None:
    return float(max(total - available, 0)) / float(total) * 100.0 if total > 0 else None


def judge(snapshot: health.ResourceSnapshot, thresholds: health.ResourceThresholds) -> health.Judgement:
    level, name = health.FindingLevel, health.ResourceName
    cpu = snapshot.cpu_percent if snapshot.cpu_percent is not None and abs(snapshot.cpu_percent) <= LARGEST else None
    enough_disk = snapshot.disk_available_bytes >= thresholds.disk_free_bytes
    memory = used_percent(snapshot.memory_total_bytes, snapshot.memory_available_bytes)
    disk = used_percent(snapshot.disk_total_bytes, snapshot.disk_available_bytes)
    readings = [
        (name.MEMORY, memory, thresholds.memory_percent, level.UNHEALTHY),
        (name.DISK, disk, thresholds.disk_percent, level.FINE if enough_disk else level.UNHEALTHY),
        (name.CPU, cpu, thresholds.cpu_percent, level.WARNING),
    ]
    findings = [
        health.Finding(which, level.UNREAD if percent is None else above if percent > limit else level.FINE, 0.0 if percent is None else percent)
        for which, percent, limit, above in readings
    ]
    return health.Judgement(all(finding.level != level.UNHEALTHY for finding in findings), findings)


# The next step.

NOTHING_WAS_DONE = (
    FaultKind.CONNECTION_REFUSED, FaultKind.DNS, FaultKind.UNREACHABLE, FaultKind.TLS, FaultKind.CIRCUIT_OPEN, FaultKind.BULKHEAD_FULL,
)


def nothing_was_done(failure: types.Fault) -> bool:
    """Whether the call was refused or never arrived: repeating it is safe."""
    if failure.kind == FaultKind.HTTP_STATUS:
        # 408 and 499 come after the server began.
        return failure.status is not None and (400 <= failure.status <= 407 or 409 <= failure.status <= 498)
    return failure.kind in NOTHING_WAS_DONE


def decide(incident: recovery.Incident) -> Verdict:
    classification, after = classify(incident.failure), None
    if incident.guard is not None:
        guard = incident.guard
        event = Event_Failure(guard.generation) if classification.counted else Event_Ignored(guard.generation)
        after = step(guard.config, guard.state, Observation(event, incident.now, guard.successes, guard.took))
    is_open = after is not None and after.state.phase == Phase.OPEN
    wait, reason = same_call_again(incident, classification, is_open)
    if reason != Reason.RETRYABLE and is_too_small(incident, classification):
        directive, reason = too_small(incident, classification, reason, is_open)
    elif reason != Reason.RETRYABLE:
        directive = instead(incident, classification, reason)
    else:
        # Nothing has to recover from unusable output, so there is no delay.
        directive = Directive_AskAgain() if is_output(classification) else Directive_RetryAfter(wait)
    return Verdict(classification, after, directive, reason, None)


def is_output(classification: Classification) -> bool:
    """Whether only the model's output is at fault."""
    return classification.action == SuggestedAction.RESAMPLE and not classification.counted


def would_be_the_same(incident: recovery.Incident) -> bool:
    """Whether fixed sampling or an exhausted length would fail again."""
    known = incident.circumstances
    if known is None:
        return False
    fixed = known.request is not None and (known.request.seed_fixed or known.request.temperature == 0.0)
    return fixed or (known.exchange is not None and known.exchange.verdict == ExchangeVerdict.USED_UP_LENGTH)


# The window in tokens: preferred and minimum answer, smallest and largest request, step. `MARGIN` is the memory of a
# token relative to its cache.
ROOM, LEAST_ROOM, SMALLEST, LARGEST_WINDOW, STEP, MARGIN = 1024, 256, 2048, 1 << 20, 256, 1.375


def known_window(incident: recovery.Incident) -> WindowFacts | None:
    return None if incident.circumstances is None else incident.circumstances.window


def is_too_small(incident: recovery.Incident, classification: Classification) -> bool:
    """Whether the prompt did not fit a known window."""
    return classification.action == SuggestedAction.SHORTEN_PROMPT and known_window(incident) is not None


def may_be_undone(incident: recovery.Incident, classification: Classification) -> bool:
    """Whether the host chose the window by itself."""
    window = known_window(incident)
    unasked = window is not None and not window.fixed and window.asked is not None and window.needed is None
    return classification.category == ErrorCategory.RESOURCE and unasked


def too_small(
    incident: recovery.Incident, classification: Classification, reason: Reason, is_open: bool
) -> tuple[recovery.Directive, Reason]:
    """A larger window, or a substitute."""
    repeatable = incident.idempotent or nothing_was_done(incident.failure)
    tokens = enlarged(incident) if repeatable and not is_open else None
    if reason in (Reason.MODEL_UNSUITABLE, Reason.NOT_RETRYABLE):
        reason = Reason.WINDOW_TOO_SMALL
    return (instead(incident, classification, reason) if tokens is None else Directive_EnlargeWindow(tokens)), reason


def before(window: WindowFacts) -> int:
    return max(window.asked or 0, window.loaded or 0)


def answer(window: WindowFacts, unless_said: int) -> int:
    """The length of the answer."""
    return unless_said if window.answer_length is None else window.answer_length


def least_window(window: WindowFacts) -> int:
    """The smallest sufficient window; an estimate only proves the last one too small."""
    if window.needed is None or window.estimated:
        return before(window) + 1
    return window.needed + min(answer(window, LEAST_ROOM), LEAST_ROOM)


def enlarged(incident: recovery.Incident) -> int | None:
    """The window to ask for, doubled until prompt and answer fit."""
    window = known_window(incident)
    if window is None or window.fixed or not in_time(incident, window):
        return None
    last, least = before(window), least_window(window)
    limit = min((size for size in (window.model_limit, window.caller_limit) if size is not None), default=LARGEST_WINDOW)
    # A server that gave less has no more. Without counts, only the model's limit ends the search.
    gave_less = window.loaded is not None and window.asked is not None and window.loaded < window.asked
    endless = window.model_limit is None and (window.estimated or window.needed is None)
    if limit <= last or limit < least or gave_less or endless:
        return None
    wanted = last if window.needed is None else window.needed + answer(window, ROOM)
    tokens = max(last, SMALLEST)
    while tokens <= last or tokens < wanted:
        tokens *= 2
    tokens = min(tokens, limit)
    most = affordable(window)
    if most is not None and most < tokens:
        tokens = most // STEP * STEP
    return tokens if last < tokens <= U32 and tokens >= least else None


def affordable(window: WindowFacts) -> int | None:
    """The largest window that fits the memory; None if unknown."""
    each, left = window.bytes_per_token, window.memory_available
    if each is None or not each > 0.0 or left is None or window.memory != MemoryOwner.THIS_MACHINE:
        return None
    return before(window) + int(min(float(left) / (each * MARGIN), float(LARGEST_WINDOW)))


def in_time(incident: recovery.Incident, window: WindowFacts) -> bool:
    """Whether loading and reading end before the deadline."""
    if incident.deadline is None:
        return True
    speed = window.reading_speed
    known = window.needed is not None and speed is not None and speed > 0.0
    takes = sane(window.load_time or 0.0) + (float(window.needed) / speed if known else 0.0)
    return incident.elapsed + takes < incident.deadline


def next_that_fits(incident: recovery.Incident, classification: Classification, models: recovery.ModelChoice) -> int | None:
    """The next model with a large enough or unknown window; a loaded one if there is no time to load."""
    window, index = known_window(incident), None
    # A count holds after any failure, an estimate only after a refused prompt.
    counted = window is not None and window.needed is not None and not window.estimated
    if window is None or not (counted or is_too_small(incident, classification)):
        return next_model(models.current, models.chain)
    least = least_window(window)
    if window.fixed and window.asked is not None and window.asked < least:
        return None

    def facts(index: int) -> recovery.ModelFacts | None:
        return models.known[index] if models.known is not None and index < len(models.known) else None

    def is_loaded(index: int) -> bool:
        model = facts(index)
        return model is not None and model.loaded_window is not None and model.loaded_window >= least

    def fits(index: int) -> bool:
        model = facts(index)
        return model is None or model.window is None or model.window >= least

    if not in_time(incident, window):
        index = next_model(models.current, models.chain, is_loaded)
    return next_model(models.current, models.chain, fits) if index is None else index


def same_call_again(incident: recovery.Incident, classification: Classification, is_open: bool) -> tuple[float, Reason]:
    """The delay before the same call, or the reason against it."""
    # Without the host's own window, the call needs less.
    undone = may_be_undone(incident, classification)
    allowed = incident.retry.max_retries
    limit = allowed if undone or classification.retry_limit is None else min(classification.retry_limit, allowed)
    if classification.action == SuggestedAction.NOTHING:
        return 0.0, Reason.CANCELLED
    if incident.failure.kind == FaultKind.CIRCUIT_OPEN:
        return 0.0, Reason.CIRCUIT_OPEN
    if not undone and (not classification.retryable or classification.retry_limit == 0):
        return 0.0, Reason.MODEL_UNSUITABLE if classification.model_specific else Reason.NOT_RETRYABLE
    if not incident.idempotent and not nothing_was_done(incident.failure):
        return 0.0, Reason.NOT_IDEMPOTENT
    if is_output(classification) and would_be_the_same(incident):
        return 0.0, Reason.ANSWER_UNUSABLE
    if is_open:
        return 0.0, Reason.CIRCUIT_OPEN
    if incident.attempt >= limit:
        return 0.0, Reason.ATTEMPTS_EXHAUSTED
    if incident.retry_budget == 0:
        return 0.0, Reason.BUDGET_EXHAUSTED
    # The same model will not find more memory.
    left = incident.resources
    in_use = None if left is None else used_percent(left.memory_total_bytes, left.memory_available_bytes)
    if classification.category == ErrorCategory.RESOURCE and in_use is not None and in_use > 90.0 and not undone:
        return 0.0, Reason.MODEL_UNSUITABLE
    asked = sane(incident.failure.retry_after or 0.0)
    if asked > incident.retry.max_delay:
        return 0.0, Reason.RETRY_AFTER_TOO_LONG
    wait = as_asked(asked, incident.random) if asked > 0.0 else delay(incident.retry, incident.attempt, incident.random)
    wait = 0.0 if is_output(classification) else wait
    if incident.deadline is not None and incident.elapsed + wait >= incident.deadline:
        return 0.0, Reason.DEADLINE_EXCEEDED
    return wait, Reason.RETRYABLE


def instead(incident: recovery.Incident, classification: Classification, reason: Reason) -> recovery.Directive:
    """The best substitute for the same call."""
    category, at_hand = classification.category, incident.at_hand
    time_left = incident.deadline is None or incident.elapsed < incident.deadline
    repeatable = incident.idempotent or nothing_was_done(incident.failure)
    another_call = reason != Reason.CANCELLED and time_left and repeatable
    other_helps = category in (ErrorCategory.TRANSIENT, ErrorCategory.TIMEOUT, ErrorCategory.RESOURCE)
    lighter_helps = category in (ErrorCategory.TIMEOUT, ErrorCategory.RESOURCE) or classification.action == SuggestedAction.SHORTEN_PROMPT
    if another_call and (classification.model_specific or other_helps) and incident.models is not None:
        index = next_that_fits(incident, classification, incident.models)
        if index is not None:
            return Directive_SwitchModel(index)
    if another_call and lighter_helps and at_hand.can_simplify:
        return Directive_Simplify()
    if at_hand.cached is not None and may_serve_cached(at_hand.cached.age, at_hand.cached.max_age, classification):
        return Directive_ServeCached()
    if at_hand.fallback and reason != Reason.CANCELLED:
        return Directive_UseFallback()
    return Directive_GiveUp()
