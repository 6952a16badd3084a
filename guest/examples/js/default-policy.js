// The default policy in JavaScript, with decisions equal to the bit.
//
// Policies in JavaScript take these functions and change what they want. Decisions are pure: nothing is kept between
// calls; time and randomness are arguments. The classifier's rules (`rules.js`) come from the default policy's table.
//
// Spellings are those of componentize-js: camelCase, enums as kebab-case strings, 64-bit numbers as BigInt, a case of a
// variant as { tag, val }, an absent option as undefined.

import { power } from './power.js';
import TABLE from './rules.js';

const U32 = 0xffffffff;
const U64 = 0xffffffffffffffffn;

const least = (one, other) => (one < other ? one : other);
const most = (one, other) => (one > other ? one : other);

// Identity.

export function describe() {
  return { name: 'upright-default-js', version: '0.1.0', stateLayout: 2 };
}

// Settings: maxRetries, baseDelay, maxDelay, attemptTimeout.

const PROFILES = {
  standard: [3, 1, 60, undefined],
  quick: [3, 0.5, 5, 10],
  slow: [3, 2, 60, 600],
  'very-slow': [5, 5, 300, undefined],
  network: [4, 1, 30, 30],
  local: [2, 0.1, 2, 10],
  database: [3, 0.2, 5, 30],
  'external-api': [5, 2, 120, 120],
};

export function recommend(profile) {
  const [maxRetries, baseDelay, maxDelay, attemptTimeout] = PROFILES[profile];
  const jitterRange = { low: 0.8, high: 1.2 };
  return {
    retry: { maxRetries, baseDelay, maxDelay, backoffFactor: 2, jitter: true, jitterRange, jitterMayExceedMax: false },
    breaker: {
      failureThreshold: 5, recoveryTimeout: 60, successThreshold: 2, halfOpenPermits: 1, failureWindow: 600, failureRateThreshold: 0.5,
      minimumCalls: 20, slowCallDuration: undefined, slowCallRateThreshold: 1,
    },
    attemptTimeout,
    totalDeadline: undefined,
  };
}

// Delays.

/** A finite, non-negative number; NaN becomes 0. */
function sane(value) {
  return value > 0 ? Math.min(value, Number.MAX_VALUE) : 0;
}

export function delay(config, attempt, random) {
  const longest = sane(config.maxDelay);
  const plain = Math.min(sane(sane(config.baseDelay) * power(sane(config.backoffFactor), attempt)), longest);
  if (!config.jitter) return plain;
  const [low, high] = [sane(config.jitterRange.low), sane(config.jitterRange.high)];
  const jittered = sane(plain * (low + (high - low) * Math.min(sane(random), 1)));
  return config.jitterMayExceedMax ? jittered : Math.min(jittered, longest);
}

/** The delay for a `Retry-After`, up to a quarter longer, at least 50 ms, so that clients return apart. */
function asAsked(seconds, random) {
  const asked = sane(seconds);
  return sane(asked + Math.max(asked / 4, 0.05) * Math.min(sane(random), 1));
}

// The circuit breaker. Its memory is a window: start, last failure, calls, failures, slow calls.

const WINDOW_BYTES = 28;

function nanoseconds(span) {
  const scaled = sane(span) * 1e9;
  return scaled < 2 ** 64 ? most(BigInt(Math.trunc(scaled)), 1n) : U64;
}

function admission(config, state) {
  if (state.phase === 'closed') return { tag: 'all' };
  if (state.phase === 'open') return { tag: 'none-until', val: least(state.since + nanoseconds(config.recoveryTimeout), U64) };
  return { tag: 'probes', val: Math.max(config.halfOpenPermits, 1) };
}

function entered(phase, now, generation) {
  return { phase, consecutiveFailures: 0, halfOpenSuccesses: 0, since: now, generation, memory: new Uint8Array() };
}

function enter(phase, state, now) {
  return entered(phase, now, (state.generation + 1n) & U64);
}

export function initial(now) {
  return { state: entered('closed', now, 0n), admission: { tag: 'all' } };
}

export function step(config, state, observation) {
  const after = nextState(config, state, observation);
  return { state: after, admission: admission(config, after) };
}

function isSlow({ slowCallDuration }, took) {
  return slowCallDuration !== undefined && slowCallDuration > 0 && took >= slowCallDuration;
}

