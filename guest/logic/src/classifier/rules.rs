//! The rules, as data. Where two could match, the earlier one is the more specific.
//!
//! Sources: the specification's table; Ollama's texts of versions 0.5 to 0.33 and those of its cloud; the errno and status
//! registries. A phrase's syntax is described in [`super::text`].

use crate::types::{
    Endpoint,
    ErrorCategory::{self, Connection, Permanent, Resource, Timeout, Transient, Unknown},
    ErrorSeverity::{self, Critical, High, Low, Medium},
    FaultKind,
    SuggestedAction::{self, *},
};
use super::text::Found;
use core::ops::RangeInclusive;

/// How often the same call may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// It cannot help.
    Never,
    /// This often, where the caller allows as many.
    AtMost(u32),
    /// As often as the caller allows.
    Allowed,
}

/// What a rule asks of the message.
#[derive(Clone, Copy, Debug)]
pub enum Said {
    /// Nothing.
    Anything,
    /// That it is empty.
    Nothing,
    /// That one of these phrases stands in it.
    Any(&'static [&'static str]),
}

/// What a failure that a rule matches means.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// See [`crate::types::Classification`].
    pub category: ErrorCategory,
    /// How bad it is.
    pub severity: ErrorSeverity,
    /// How often trying again can help.
    pub retries: Retries,
    /// Whether a breaker counts it.
    pub counted: bool,
    /// Whether another model on the same host could do better.
    pub model_specific: bool,
    /// Whether another host could do better.
    pub host_specific: bool,
    /// What to do about it.
    pub action: SuggestedAction,
}

/// One rule: all its conditions hold, or it does not match. `None` asks nothing.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, kebab-case.
    pub name: &'static str,
    /// The kind is one of these.
    pub kinds: Option<&'static [FaultKind]>,
    /// The status is in one of these ranges.
    pub statuses: Option<&'static [RangeInclusive<u16>]>,
    /// The endpoint is one of these.
    pub endpoints: Option<&'static [Endpoint]>,
    /// Whether the server points its user somewhere: an address to sign in at, a redirect.
    pub points: bool,
    /// What the message, or a label of the error, says.
    pub said: Said,
    /// One of these phrases is said as well; empty asks nothing.
    pub also: &'static [&'static str],
    /// None of these phrases is said.
    pub unless: &'static [&'static str],
    /// What it means.
    pub meaning: Meaning,
}

impl Rule {
    /// Its phrases, and what each is to it.
    pub const fn phrases(&self, role: Role) -> &'static [&'static str] {
        match (role, self.said) {
            (Role::Said, Said::Any(phrases)) => phrases,
            (Role::Said, _) => &[],
            (Role::Also, _) => self.also,
            (Role::Unless, _) => self.unless,
        }
    }
}

/// What a phrase is to its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of [`Rule::said`].
    Said,
    /// One of [`Rule::also`].
    Also,
    /// One of [`Rule::unless`].
    Unless,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Said, Self::Also, Self::Unless];
}

/// A [`RuleSet`] is this many words of 64 rules.
const WORDS: usize = 3;
/// How many rules fit into a [`RuleSet`].
const MOST_RULES: usize = 64 * WORDS;

/// Some of the rules, by their indexes in [`RULES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSet([u64; WORDS]);

impl RuleSet {
    /// Adds a rule.
    pub const fn insert(&mut self, rule: usize) {
        self.0[rule / 64 % WORDS] |= 1 << (rule % 64);
    }

    /// Whether a rule is among them.
    pub const fn has(self, rule: usize) -> bool {
        rule < MOST_RULES && self.0[rule / 64] >> (rule % 64) & 1 == 1
    }

    /// Those of both.
    pub const fn with(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1], self.0[2] | other.0[2]])
    }

    /// Those that are in the other as well.
    pub const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1], self.0[2] & other.0[2]])
    }

    /// All rules that are not in this one.
    pub const fn others(self) -> Self {
        Self([!self.0[0], !self.0[1], !self.0[2]])
    }

    /// The indexes, most specific rule first.
    pub fn indexes(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let word = left.iter().position(|word| *word != 0)?;
            let bit = left[word].trailing_zeros() as usize;
            left[word] &= left[word] - 1;
            Some(word * 64 + bit)
        })
    }
}

/// The rules that have phrases of this role.
const fn with_phrases(role: Role) -> RuleSet {
    let mut set = RuleSet([0; WORDS]);
    let mut rule = 0;
    while rule < RULES.len() {
        if !RULES[rule].phrases(role).is_empty() {
            set.insert(rule);
        }
        rule += 1;
    }
    set
}

/// For each kind of failure, the rules that ask for it, or for no kind.
static FOR_KIND: [RuleSet; FaultKind::ALL.len()] = {
    assert!(RULES.len() <= MOST_RULES, "one bit a rule");
    let mut sets = [RuleSet([0; WORDS]); FaultKind::ALL.len()];
    let mut kind = 0;
    while kind < sets.len() {
        assert!(FaultKind::ALL[kind] as usize == kind, "kinds are numbered from 0");
        let mut rule = 0;
        while rule < RULES.len() {
            let asks_for_it = match RULES[rule].kinds {
                None => true,
                Some(kinds) => {
                    let (mut at, mut found) = (0, false);
                    while at < kinds.len() {
                        found |= kinds[at] as usize == kind;
                        at += 1;
                    }
                    found
                }
            };
            if asks_for_it {
                sets[kind].insert(rule);
            }
            rule += 1;
        }
        kind += 1;
    }
    sets
};

/// The rules that a failure of this kind can match in whose text that was found.
pub fn candidates(kind: FaultKind, found: &Found) -> RuleSet {
    FOR_KIND[kind as usize]
        .and(WITHOUT_SAID.with(found.said))
        .and(WITHOUT_ALSO.with(found.also))
        .and(found.unless.others())
}

/// The rules that match without a phrase.
const WITHOUT_SAID: RuleSet = with_phrases(Role::Said).others();
/// The rules that ask for no second phrase.
const WITHOUT_ALSO: RuleSet = with_phrases(Role::Also).others();

const fn rule(name: &'static str, meaning: Meaning) -> Rule {
    Rule {
        name,
        kinds: None,
        statuses: None,
        endpoints: None,
        points: false,
        said: Said::Anything,
        also: &[],
        unless: &[],
        meaning,
    }
}

impl Rule {
    const fn kinds(mut self, kinds: &'static [FaultKind]) -> Self {
        self.kinds = Some(kinds);
        self
    }
    const fn statuses(mut self, statuses: &'static [RangeInclusive<u16>]) -> Self {
        self.statuses = Some(statuses);
        self
    }
    const fn endpoints(mut self, endpoints: &'static [Endpoint]) -> Self {
        self.endpoints = Some(endpoints);
        self
    }
    const fn said(mut self, phrases: &'static [&'static str]) -> Self {
        self.said = Said::Any(phrases);
        self
    }
    const fn also(mut self, phrases: &'static [&'static str]) -> Self {
        self.also = phrases;
        self
    }
    const fn unless(mut self, phrases: &'static [&'static str]) -> Self {
        self.unless = phrases;
        self
    }
    const fn points(mut self) -> Self {
        self.points = true;
        self
    }
    const fn blank(mut self) -> Self {
        self.said = Said::Nothing;
        self
    }
}

/// A fault that speaks against the service and not against the caller or the model.
const fn service(category: ErrorCategory, severity: ErrorSeverity, retries: Retries, action: SuggestedAction) -> Meaning {
    Meaning { category, severity, retries, counted: true, model_specific: false, host_specific: true, action }
}

/// A fault of the caller's: repeating it cannot help and the service is not to blame.
const fn caller(severity: ErrorSeverity, action: SuggestedAction) -> Meaning {
    Meaning {
        category: Permanent,
        severity,
        retries: Retries::Never,
        counted: false,
        model_specific: false,
        host_specific: false,
        action,
    }
}

/// A fault of this model with this request: another model may do.
const fn model(severity: ErrorSeverity, action: SuggestedAction) -> Meaning {
    Meaning { model_specific: true, ..caller(severity, action) }
}

/// The same, where the service is to blame as well.
const fn service_model(category: ErrorCategory, severity: ErrorSeverity, retries: Retries, action: SuggestedAction) -> Meaning {
    Meaning { model_specific: true, ..service(category, severity, retries, action) }
}

impl Meaning {
    /// The same, where no breaker counts it.
    const fn uncounted(self) -> Self {
        Self { counted: false, ..self }
    }

    /// The same, where it passes by itself.
    const fn passing(self) -> Self {
        Self { category: Transient, retries: Retries::Allowed, ..self }
    }

    /// The same, where another host could do better.
    const fn here(self) -> Self {
        Self { host_specific: true, ..self }
    }

    /// The same, where no other host could do better.
    const fn anywhere(self) -> Self {
        Self { host_specific: false, ..self }
    }
}