function nextState(config, state, { event, now, successes, took }) {
  const slow = isSlow(config, took);
  if (event.tag === 'elapsed') {
    const waited = state.phase === 'open' && now >= least(state.since + nanoseconds(config.recoveryTimeout), U64);
    return waited ? enter('half-open', state, now) : state;
  }
  if (event.val !== state.generation) return state;
  if (state.phase === 'half-open') {
    if (event.tag === 'failure') return enter('open', state, now);
    if (event.tag === 'success') {
      // Closed, the breaker would admit equally slow calls.
      if (slow && config.slowCallRateThreshold > 0 && config.slowCallRateThreshold <= 1) return enter('open', state, now);
      const passed = Math.min(state.halfOpenSuccesses + 1, U32);
      return passed >= Math.max(config.successThreshold, 1) ? enter('closed', state, now) : { ...state, halfOpenSuccesses: passed };
    }
  }
  if (state.phase === 'closed') {
    if (event.tag === 'failure') return count(config, state, now, successes, { failed: true, slow });
    if (event.tag === 'success' && slow) return count(config, state, now, successes, { failed: false, slow });
    if (event.tag === 'success') return count(config, state, now, least(successes + 1n, U64));
    if (successes > 0n) return count(config, state, now, successes);
  }
  return state;
}

function readWindow(state) {
  if (state.memory.length !== WINDOW_BYTES) return { began: state.since, lastFailure: state.since, calls: 0, failures: 0, slow: 0 };
  const view = new DataView(Uint8Array.from(state.memory).buffer);
  return {
    began: view.getBigUint64(0, true), lastFailure: view.getBigUint64(8, true), calls: view.getUint32(16, true),
    failures: view.getUint32(20, true), slow: view.getUint32(24, true),
  };
}

function writeWindow({ began, lastFailure, calls, failures, slow }) {
  const view = new DataView(new ArrayBuffer(WINDOW_BYTES));
  view.setBigUint64(0, began, true);
  view.setBigUint64(8, lastFailure, true);
  view.setUint32(16, calls, true);
  view.setUint32(20, failures, true);
  view.setUint32(24, slow, true);
  return new Uint8Array(view.buffer);
}

/** Counts successes, then the failed or slow call `last`, if any. */
function count(config, state, now, successes, last) {
  const length = nanoseconds(config.failureWindow);
  let window = readWindow(state);
  let consecutive = state.consecutiveFailures;
  if (successes > 0n || now - window.lastFailure > length) consecutive = 0;
  if (now - window.began > length) window = { ...window, began: now, calls: 0, failures: 0, slow: 0 };
  window.calls = Math.min(window.calls + Number(least(successes, BigInt(U32))), U32);
  if (last) {
    window.calls = Math.min(window.calls + 1, U32);
    window.failures = Math.min(window.failures + Number(last.failed), U32);
    window.slow = Math.min(window.slow + Number(last.slow), U32);
    consecutive = last.failed ? Math.min(consecutive + 1, U32) : 0;
    if (last.failed) window.lastFailure = now;
    const tooMany = last.failed && consecutive >= Math.max(config.failureThreshold, 1);
    const reaches = (part, threshold) => threshold > 0 && part / window.calls >= threshold;
    const tooLarge = reaches(window.failures, config.failureRateThreshold) || reaches(window.slow, config.slowCallRateThreshold);
    if (tooMany || (window.calls >= Math.max(config.minimumCalls, 1) && tooLarge)) return enter('open', state, now);
  }
  return { ...state, consecutiveFailures: consecutive, memory: writeWindow(window) };
}

// The classifier.

const MESSAGE_LIMIT = 8192;
const TOKEN_LIMIT = 256;
const GAP_LIMIT = 256;
const SPACE = new Set(' \t\n\f\r');
const WORD = new Set('abcdefghijklmnopqrstuvwxyz0123456789_');
const WORDS = /[a-z0-9_]+/g;
const DIGITS = new Set('0123456789');
const NONE = [];
const SPEAKING = new Set(['other', 'http-status', 'stream-error', 'invalid-answer']);
// White space in Rust; JavaScript's has one more and one fewer.
const BLANK = /^[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$/;
const EDGES = /^[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;

const kebab = (name) => name.replaceAll('_', '-');

/** Phrases, divided after their first words; each knows its list. */
function readPhrases(phrases) {
  const list = [];
  for (const phrase of phrases ?? NONE) {
    const [, caret, word, rest] = phrase.match(/^(\^?)([a-z0-9_]+)(.*)$/s);
    list.push({ list, beginsMessage: caret !== '', word, rest: lowered(new TextEncoder().encode(rest)) });
  }
  return list;
}

function readRule({ name, kinds, statuses, endpoints, blank, points, phrases, also, unless, meaning }) {
  return {
    kinds: kinds && new Set(kinds.map(kebab)),
    endpoints: endpoints && new Set(endpoints.map(kebab)),
    statuses,
    blank,
    points,
    phrases: readPhrases(phrases),
    also: readPhrases(also),
    unless: readPhrases(unless),
    meaning: {
      category: kebab(meaning.category),
      severity: kebab(meaning.severity),
      retryable: meaning.retryable,
      retryLimit: meaning.retry_limit ?? undefined,
      counted: meaning.counted,
      modelSpecific: meaning.model_specific,
      hostSpecific: meaning.host_specific,
      action: kebab(meaning.action),
      rule: name,
    },
  };
}

const RULES = TABLE.rules.map(readRule);
const UNKNOWN = readRule(TABLE.unknown);
const STATUS_WORDS = new Set(TABLE.status_words);
// Phrases by first word; open ones (`timeout*`) by first letter.
const BY_WORD = new Map();
const BY_LETTER = new Map();
for (const phrase of RULES.flatMap(({ phrases, also, unless }) => [...phrases, ...also, ...unless])) {
  const [map, key] = phrase.rest.startsWith('*') ? [BY_LETTER, phrase.word[0]] : [BY_WORD, phrase.word];
  map.set(key, [...(map.get(key) ?? NONE), phrase]);
}

/** The bytes of the text that are read, one character each, in lower case: of long texts the start and the end. */
function lookedAt(message) {
  const bytes = new TextEncoder().encode(message);
  if (bytes.length <= MESSAGE_LIMIT) return [lowered(bytes)];
  return [lowered(bytes.subarray(0, (MESSAGE_LIMIT / 4) * 3)), lowered(bytes.subarray(bytes.length - MESSAGE_LIMIT / 4))];
}

function lowered(bytes) {
  return lowerAscii(String.fromCharCode.apply(null, bytes));
}

function lowerAscii(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function skip(text, at, those) {
  while (at < text.length && those.has(text[at])) at += 1;
  return at;
}

/** The end of the token at `at`: its closing quote or the next white space. */
function skipToken(text, at) {
  const rest = text.slice(at, at + TOKEN_LIMIT);
  if (rest !== '' && '"\'`'.includes(rest[0])) {
    const closing = rest.indexOf(rest[0], 1);
    if (closing >= 0) return at + closing + 1;
  }
  const length = rest.search(/[ \t\n\f\r]/);
  return at + (length < 0 ? rest.length : length);
}

/** Whether the rest of a phrase matches at `at` and ends at a word's end. */
function matches(phrase, text, at) {
  for (let index = 0; index < phrase.length; index += 1) {
    const letter = phrase[index];
    if (letter === '*') return true;
    if (letter === '$') return !/[a-z0-9_]/.test(text.slice(at));
    if (phrase.startsWith(' .. ', index)) return matchesFurther(phrase.slice(index + 4), text, at);
    if (letter === ' ') {
      const start = at;
      at = skip(text, at, SPACE);
      if (at === start) return false;
    } else if (letter === '{') {
      const rest = phrase.slice(index + 3);
      return matches(rest, text, at) || matches(rest, text, skip(text, skipToken(text, at), SPACE));
    } else if (text[at] === letter) {
      at += 1;
    } else {
      return false;
    }
  }
  return !WORD.has(text[at]);
}

/** Whether the rest of a phrase follows later in the line. */
function matchesFurther(phrase, text, start) {
  const [line] = text.slice(start, start + GAP_LIMIT).split('\n', 1);
  for (let at = Math.max(start, 1); at < start + line.length; at += 1) {
    if (WORD.has(text[at]) && !WORD.has(text[at - 1]) && matches(phrase, text, at)) return true;
  }
  return false;
}

/** The error status at `at`, next to a word or reason. */
function standsAsStatus(text, at) {
  const digits = text.slice(at, at + 3);
  if (!/^[45][0-9][0-9]$/.test(digits)) return undefined;
  const after = text.slice(at + 3);
  if (/^(?:[a-z0-9_%]|[.:/,-][a-z0-9_])/.test(after)) return undefined;
  const number = Number(digits);
  return saidBefore(text.slice(0, at)) || saidAfter(number, after) ? number : undefined;
}

function saidBefore(before) {
  let end = before.length;
  while (end > 0 && ' \t\n\f\r:=("\'['.includes(before[end - 1])) end -= 1;
  const separators = before.length - end;
  if (separators < 1 || separators > 4) return false;
  let version = end;
  while (version > 0 && (DIGITS.has(before[version - 1]) || before[version - 1] === '.')) version -= 1;
  if (version < end && before[version - 1] === '/') end = version - 1;
  let start = end;
  while (start > 0 && WORD.has(before[start - 1])) start -= 1;
  return STATUS_WORDS.has(before.slice(start, end));
}

function saidAfter(number, after) {
  const skipped = after.match(/^[ \t\n\f\r:)-]*/)[0].length;
  const rest = after.slice(skipped);
  return skipped > 0 && TABLE.status_reasons.some(([status, reason]) => status === number && rest.startsWith(reason));
}

function scan(text, said) {
  let first;
  // The engine's own code skips what is no word.
  for (let found; (found = WORDS.exec(text)) !== null; ) {
    const [word] = found;
    const end = WORDS.lastIndex;
    first ??= found.index;
    if (word[0] <= '9') said.status ??= standsAsStatus(text, found.index);
    for (const phrases of [BY_WORD.get(word), BY_LETTER.get(word[0])]) {
      for (const phrase of phrases ?? NONE) {
        const stands = found.index === first || !phrase.beginsMessage;
        if (stands && word.startsWith(phrase.word) && matches(phrase.rest, text, end)) said.lists.add(phrase.list);
      }
    }
  }
}

/** The status, if the label is nothing else. */
function errorStatus(label) {
  const [, digits] = label?.match(/^[+]?0*([345][0-9][0-9])$/) ?? NONE;
  return digits && Number(digits);
}

export function classify(fault) {
  let { kind, status } = fault;
  if (kind === 'other' && fault.errno !== undefined) kind = kebab(TABLE.errno_kinds[fault.errno] ?? kind);
  const texts = lookedAt(fault.message);
  /** Lists with a phrase found, and a status. */
  const said = { lists: new Set(), status: undefined };
  // Other kinds are facts by themselves.
  if (SPEAKING.has(kind)) for (const text of texts) scan(text, said);
  if (kind === 'other') status ??= said.status;
  for (const label of [fault.labels?.errorType, fault.labels?.errorCode]) {
    if (label !== undefined) for (const text of lookedAt(label)) scan(text, said);
  }
  // In a stream under 200, only the code tells a status.
  if (!(status >= 300)) status = errorStatus(fault.labels?.errorCode) ?? status;
  const isBlank = texts.length === 1 && BLANK.test(fault.message);
  const isMet = (phrases) => phrases.length === 0 || said.lists.has(phrases);
  const fits = (rule) =>
    (!rule.kinds || rule.kinds.has(kind)) &&
    isMet(rule.phrases) &&
    isMet(rule.also) &&
    !said.lists.has(rule.unless) &&
    (!rule.statuses || (status !== undefined && rule.statuses.some(([low, high]) => low <= status && status <= high))) &&
    (!rule.endpoints || rule.endpoints.has(fault.endpoint)) &&
    (!rule.points || fault.pointsTo !== undefined) &&
    (!rule.blank || isBlank);
  return obey((RULES.find(fits) ?? UNKNOWN).meaning, fault.shouldRetry);
}

/** Applies `x-should-retry`, as the server vendor's own clients do. */
function obey(meaning, shouldRetry) {
  if (shouldRetry === false) return { ...meaning, retryable: false, retryLimit: undefined };
  if (shouldRetry === undefined || meaning.action === 'nothing') return { ...meaning };
  const category = meaning.category === 'permanent' ? 'transient' : meaning.category;
  return { ...meaning, category, retryable: true, retryLimit: meaning.retryLimit || undefined };
}

// Degradation.

const LIGHTER = {
  max_iterations: ['number', 3],
  tools: ['items', 3],
  temperature: ['number', 0.3],
};
const DROPPED = new Set(['top_k', 'top_p', 'min_p', 'typical_p', 'tfs_z', 'mirostat', 'mirostat_eta', 'mirostat_tau']);

/** The text after the last `mark`, and the text before. */
function lastPart(text, mark) {
  const at = text.lastIndexOf(mark);
  return at < 0 ? ['', text] : [text.slice(0, at), text.slice(at + mark.length)];
}

/** A model name as Ollama reads it: `[[host/]namespace/]name[:tag]`. */
function modelName(text) {
  text = text.replace(EDGES, '');
  const scheme = text.indexOf('://');
  if (scheme >= 0) text = text.slice(scheme + 3);
  const colon = text.lastIndexOf(':');
  // A colon before the last slash belongs to a port.
  const tagged = colon >= 0 && !text.slice(colon).includes('/');
  const [path, tag] = tagged ? [text.slice(0, colon), text.slice(colon + 1)] : [text, ''];
  const [rest, name] = lastPart(path, '/');
  const [host, namespace] = lastPart(rest, '/');
  const parts = [host || 'registry.ollama.ai', namespace || 'library', name, tag || 'latest'];
  return JSON.stringify(parts.map(lowerAscii));
}

export function nextModel(current, chain, fits = () => true) {
  const names = chain.map(modelName);
  const start = names.indexOf(modelName(current)) + 1;
  const next = names.findIndex((name, index) => index >= start && names.indexOf(name) === index && fits(index));
  return next < 0 ? undefined : next;
}

function lighter({ key, value }) {
  if (DROPPED.has(key)) return value.tag === 'number' ? { tag: 'drop' } : undefined;
  if (!Object.hasOwn(LIGHTER, key)) return undefined;
  const [tag, limit] = LIGHTER[key];
  if (value.tag !== tag || !(value.val > limit)) return undefined;
  return { tag: tag === 'items' ? 'truncate' : 'set', val: limit };
}

export function simplifyWorkflow(workflow) {
  return workflow.map((entry, index) => ({ entry: index, change: lighter(entry) })).filter(({ change }) => change !== undefined);
}

export function mayServeCached(age, maxAge, failure) {
  const hidesAMistake = failure.action === 'fix-input' || failure.action === 'nothing';
  return age >= 0 && age <= maxAge && !hidesAMistake;
}

// Health.

function usedPercent(total, available) {
  return total > 0n ? (Number(most(total - available, 0n)) / Number(total)) * 100 : undefined;
}

export function judge(snapshot, thresholds) {
  const cpu = Number.isFinite(snapshot.cpuPercent) ? snapshot.cpuPercent : undefined;
  const enoughDisk = snapshot.diskAvailableBytes >= thresholds.diskFreeBytes;
  const memory = usedPercent(snapshot.memoryTotalBytes, snapshot.memoryAvailableBytes);
  const disk = usedPercent(snapshot.diskTotalBytes, snapshot.diskAvailableBytes);
  const readings = [
    ['memory', memory, thresholds.memoryPercent, 'unhealthy'],
    ['disk', disk, thresholds.diskPercent, enoughDisk ? 'fine' : 'unhealthy'],
    ['cpu', cpu, thresholds.cpuPercent, 'warning'],
  ];
  const level = (percent, limit, above) => (percent === undefined ? 'unread' : percent > limit ? above : 'fine');
  const findings = readings.map(([resource, percent, limit, above]) => {
    return { resource, level: level(percent, limit, above), percent: percent ?? 0 };
  });
  return { healthy: findings.every((finding) => finding.level !== 'unhealthy'), findings };
}

// The next step.

const NOTHING_WAS_DONE = new Set(['connection-refused', 'dns', 'unreachable', 'tls', 'circuit-open', 'bulkhead-full']);

/** Whether the call was refused or never arrived: repeating it is safe. */
function nothingWasDone({ kind, status }) {
  // 408 and 499 come after the server began.
  if (kind === 'http-status') return (status >= 400 && status <= 407) || (status >= 409 && status <= 498);
  return NOTHING_WAS_DONE.has(kind);
}

export function decide(incident) {
  const classification = classify(incident.failure);
  const { guard } = incident;
  let breaker;
  if (guard !== undefined) {
    const event = { tag: classification.counted ? 'failure' : 'ignored', val: guard.generation };
    breaker = step(guard.config, guard.state, { event, now: incident.now, successes: guard.successes, took: guard.took });
  }
  const isOpen = breaker?.state.phase === 'open';
  const [wait, reason] = sameCallAgain(incident, classification, isOpen);
  if (reason !== 'retryable' && isTooSmall(incident, classification)) {
    return { classification, breaker, ...tooSmall(incident, classification, reason, isOpen) };
  }
  // Nothing has to recover from unusable output, so there is no delay.
  const again = isOutput(classification) ? { tag: 'ask-again' } : { tag: 'retry-after', val: wait };
  const directive = reason === 'retryable' ? again : instead(incident, classification, reason);
  return { classification, breaker, directive, reason };
}

/** Whether only the model's output is at fault. */
function isOutput({ action, counted }) {
  return action === 'resample' && !counted;
}

/** Whether fixed sampling or an exhausted length would fail again. */
function wouldBeTheSame({ circumstances }) {
  const { request, exchange } = circumstances ?? {};
  return request?.seedFixed || request?.temperature === 0 || exchange?.verdict === 'used-up-length';
}

// The window in tokens: preferred and minimum answer, smallest and largest request, step. `MARGIN` is the memory of a
// token relative to its cache.
const [ROOM, LEAST_ROOM, SMALLEST, LARGEST, STEP, MARGIN] = [1024, 256, 2048, 1048576, 256, 1.375];

const knownWindow = ({ circumstances }) => circumstances?.window;

/** Whether the prompt did not fit a known window. */
function isTooSmall(incident, { action }) {
  return action === 'shorten-prompt' && knownWindow(incident) !== undefined;
}

/** Whether the host chose the window by itself. */
function mayBeUndone(incident, { category }) {
  const window = knownWindow(incident);
  return category === 'resource' && window !== undefined && !window.fixed && window.asked !== undefined && window.needed === undefined;
}

/** A larger window, or a substitute. */
function tooSmall(incident, classification, why, isOpen) {
  const repeatable = incident.idempotent || nothingWasDone(incident.failure);
  const tokens = repeatable && !isOpen ? enlarged(incident) : undefined;
  const reason = why === 'model-unsuitable' || why === 'not-retryable' ? 'window-too-small' : why;
  const directive = tokens === undefined ? instead(incident, classification, reason) : { tag: 'enlarge-window', val: tokens };
  return { directive, reason };
}

const before = (window) => Math.max(window.asked ?? 0, window.loaded ?? 0);
const answer = (window, unlessSaid) => window.answerLength ?? unlessSaid;

/** The smallest sufficient window; an estimate only proves the last one too small. */
function leastWindow(window) {
  return window.needed === undefined || window.estimated ? before(window) + 1 : window.needed + Math.min(answer(window, LEAST_ROOM), LEAST_ROOM);
}

/** The window to ask for, doubled until prompt and answer fit. */
function enlarged(incident) {
  const window = knownWindow(incident);
  if (window.fixed || !inTime(incident, window)) return undefined;
  const [last, needs] = [before(window), leastWindow(window)];
  const limits = [window.modelLimit, window.callerLimit].filter((limit) => limit !== undefined);
  const limit = limits.length > 0 ? Math.min(...limits) : LARGEST;
  // A server that gave less has no more. Without counts, only the model's limit ends the search.
  const gaveLess = window.loaded < window.asked;
  const endless = window.modelLimit === undefined && (window.estimated || window.needed === undefined);
  if (limit <= last || limit < needs || gaveLess || endless) return undefined;
  const wanted = window.needed === undefined ? last : window.needed + answer(window, ROOM);
  let tokens = Math.max(last, SMALLEST);
  while (tokens <= last || tokens < wanted) tokens *= 2;
  tokens = Math.min(tokens, limit);
  const largest = affordable(window);
  if (largest < tokens) tokens = Math.floor(largest / STEP) * STEP;
  return tokens > last && tokens >= needs && tokens <= U32 ? tokens : undefined;
}

/** The largest window that fits the memory; undefined if unknown. */
function affordable(window) {
  const { bytesPerToken, memoryAvailable, memory } = window;
  if (!(bytesPerToken > 0) || memoryAvailable === undefined || memory !== 'this-machine') return undefined;
  return before(window) + Math.floor(Math.min(Number(memoryAvailable) / (bytesPerToken * MARGIN), LARGEST));
}

/** Whether loading and reading end before the deadline. */
function inTime({ deadline, elapsed }, { needed, readingSpeed, loadTime }) {
  if (deadline === undefined) return true;
  const reading = needed !== undefined && readingSpeed > 0 ? needed / readingSpeed : 0;
  return elapsed + (sane(loadTime ?? 0) + reading) < deadline;
}

/** The next model with a large enough or unknown window; a loaded one if there is no time to load. */
function nextThatFits(incident, classification, { current, chain, known }) {
  const window = knownWindow(incident);
  // A count holds after any failure, an estimate only after a refused prompt.
  const counted = window?.needed !== undefined && !window.estimated;
  if (window === undefined || !(counted || isTooSmall(incident, classification))) return nextModel(current, chain);
  const needs = leastWindow(window);
  if (window.fixed && window.asked < needs) return undefined;
  const isLoaded = (index) => known?.[index]?.loadedWindow >= needs;
  const fits = (index) => (known?.[index]?.window ?? Infinity) >= needs;
  const hurried = inTime(incident, window) ? undefined : nextModel(current, chain, isLoaded);
  return hurried ?? nextModel(current, chain, fits);
}

/** The delay before the same call, or the reason against it. */
function sameCallAgain(incident, classification, isOpen) {
  const { failure, retry, resources } = incident;
  // Without the host's own window, the call needs less.
  const undone = mayBeUndone(incident, classification);
  const limit = Math.min(undone ? U32 : (classification.retryLimit ?? U32), retry.maxRetries);
  if (classification.action === 'nothing') return [0, 'cancelled'];
  if (failure.kind === 'circuit-open') return [0, 'circuit-open'];
  if (!undone && (!classification.retryable || classification.retryLimit === 0)) {
    return [0, classification.modelSpecific ? 'model-unsuitable' : 'not-retryable'];
  }
  if (!incident.idempotent && !nothingWasDone(failure)) return [0, 'not-idempotent'];
  if (isOutput(classification) && wouldBeTheSame(incident)) return [0, 'answer-unusable'];
  if (isOpen) return [0, 'circuit-open'];
  if (incident.attempt >= limit) return [0, 'attempts-exhausted'];
  if (incident.retryBudget === 0) return [0, 'budget-exhausted'];
  // The same model will not find more memory.
  const inUse = resources && usedPercent(resources.memoryTotalBytes, resources.memoryAvailableBytes);
  if (classification.category === 'resource' && inUse > 90 && !undone) return [0, 'model-unsuitable'];
  const asked = sane(failure.retryAfter ?? 0);
  if (asked > retry.maxDelay) return [0, 'retry-after-too-long'];
  const afterFailure = asked > 0 ? asAsked(asked, incident.random) : delay(retry, incident.attempt, incident.random);
  const wait = isOutput(classification) ? 0 : afterFailure;
  if (incident.deadline !== undefined && incident.elapsed + wait >= incident.deadline) return [0, 'deadline-exceeded'];
  return [wait, 'retryable'];
}

/** The best substitute for the same call. */
function instead(incident, classification, reason) {
  const { atHand, models, failure } = incident;
  const { category } = classification;
  const timeLeft = incident.deadline === undefined || incident.elapsed < incident.deadline;
  const anotherCall = reason !== 'cancelled' && timeLeft && (incident.idempotent || nothingWasDone(failure));
  const anotherModel = classification.modelSpecific || ['transient', 'timeout', 'resource'].includes(category);
  const lighterHelps = category === 'timeout' || category === 'resource' || classification.action === 'shorten-prompt';
  if (anotherCall && anotherModel && models !== undefined) {
    const index = nextThatFits(incident, classification, models);
    if (index !== undefined) return { tag: 'switch-model', val: index };
  }
  if (anotherCall && lighterHelps && atHand.canSimplify) return { tag: 'simplify' };
  if (atHand.cached && mayServeCached(atHand.cached.age, atHand.cached.maxAge, classification)) return { tag: 'serve-cached' };
  if (atHand.fallback && reason !== 'cancelled') return { tag: 'use-fallback' };
  return { tag: 'give-up' };
}