/// The kinds under which a server speaks in its own words.
const SERVER_SPEAKS: &[FaultKind] = &[FaultKind::HttpStatus, FaultKind::StreamError];
/// The same, and where a client hands those words on without saying whose they are.
const SERVER_OR_TEXT: &[FaultKind] = &[FaultKind::HttpStatus, FaultKind::StreamError, FaultKind::Other];
/// The kind under which the text is all there is.
const ONLY_TEXT: &[FaultKind] = &[FaultKind::Other];
const OLLAMA: &[Endpoint] = &[
    Endpoint::Chat,
    Endpoint::Generate,
    Endpoint::Embed,
    Endpoint::Show,
    Endpoint::Tags,
    Endpoint::Ps,
    Endpoint::Pull,
    Endpoint::Version,
    Endpoint::Openai,
];
/// Texts of every allocator that Ollama's runners report: system, CUDA, HIP and Vulkan.
const MEMORY_TEXTS: &[&str] = &[
    "out of memory",
    "out-of-memory",
    "out of device memory",
    "outofmemory*",
    "memoryerror",
    "enomem",
    "cannot allocate memory",
    "cudamalloc failed",
    "hipmalloc failed",
    "failed to allocate",
    "allocation failed",
    "not enough memory",
    "insufficient memory",
    "vk_error_out_of_device_memory",
    "vk_error_out_of_host_memory",
    "erroroutofmemory",
    "erroroutofdevicememory",
    "signal: killed",
    "cudaerrormemoryallocation",
    "bad_alloc",
    "oom",
];

/// All rules, most specific first.
pub const RULES: &[Rule] = &[
    // Not failures of the service at all.
    rule("cancelled", caller(Low, Nothing)).kinds(&[FaultKind::Cancelled]),
    rule("request-cancelled", caller(Low, Nothing)).statuses(&[499..=499]),
    rule("circuit-open", service_model(Transient, Medium, Retries::Allowed, Wait).uncounted())
        .kinds(&[FaultKind::CircuitOpen]),
    rule("circuit-open-text", service_model(Transient, Medium, Retries::Allowed, Wait).uncounted())
        .kinds(ONLY_TEXT)
        .said(&["circuit breaker open", "circuit breaker is open", "circuit open"]),
    rule("bulkhead-full", service(Transient, Medium, Retries::Allowed, Wait).uncounted())
        .kinds(&[FaultKind::BulkheadFull]),
    rule("panicked", caller(High, LogAndContinue)).kinds(&[FaultKind::Panicked]),
    // A disk's quota, before the cloud's.
    rule("disk-full-text", service(Resource, High, Retries::Never, FreeDisk)).said(&[
        "no space left on device",
        "disk full",
        "disk is full",
        "disk quota exceeded",
        "enospc",
        "not enough space on the disk",
    ]),
    // The cloud behind Ollama. Its quota comes back after hours or days.
    rule("quota-exhausted", service_model(Transient, Medium, Retries::AtMost(0), UseFallback).anywhere()).said(&[
        "usage limit",
        "insufficient_quota",
        "exceeded your current quota",
        "quota exceeded",
    ]),
    rule("cloud-disabled", model(High, UseFallback).here()).said(&["ollama cloud is disabled"]),
    rule("overloaded", service(Transient, Medium, Retries::Allowed, Wait)).said(&[
        "server overloaded",
        "concurrent request slot",
        "overloaded_error",
        "currently overloaded",
    ]),
    // The model and the request do not suit each other. Several of these come as 500.
    rule("model-not-found", model(High, PullModel).here()).said(&[
        "model {} not found",
        "model {} does not exist",
        "model_not_found",
        "try pulling it first",
        "no such model",
        "pull model manifest",
    ]),
    rule("model-incompatible", model(High, RepullModel).here()).said(&[
        "no longer compatible",
        "may be incompatible with your version",
        "unknown model architecture",
        "unsupported model architecture",
    ]),
    rule("capability-missing", model(Low, UseCapableModel)).said(&[
        "does not support tools",
        "does not support vision",
        "does not support image*",
        "does not support thinking",
        "does not support embedding*",
        "does not support completion*",
        "does not support insert",
        "does not support chat",
        "does not support generate",
    ]),
    rule("context-overflow", model(Low, ShortenPrompt)).said(&[
        "longer than the context length",
        "exceeds the available context size",
        "exceed_context_size_error",
        "exceeds the context length",
        "exceeds maximum context length",
        "maximum context length",
        "context_length_exceeded",
        "exceeds the context window",
    ]),
    rule("invalid-option", caller(Low, FixInput)).said(&["option {} must be of type"]),
    rule("invalid-format", caller(Low, FixInput)).said(&["valid json schema object", "invalid format:"]).kinds(SERVER_OR_TEXT),
    rule("invalid-request", caller(Low, FixInput)).said(&[
        "model is required",
        "invalid model name",
        "missing request body",
        "invalid character {} looking for beginning of",
    ]),
    rule("invalid-tool-call", service_model(Transient, Low, Retries::AtMost(2), Resample).uncounted().anywhere())
        .said(&["invalid tool call arguments"]),
    // Memory. What a server's runner could not allocate, it may after evicting another model; what this program could not, it cannot.
    rule("model-too-large", Meaning { category: Resource, ..model(Critical, UseSmallerModel).here() }).said(&[
        "requires more system memory",
        "requires more gpu memory",
        "unable to load full model on gpu",
    ]),
    rule("server-out-of-memory", service_model(Resource, Critical, Retries::AtMost(1), UseSmallerModel))
        .kinds(SERVER_SPEAKS)
        .said(MEMORY_TEXTS),
    rule("server-out-of-memory-text", service_model(Resource, Critical, Retries::AtMost(1), UseSmallerModel))
        .kinds(ONLY_TEXT)
        .statuses(&[400..=599])
        .said(MEMORY_TEXTS),
    rule("out-of-memory", service_model(Resource, Critical, Retries::Never, UseSmallerModel).uncounted().anywhere())
        .kinds(&[FaultKind::OutOfMemory]),
    rule("disk-full", service(Resource, High, Retries::Never, FreeDisk).uncounted().anywhere()).kinds(&[FaultKind::DiskFull]),
    rule("too-many-open-files", service(Resource, High, Retries::AtMost(1), RaiseOpenFilesLimit).uncounted().anywhere())
        .kinds(&[FaultKind::TooManyOpenFiles]),
    rule("too-many-open-files-text", service(Resource, High, Retries::AtMost(1), RaiseOpenFilesLimit).uncounted())
        .said(&["too many open files", "emfile", "enfile"]),
    // The runner behind the server.
    rule("load-timed-out", service_model(Transient, Medium, Retries::AtMost(1), IncreaseTimeout)).said(&["timed out waiting for llama*"]),
    // It may say that it died of an "error loading model", so it comes before one that is loading.
    rule("runner-died", service_model(Transient, Medium, Retries::AtMost(1), Retry)).kinds(SERVER_OR_TEXT).said(&[
        "llama-server process has terminated",
        "llama runner process has terminated",
        "process no longer running",
        "model runner has unexpectedly stopped",
        "post predict",
    ]),
    rule("runner-loading", service(Transient, Medium, Retries::Allowed, Retry))
        .said(&["llm server loading model", "llm server not responding", "no slots available", "loading model"])
        .kinds(SERVER_SPEAKS),
    rule("runner-failed", service(Transient, Medium, Retries::Allowed, Retry))
        .kinds(SERVER_SPEAKS)
        .said(&["error was encountered while running the model", "unexpected eof"]),
    rule("embedding-runner-failed", service(Transient, Medium, Retries::Allowed, Retry)).said(&["do embedding request"]),
    rule("queue-full", service(Transient, Medium, Retries::Allowed, Wait)).said(&["server busy", "maximum pending requests exceeded"]),
    // What the operating system or the client library said.
    rule("dns", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::Dns]),
    rule("connection-refused", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::ConnectionRefused]),
    rule("connection-reset", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::ConnectionReset]),
    rule("unreachable", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::Unreachable]),
    rule("tls", service(Connection, High, Retries::Never, CheckService)).kinds(&[FaultKind::Tls]),
    rule("timeout", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).kinds(&[FaultKind::Timeout]),
    rule("permission-denied", caller(High, FixPermissions)).kinds(&[FaultKind::PermissionDenied]),
    rule("not-found", caller(Medium, FixInput)).kinds(&[FaultKind::NotFound]),
    rule("invalid-input", caller(Low, FixInput)).kinds(&[FaultKind::InvalidInput]),
    rule("incomplete-answer", service(Transient, Medium, Retries::Allowed, Resample)).kinds(&[FaultKind::IncompleteAnswer]),
    rule("empty-answer", service_model(Transient, Low, Retries::AtMost(2), Resample).uncounted().anywhere()).kinds(&[FaultKind::EmptyAnswer]),
    rule("cut-question", model(Low, RaiseWindow)).kinds(&[FaultKind::CutQuestion]),
    // A web page: something else answers at the address, and will again.
    rule("other-service", service(Permanent, High, Retries::Never, CheckService))
        .kinds(&[FaultKind::InvalidAnswer])
        .said(&["doctype html", "html"]),
    rule("invalid-answer", service(Transient, Medium, Retries::AtMost(1), CheckService)).kinds(&[FaultKind::InvalidAnswer]),
    rule("in-use", caller(Low, Wait).passing()).kinds(&[FaultKind::InUse]),
    rule("rejected-result", service(Transient, Low, Retries::Allowed, Resample)).kinds(&[FaultKind::RejectedResult]),
    // Statuses.
    rule("host-header-refused", caller(High, FixHostHeader).here()).statuses(&[403..=403]).endpoints(OLLAMA).blank(),
    rule("unauthorized", caller(High, SignIn)).statuses(&[401..=401, 407..=407, 511..=511]),
    rule("forbidden", caller(High, FixPermissions)).statuses(&[403..=403]),
    rule("request-timeout", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).statuses(&[408..=408]),
    rule("rate-limited", service(Transient, Medium, Retries::Allowed, Wait)).statuses(&[429..=429]),
    rule("overloaded-status", service(Transient, Medium, Retries::Allowed, Wait)).statuses(&[503..=503, 529..=529]),
    rule("too-early", service(Transient, Medium, Retries::Allowed, Retry)).statuses(&[421..=421, 425..=425]),
    rule("unknown-route", caller(Medium, UpgradeServer).here()).statuses(&[404..=405, 501..=501]).endpoints(OLLAMA),
    rule("http-not-found", caller(Medium, FixInput)).statuses(&[404..=405, 410..=410]),
    rule("not-implemented", caller(Medium, UpgradeServer).here()).statuses(&[501..=501, 505..=505]),
    rule("server-error", service(Transient, Medium, Retries::Allowed, Retry)).statuses(&[500..=599]),
    rule("invalid-request-status", caller(Low, FixInput)).statuses(&[400..=499]),
    // Only text is left.
    rule("server-error-in-stream", service(Transient, Medium, Retries::Allowed, Retry)).kinds(SERVER_SPEAKS),
    rule("out-of-memory-text", service_model(Resource, Critical, Retries::Never, UseSmallerModel)).said(MEMORY_TEXTS),
    rule("rate-limited-text", service(Transient, Medium, Retries::Allowed, Wait)).said(&[
        "rate limit*",
        "rate-limit*",
        "ratelimit*",
        "rate_limit*",
        "too many requests",
        "throttl*",
    ]),
    rule("permission-denied-text", caller(High, FixPermissions)).said(&[
        "permission denied",
        "access denied",
        "access is denied",
        "operation not permitted",
        "read-only file system",
        "permissionerror",
        "eacces",
        "unauthorized",
    ]),
    rule("dns-text", service(Connection, High, Retries::Allowed, CheckService)).said(&[
        "name or service not known",
        "temporary failure in name resolution",
        "no address associated with hostname",
        "dns error",
        "no such host",
        "getaddrinfo*",
        "could not resolve host*",
        "failed to lookup address",
        "nodename nor servname",
        "enotfound",
    ]),
    rule("connection-text", service(Connection, High, Retries::Allowed, CheckService)).said(&[
        "connection refused",
        "connection reset*",
        "connection aborted",
        "connection closed",
        "connection error*",
        "connection failed",
        "connection was forcibly closed",
        "connection timed out while connecting",
        "broken pipe",
        "no route to host",
        "network is unreachable",
        "network unreachable",
        "host is down",
        "failed to connect",
        "could not connect",
        "cannot connect",
        "unable to connect",
        "econnrefused",
        "econnreset",
        "econnaborted",
        "epipe",
        "ehostunreach",
        "enetunreach",
        "connectionerror",
        "connectionrefusederror",
        "connectionreseterror",
        "socket hang up",
        "server disconnected",
        "error trying to connect",
        "error sending request",
    ]),
    // A "gateway timeout" is what a 504 is, so it comes before timeouts.
    rule("server-error-text", service(Transient, Medium, Retries::Allowed, Retry)).said(&[
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "service temporarily unavailable",
    ]),
    rule("timeout-text", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).said(&[
        "timed out",
        "timeout*",
        "time-out",
        "timeouterror",
        "timeoutexpired",
        "deadline exceeded",
        "deadline has elapsed",
        "etimedout",
        "readtimeout",
        "connecttimeout",
    ]),
    rule("invalid-input-text", caller(Low, FixInput)).said(&[
        "valueerror",
        "typeerror",
        "invalid input",
        "invalid argument*",
        "validation error*",
        "invalid value",
        "invalid type",
        "missing field",
        "expected value at line",
        "invalid json",
        "jsondecodeerror",
        "bad request",
    ]),
];

/// What no rule knows.
pub const UNKNOWN: Rule = rule("unknown", service(Unknown, Medium, Retries::Never, LogAndContinue).anywhere());
