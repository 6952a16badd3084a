//! The rules, most specific first.
//!
//! Sources: the specification's table; Ollama 0.5 to 0.33 and its cloud; the errno and status registries.
//! [`super::text`] describes the syntax of phrases.

use crate::types::{
    Endpoint,
    ErrorCategory::{self, Connection, Permanent, Resource, Timeout, Transient, Unknown},
    ErrorSeverity::{self, Critical, High, Low, Medium},
    FaultKind,
    SuggestedAction::{self, *},
};
use core::ops::RangeInclusive;

/// Number of useful retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// None.
    Never,
    /// At most this number.
    AtMost(u8),
    /// The caller's limit.
    Allowed,
}

/// Condition on the message.
#[derive(Clone, Copy, Debug)]
pub enum Said {
    /// No condition.
    Anything,
    /// Empty.
    Nothing,
    /// Has one of these phrases.
    Any(&'static [&'static str]),
}

/// Meaning of a matched failure.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// Category.
    pub category: ErrorCategory,
    /// Severity.
    pub severity: ErrorSeverity,
    /// Number of useful retries.
    pub retries: Retries,
    /// Whether a breaker counts it.
    pub counted: bool,
    /// Whether another model could succeed.
    pub model_specific: bool,
    /// Whether another host could succeed.
    pub host_specific: bool,
    /// Action that helps.
    pub action: SuggestedAction,
}

/// A rule, matched if all conditions hold; `None` always holds.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Name, kebab-case.
    pub name: &'static str,
    /// Kinds of failures.
    pub kinds: Option<&'static [FaultKind]>,
    /// Ranges of statuses.
    pub statuses: Option<&'static [RangeInclusive<u16>]>,
    /// Endpoints.
    pub endpoints: Option<&'static [Endpoint]>,
    /// Requires an address from the server.
    pub points: bool,
    /// Condition on the message or its labels.
    pub said: Said,
    /// Rule with the same phrases, stored once.
    pub same_words_as: Option<&'static str>,
    /// Phrases also required, one at least.
    pub also: &'static [&'static str],
    /// Forbidden phrases.
    pub unless: &'static [&'static str],
    /// Meaning.
    pub meaning: Meaning,
}

impl Rule {
    /// Returns the phrases in a role.
    pub const fn phrases(&self, role: Role) -> &'static [&'static str] {
        match (role, self.said) {
            (Role::Said, Said::Any(phrases)) if self.same_words_as.is_none() => phrases,
            (Role::Said, _) => &[],
            (Role::Also, _) => self.also,
            (Role::Unless, _) => self.unless,
        }
    }
}

/// Role of a phrase in its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// First condition.
    Said,
    /// Also required.
    Also,
    /// Forbidden.
    Unless,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Said, Self::Also, Self::Unless];
}

const WORDS: usize = 3;
const MOST_RULES: usize = 64 * WORDS;

/// A set of indexes in [`RULES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSet([u64; WORDS]);

impl RuleSet {
    /// Adds a rule.
    pub const fn insert(&mut self, rule: usize) {
        self.0[rule / 64 % WORDS] |= 1 << (rule % 64);
    }

    /// Whether it has a rule.
    pub const fn has(self, rule: usize) -> bool {
        rule < MOST_RULES && self.0[rule / 64] >> (rule % 64) & 1 == 1
    }

    /// Returns the union.
    pub const fn with(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1], self.0[2] | other.0[2]])
    }

    /// Returns the intersection.
    pub const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1], self.0[2] & other.0[2]])
    }

    /// Returns the indexes in order.
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

/// A rule without its phrases.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Name.
    pub name: &'static str,
    /// Requires an address from the server.
    pub points: bool,
    /// Requires an empty message.
    pub blank: bool,
    /// Phrases also required, from [`second`].
    pub also: u8,
    /// Forbidden phrases, from [`second`].
    pub unless: u8,
    /// Meaning.
    pub meaning: Meaning,
}

impl Conditions {
    const fn of(rule: &Rule) -> Self {
        let Rule { name, points, said, meaning, .. } = *rule;
        Self { name, points, blank: matches!(said, Said::Nothing), also: NO_PHRASE, unless: NO_PHRASE, meaning }
    }
}

/// Conditions of all rules.
pub static CONDITIONS: [Conditions; RULES.len()] = {
    let mut conditions = [Conditions::of(&UNKNOWN); RULES.len()];
    let mut rule = 0;
    while rule < RULES.len() {
        conditions[rule] =
            Conditions { also: second(rule, Role::Also), unless: second(rule, Role::Unless), ..Conditions::of(&RULES[rule]) };
        rule += 1;
    }
    conditions
};

/// Number for no phrases.
pub const NO_PHRASE: u8 = 31;

/// Returns the bit in [`super::text::Found::second`] for these phrases.
pub const fn second(rule: usize, role: Role) -> u8 {
    if RULES[rule].phrases(role).is_empty() {
        return NO_PHRASE;
    }
    let (mut before, mut bit) = (0, 0);
    while before < rule {
        bit += !RULES[before].also.is_empty() as u8 + !RULES[before].unless.is_empty() as u8;
        before += 1;
    }
    bit += (matches!(role, Role::Unless) && !RULES[rule].also.is_empty()) as u8;
    assert!(bit < NO_PHRASE, "one bit for the second phrases of a rule");
    bit
}

/// Rule for unknown failures.
pub static NOTHING_KNOWN: Conditions = Conditions::of(&UNKNOWN);

const WITHOUT_SAID: RuleSet = {
    let mut set = RuleSet([0; WORDS]);
    let mut rule = 0;
    while rule < RULES.len() {
        if !matches!(RULES[rule].said, Said::Any(_)) {
            set.insert(rule);
        }
        rule += 1;
    }
    set
};

const SHARING: usize = {
    let (mut count, mut rule) = (0, 0);
    while rule < RULES.len() {
        count += RULES[rule].same_words_as.is_some() as usize;
        rule += 1;
    }
    count
};

const SHARED: [(u8, u8); SHARING] = {
    let mut shared = [(0, 0); SHARING];
    let (mut next, mut rule) = (0, 0);
    while rule < RULES.len() {
        if let Some(name) = RULES[rule].same_words_as {
            shared[next] = (rule as u8, named(name) as u8);
            next += 1;
        }
        rule += 1;
    }
    shared
};

const LENDERS: RuleSet = {
    let mut set = RuleSet([0; WORDS]);
    let mut index = 0;
    while index < SHARING {
        set.insert(SHARED[index].1 as usize);
        index += 1;
    }
    set
};

const fn named(name: &str) -> usize {
    let mut rule = 0;
    while rule < RULES.len() {
        let (known, wanted) = (RULES[rule].name.as_bytes(), name.as_bytes());
        let mut letter = 0;
        while letter < known.len() && letter < wanted.len() && known[letter] == wanted[letter] {
            letter += 1;
        }
        if letter == known.len() && letter == wanted.len() {
            return rule;
        }
        rule += 1;
    }
    panic!("no rule of this name")
}

/// Rules by case of an enum.
macro_rules! rules_for {
    ($field:ident of $cases:ty) => {{
        assert!(RULES.len() <= MOST_RULES, "one bit a rule");
        let mut sets = [RuleSet([0; WORDS]); <$cases>::ALL.len()];
        let mut case = 0;
        while case < sets.len() {
            assert!(<$cases>::ALL[case] as usize == case, "cases are numbered from 0");
            let mut rule = 0;
            while rule < RULES.len() {
                let asks_for_it = match RULES[rule].$field {
                    None => true,
                    Some(asked) => {
                        let (mut at, mut found) = (0, false);
                        while at < asked.len() {
                            found |= asked[at] as usize == case;
                            at += 1;
                        }
                        found
                    }
                };
                if asks_for_it {
                    sets[case].insert(rule);
                }
                rule += 1;
            }
            case += 1;
        }
        sets
    }};
}

static FOR_KIND: [RuleSet; FaultKind::ALL.len()] = rules_for!(kinds of FaultKind);
static FOR_ENDPOINT: [RuleSet; Endpoint::ALL.len()] = rules_for!(endpoints of Endpoint);

const STATUSES: usize = 600;
const FIRST_STATUS: usize = 300;

/// Rules that allow a status; [`STATUSES`] means no status.
const fn for_status(status: usize) -> RuleSet {
    let mut set = RuleSet([0; WORDS]);
    let mut rule = 0;
    while rule < RULES.len() {
        let asks_for_it = match RULES[rule].statuses {
            None => true,
            Some(ranges) => {
                let (mut at, mut found) = (0, false);
                while at < ranges.len() {
                    assert!(*ranges[at].start() as usize >= FIRST_STATUS, "a rule asks for a status that says of a failure");
                    found |= *ranges[at].start() as usize <= status && status <= *ranges[at].end() as usize && status < STATUSES;
                    at += 1;
                }
                found
            }
        };
        if asks_for_it {
            set.insert(rule);
        }
        rule += 1;
    }
    set
}

const fn is_status_step(status: usize) -> bool {
    let mut rule = 0;
    while rule < RULES.len() {
        if let Some(ranges) = RULES[rule].statuses {
            let mut at = 0;
            while at < ranges.len() {
                if *ranges[at].start() as usize == status || *ranges[at].end() as usize + 1 == status {
                    return true;
                }
                at += 1;
            }
        }
        rule += 1;
    }
    false
}

const STEPS: [u8; STATUSES - FIRST_STATUS + 1] = {
    let mut steps = [0; STATUSES - FIRST_STATUS + 1];
    let mut at = 1;
    while at < steps.len() {
        steps[at] = steps[at - 1] + is_status_step(FIRST_STATUS + at) as u8;
        at += 1;
    }
    steps
};

static STATUS_STEP: [u8; STEPS.len()] = STEPS;

static FOR_STATUS: [RuleSet; STEPS[STEPS.len() - 1] as usize + 1] = {
    let mut sets = [RuleSet([0; WORDS]); STEPS[STEPS.len() - 1] as usize + 1];
    let mut at = 0;
    while at < STEPS.len() {
        sets[STEPS[at] as usize] = for_status(FIRST_STATUS + at);
        at += 1;
    }
    sets
};

/// Returns the rules that a failure may match.
pub fn candidates(kind: FaultKind, endpoint: Endpoint, status: Option<u16>, mut said: RuleSet) -> RuleSet {
    if said.and(LENDERS) != RuleSet::default() {
        for (rule, other) in SHARED {
            if said.has(other.into()) {
                said.insert(rule.into());
            }
        }
    }
    let status = status.map(usize::from).filter(|status| (FIRST_STATUS..STATUSES).contains(status)).unwrap_or(STATUSES) - FIRST_STATUS;
    let asked_for = FOR_KIND[kind as usize].and(FOR_ENDPOINT[endpoint as usize]).and(FOR_STATUS[usize::from(STATUS_STEP[status])]);
    asked_for.and(WITHOUT_SAID.with(said))
}

const fn rule(name: &'static str, meaning: Meaning) -> Rule {
    Rule {
        name,
        kinds: None,
        statuses: None,
        endpoints: None,
        points: false,
        said: Said::Anything,
        same_words_as: None,
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
    const fn same_words_as(mut self, rule: &'static str, phrases: &'static [&'static str]) -> Self {
        self.same_words_as = Some(rule);
        self.said(phrases)
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

const fn service(category: ErrorCategory, severity: ErrorSeverity, retries: Retries, action: SuggestedAction) -> Meaning {
    Meaning { category, severity, retries, counted: true, model_specific: false, host_specific: true, action }
}

const fn caller(severity: ErrorSeverity, action: SuggestedAction) -> Meaning {
    Meaning { category: Permanent, severity, retries: Retries::Never, counted: false, model_specific: false, host_specific: false, action }
}

const fn model(severity: ErrorSeverity, action: SuggestedAction) -> Meaning {
    Meaning { model_specific: true, ..caller(severity, action) }
}

const fn service_model(category: ErrorCategory, severity: ErrorSeverity, retries: Retries, action: SuggestedAction) -> Meaning {
    Meaning { model_specific: true, ..service(category, severity, retries, action) }
}

const fn output() -> Meaning {
    service_model(Transient, Low, Retries::AtMost(2), Resample).uncounted().anywhere()
}

impl Meaning {
    const fn uncounted(self) -> Self {
        Self { counted: false, ..self }
    }

    const fn passing(self) -> Self {
        Self { category: Transient, retries: Retries::Allowed, ..self }
    }

    const fn here(self) -> Self {
        Self { host_specific: true, ..self }
    }

    const fn anywhere(self) -> Self {
        Self { host_specific: false, ..self }
    }
}

const SERVER_SPEAKS: &[FaultKind] = &[FaultKind::HttpStatus, FaultKind::StreamError];
/// Also text that a client passed on.
const SERVER_OR_TEXT: &[FaultKind] = &[FaultKind::HttpStatus, FaultKind::StreamError, FaultKind::Other];
const ONLY_TEXT: &[FaultKind] = &[FaultKind::Other];
const SERVED: &[Endpoint] = &[
    Endpoint::Chat,
    Endpoint::Generate,
    Endpoint::Embed,
    Endpoint::Show,
    Endpoint::Tags,
    Endpoint::Ps,
    Endpoint::Pull,
    Endpoint::Version,
    Endpoint::Manage,
    Endpoint::Openai,
];
const GENERATION: &[Endpoint] = &[Endpoint::Chat, Endpoint::Generate, Endpoint::Openai];
/// Allocators of Ollama's runners: system, CUDA, HIP, Vulkan.
const MEMORY_TEXTS: &[&str] = &[
    "out of memory",
    "out-of-memory",
    "out of device memory",
    "outofmemory*",
    "outofmemoryerror",
    "memoryerror",
    "enomem",
    "cannot allocate memory",
    "can not allocate memory",
    "cannot be allocated",
    "unable to allocate",
    "cudamalloc failed",
    "hipmalloc failed",
    "failed to allocate",
    "failed to alloc",
    "allocation failed",
    "allocation failure",
    "memory allocation of",
    "not enough memory",
    "insufficient memory",
    "insufficient vram",
    "vk_error_out_of_device_memory",
    "vk_error_out_of_host_memory",
    "erroroutofmemory",
    "erroroutofdevicememory",
    "kiogpucommandbuffercallbackerroroutofmemory",
    "signal: killed",
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "bad_alloc",
    "heap out of memory",
    "oom",
    "oomkilled",
    "metal::malloc",
    "enough available memory",
    "failed to commit memory",
    "runs out of memory",
    "not enough gpu memory",
    "not enough metal memory",
];
/// Go's JSON and XML readers.
const UNPARSED: &[&str] = &[
    "invalid character {} looking for beginning of",
    "invalid character {} after",
    "invalid character {} in",
    "unexpected end of json input",
    "unterminated string",
    "unexpected eof$",
    "^eof$",
];
/// Addresses where a local server asks its cloud models.
const CLOUD: &[&str] = &["https://ollama.com", "lookup ollama.com"];
const REGISTRY: &[&str] = &["pull model manifest", "max retries exceeded:", "registry-1.docker.io", "registry.ollama.ai/v2"];
/// Texts that clear the model's file.
const MEMORY_AND_ENGINE: &[&str] = &[
    "out of memory",
    "unable to allocate",
    "failed to allocate",
    "not enough memory",
    "insufficient memory",
    "insufficient system resources",
    "allocation failed",
    "requires more system memory",
    "too large for",
    "rpc error",
    "failed to start",
    "exit code",
    "outofmemory*",
    "out of device memory",
    "erroroutof*",
];
const QUOTA_TEXTS: &[&str] = &[
    "usage limit",
    "usage limits",
    "insufficient_quota",
    "exceeded your current quota",
    "exceeded .. quota",
    "quota exceeded",
    "quota has been exceeded",
    "^limit exceeded$",
    "over its data quota",
    "insufficient balance",
    "insufficient credits",
    "insufficient funds",
    "insufficient_user_quota",
    "insufficient_balance",
    "credit balance is too low",
    "requires more credits",
    "run out of credits",
    "out of credits",
    "have any credits",
    "no credits",
    "add .. credits",
    "purchase credits",
    "usage balance is empty",
    "billing_not_active",
    "billing hard limit",
    "account is not active",
    "budget_exceeded",
    "budget has been exceeded",
    "exceeded budget",
    "exceeded your monthly",
    "monthly .. limit",
    "weekly .. limit",
    "daily .. limit",
    "hourly .. limit",
    "limit .. per day",
    "per day (tpd",
    "per day (rpd",
    "per-day",
    "tokens per day",
    "requests per day",
    "generaterequestsperday*",
    "payment required",
    "free allocation",
    "balance is insufficient",
    "is past due",
    "calls / month",
    "requires paid balance",
];
const UNREADABLE_TEXTS: &[&str] = &[
    "no longer compatible",
    "may be incompatible with your version",
    "architecture {} not supported",
    "architecture .. not supported",
    "model type {} not supported",
    "model type .. not supported",
    "unable to load model",
    "error loading model",
    "error loading llama model",
    "missing tensor",
    "key not found in model",
    "key not found in model file",
    "invalid file magic",
    "invalid magic",
    "bad magic",
    "not a gguf",
    "unsupported gguf*",
    "invalid gguf*",
    "gguf .. corrupt*",
    "model .. corrupt*",
    "offset+size .. exceeds file size",
    "exceeds file size",
    "tensor .. not within the file bounds",
    "wrong number of tensors",
    "wrong shape",
    "failed to load model from",
    "unable to load model from",
    "could not be loaded",
    "invalid safetensors*",
    "metadataincompletebuffer",
    "headertoolarge",
    "header too large",
    "error while deserializing header",
    "blobs .. no such file or directory",
    "unsupported model*",
    "unsupported quantization*",
    "error loading model vocabulary",
    "unknown pre-tokenizer",
    "unable to open file .. blobs",
    "failed to read tensor*",
    "failed to read metadata*",
    "unknown renderer",
    "unknown parser",
    "validate gguf",
    "llama-quantize failed",
    "unknown projector type",
    "weights are missing",
    "gguf array size",
    "not in gguf format",
    "require the exllamav2 backend",
];
const CAPABILITY_TEXTS: &[&str] = &[
    "does not support tools",
    "does not support vision",
    "does not support image*",
    "does not support thinking",
    "does not support embedding*",
    "does not support completion*",
    "does not support insert",
    "does not support chat",
    "does not support generate",
    "does not support multimodal",
    "not support embeddings",
    "is not a multimodal model",
    "is not multimodal",
    "not an embedding model",
    "not a generative model",
    "image input is not supported",
    "not a chat model",
    "not a completion model",
    "no endpoints found that support",
    "missing data required for image*",
    "^not supported$",
    "pooling type",
    "not appear to be an embedding model",
    "model is not embedding",
    "must be created with embedding*",
    "no llava model loaded",
    "think value .. not supported",
    "only supports one image",
    "at most {} image*",
    "does not have a chat template",
    "no chat template",
    "chat template",
    "prompt template",
    "jinja*",
    "template error",
    "while executing callexpression",
    "while executing filterexpression",
    "while executing forstatement",
    "value is not callable",
    "raise_exception",
    "roles must alternate",
    "must alternate",
    "only user, assistant",
    "system role not supported",
    "no user query found",
    "template: .. executing",
    "error calling index",
    "enable-auto-tool-choice",
    "tool-call-parser",
    "infill is not supported",
    "start it with `--embeddings`",
    "provide the mmproj",
    "vision model not loaded",
    "incompatible with system messages",
    "is not enabled for models",
    "not support successive",
    "unexpected role",
    "expected last role",
    "does not work with the specified model",
    "models are not currently supported",
    "not a re-ranker model",
    "expected token .. got",
    "image count .. exceeds",
    "matryoshka",
    "grammar is not supported",
    "no_vision_model",
    "content type is supported",
    "models do not support chat",
];
const CONNECTION_TEXTS: &[&str] = &[
    "connection refused",
    "refused connection",
    "refused to connect",
    "actively refused*",
    "connection attempt failed",
    "connection reset*",
    "connection aborted",
    "connection was aborted",
    "established connection was aborted",
    "connection closed",
    "connection was closed",
    "closed connection",
    "closed the connection",
    "connection error*",
    "connection failed",
    "connection lost",
    "connection was lost",
    "lost connection",
    "connection was forcibly closed",
    "forcibly closed",
    "connection timed out while connecting",
    "connection interrupted",
    "connection terminated",
    "connection unexpectedly closed",
    "closed the connection unexpectedly",
    "broken pipe",
    "no route to host",
    "network is unreachable",
    "network unreachable",
    "unreachable host",
    "unreachable network",
    "network error",
    "networkerror",
    "network connection",
    "host is down",
    "host is unreachable",
    "failed to connect",
    "could not connect",
    "couldn't connect",
    "cannot connect",
    "can't connect",
    "unable to connect",
    "unable to access .. port",
    "econnrefused",
    "econnreset",
    "econnaborted",
    "epipe",
    "ehostunreach",
    "enetunreach",
    "connectionerror",
    "connectionrefusederror",
    "connectionreseterror",
    "connectionabortederror",
    "remotedisconnected",
    "connectexception",
    "socket hang up",
    "server disconnected",
    "error trying to connect",
    "error sending request",
    "all connection attempts failed",
    "fetch failed",
    "failed to fetch",
    "load failed",
    "err_connection*",
    "err_network*",
    "err_internet*",
    "winerror 10061",
    "winerror 10054",
    "winerror 10053",
    "is the docker daemon running",
    "is the server running",
    "is it running",
    "connect call failed",
    "keyserver available",
    "connecting to server on",
    "error -1004",
    "code=-1004",
    "not start up in",
    "no responders available",
    "no response from stream",
];
const CUT_TEXTS: &[&str] = &[
    "response ended prematurely",
    "incompleteread",
    "connection broken",
    "invalidchunklength",
    "httpx.readerror",
    "remoteprotocolerror",
    "no close frame",
    "socket disconnected",
    "read .. unexpected eof$",
    "incomplete chunked read",
    "incomplete chunked encoding",
    "err_incomplete_chunked_encoding",
    "err_empty_response",
    "err_http2*",
    "incompletemessage",
    "incomplete message",
    "premature close",
    "premature eof",
    "premature end of*",
    "ended prematurely",
    "other side closed",
    "und_err_socket",
    "did not receive done",
    "no data received",
    "server closed idle connection",
    "stream error: stream id",
    "stream .. not closed cleanly",
    "internal_error",
    "goaway",
    "end of file before message length reached",
    "error reading a body from connection",
    "error decoding response body",
    "end of file reached",
    "eoferror",
    "unexpected eof while reading",
    "eof occurred in violation of protocol",
    "transfer closed",
    "transferencodingerror",
    "payload is not completed",
    "clientpayloaderror",
    "not enough data to satisfy",
    "early eof",
    "hung up unexpectedly",
    "unexpected disconnect",
    "rpc failed",
    "recv failure",
    "send failure",
    "recv error",
    "ssl_error_syscall",
    "empty reply from server",
    "remote end closed connection",
    "header parser received no bytes",
    "unexpected end of stream",
    "unexpected end of file",
    "without sending tls close_notify",
    "close_notify",
    "non-properly terminated",
    "tar_entry_invalid",
    "post .. eof$",
    "get .. eof$",
    "head .. eof$",
    "put .. eof$",
    "^unexpected eof$",
    "^eof$",
    "connection to the peer",
    "packet from .. unexpectedly",
    "kex_exchange_identification",
    "wsarecv",
    "stream closed",
    "stream ended",
    "^terminated$",
    "typeerror: terminated",
    "fixed content-length",
    "terminated the handshake",
    "illegal chunk header",
    "chunk size",
    "errno=104",
    "prematurely closed",
    "been closed before",
    "empty response from server",
    "pool .. was cleared",
    "gone away",
];
const INVALID_TEXTS: &[&str] = &[
    "valueerror",
    "typeerror",
    "invalid input",
    "invalid argument*",
    "invalid option*",
    "invalid requirement*",
    "invalid json",
    "invalid value",
    "invalid type",
    "invalid syntax",
    "invalid reference format",
    "invalid choice",
    "validation error*",
    "missing field",
    "missing required*",
    "field required",
    "expected value at line",
    "eof while parsing",
    "unexpected end of json input",
    "unterminated string",
    "incomplete input",
    "bad request",
    "usage:",
    "unknown command",
    "unknown option",
    "unknown flag",
    "unknown shorthand flag",
    "unrecognized option*",
    "unrecognized argument*",
    "unknown argument*",
    "requires at least",
    "accepts {} arg*",
    "illegal option",
    "bad option",
    "missing operand",
    "option .. requires",
    "syntax error*",
    "syntaxerror",
    "parse error*",
    "merge conflict*",
    "could not apply",
    "non-fast-forward",
    "hook declined",
    "failed to push some refs",
    "resolutionimpossible",
    "eresolve",
    "conflicting dependencies",
    "do not match the hashes",
    "dependency conflict*",
    "is already in use by container",
    "must be one of",
    "malformed",
    "should be smaller",
    "must be positive",
    "command must be",
    "unexpected eof in archive",
    "violates .. constraint",
    "duplicate key",
    "json at position",
    "duplicate entry",
    "error in your sql syntax",
    "data too long",
    "unknown column",
    "read-only transaction",
    "read only transaction",
    "division by zero",
    "length too large",
    "already exists",
    "file exists",
    "is a directory",
    "not appear to be a valid archive",
    "is not a database",
    "constraint failed",
    "closed database",
    "in that same thread",
    "within a transaction",
    "wrongtype",
    "wrong number of arguments",
    "not an integer",
    "busykey",
    "payload version",
    "out of range",
    "dimension error",
    "maximum payload exceeded",
    "invalid subject",
    "non-digit characters",
    "message exceeds maximum size",
    "unsupported protocol",
    "unsupported scheme",
    "unsupported message",
    "unknown scheme",
    "codec can't",
    "control characters",
    "cannotsendrequest",
    "session is closed",
    "running event loop",
    "recursion depth exceeded",
    "assign requested address",
    "invalid uri*",
    "failed to parse url",
    "illegal operation on a directory",
    "no valid patches",
    "no configured push destination",
    "not mounted",
    "unknown filesystem type",
    "invalid operation",
    "cannot index",
    "no modules specified",
    "invalid literal",
    "invalid data found",
    "unknown input format",
    "re-use a name",
    "not resolve to an alias",
    "assertionerror",
    "request entity too large",
    "was locked with",
    "not owned or is already unlocked",
    "busygroup",
    "unrecognized key*",
    "expected declaration",
    "is not a crate root",
    "model limit of",
    "string value length",
];

/// All rules, most specific first.
pub const RULES: &[Rule] = &[
    // No failures of the service.
    rule("cancelled", caller(Low, Nothing)).kinds(&[FaultKind::Cancelled]),
    rule("request-cancelled", caller(Low, Nothing)).statuses(&[499..=499]),
    rule("cancelled-text", caller(Low, Nothing))
        .kinds(ONLY_TEXT)
        .said(&[
            "context canceled",
            "keyboardinterrupt",
            "request canceled",
            "^canceled$",
            "^cancelled$",
            "user aborted",
            "aborterror",
            "cancellederror",
        ])
        .unless(&["client.timeout exceeded", "timeout*", "timed out"]),
    rule("circuit-open", service_model(Transient, Medium, Retries::Allowed, Wait).uncounted()).kinds(&[FaultKind::CircuitOpen]),
    rule("circuit-open-text", service_model(Transient, Medium, Retries::Allowed, Wait).uncounted()).kinds(ONLY_TEXT).said(&[
        "circuit breaker open",
        "circuit breaker is open",
        "circuit open",
    ]),
    rule("bulkhead-full", service(Transient, Medium, Retries::Allowed, Wait).uncounted()).kinds(&[FaultKind::BulkheadFull]),
    rule("panicked", caller(High, LogAndContinue)).kinds(&[FaultKind::Panicked]),
    rule("redirected", caller(High, FixAddress).here()).statuses(&[300..=399]),
    rule("caller-gone-behind-proxy", caller(Low, Nothing)).kinds(SERVER_OR_TEXT).said(&[
        "^context canceled$",
        "cancelled by client",
        "cancelled by user",
        "canceled by user",
        "request has been cancelled",
        "due to user request",
    ]),
    rule("redirected-text", caller(High, FixAddress).here()).kinds(ONLY_TEXT).said(&[
        "exceeded .. redirects",
        "too many redirects",
        "redirect count exceeded",
        "maximum .. redirects followed",
        "unexpected redirect*",
        "redirections exceeded",
        "redirect response",
        "toomanyredirects",
        "error following redirect",
    ]),
    // Errors that quote a name, which may sound like a failure.
    rule("named-in-vain", caller(Low, FixInput)).kinds(ONLY_TEXT).said(&[
        "unexpected keyword argument",
        "did not match any file",
        "is not a valid branch name",
        "no rule to make target",
        "no such column",
        "no context exists",
        "could not convert string",
        "cannot find module",
        "err_out_of_range",
        "invalid numeric value",
        "invalid time",
        "invalid upstream",
        "unknown revision",
        "has no attribute",
        "is not defined",
        "is not a git command",
        "illegalargumentexception",
        "destination path {} already exists",
        "directory not empty",
        "unknown url type",
    ]),
    // Disk quotas, before cloud quotas.
    rule("disk-full-text", service(Resource, High, Retries::Never, FreeDisk)).said(&[
        "no space left on device",
        "disk full",
        "disk is full",
        "disk quota exceeded",
        "database or disk is full",
        "not enough free disk space",
        "not enough disk space",
        "not enough space",
        "insufficient disk space",
        "enospc",
        "there is not enough space on the disk",
        "disk usage exceeded flood-stage",
    ]),
    // Pulls: registry errors in network words.
    rule("pulled-model-missing", model(High, PullModel).here()).said(&["pull model manifest .. file does not exist"]),
    rule("server-too-old", model(High, UpgradeServer).here()).said(&[
        "requires a newer version of ollama",
        "pull model manifest: 412",
        "may need to upgrade",
        "upgrade to the latest version",
    ]),
    rule("registry-refuses-tag", caller(Low, FixInput)).said(&["pull model manifest: 400"]).unless(&["sharded"]),
    rule("model-sharded", model(High, UseAnotherModel).here()).said(&["contains sharded gguf", "sharded gguf"]),
    rule("registry-key-damaged", service(Permanent, Critical, Retries::Never, RepairServer)).said(&["ssh: no key found"]),
    rule("registry-refuses", caller(High, SignIn)).said(&[
        "pull model manifest: 401",
        "pull model manifest: 403",
        "pull model manifest: unauthorized",
        "unauthorized: access denied",
    ]),
    rule("registry-rate-limited", service(Transient, Medium, Retries::Allowed, Wait)).said(&["pull model manifest: 429"]),
    rule("registry-key-unreadable", caller(High, FixPermissions)).said(&["pull model manifest: open"]).also(&["permission denied"]),
    rule("registry-insecure", caller(Low, FixInput)).said(&["insecure protocol http", "pull model manifest: invalid model name"]),
    rule("registry-tls", service(Connection, High, Retries::Never, CheckService).uncounted())
        .same_words_as("registry-away", REGISTRY)
        .also(&["x509", "certificate*", "tls handshake failure"]),
    rule("registry-slow", service(Timeout, Medium, Retries::Allowed, CheckService).uncounted())
        .same_words_as("registry-away", REGISTRY)
        .also(&["i/o timeout", "timeout*", "timed out", "deadline exceeded"]),
    rule("registry-away", service(Connection, High, Retries::Allowed, CheckService).uncounted()).said(REGISTRY),
    rule("download-damaged", service(Connection, High, Retries::Allowed, CheckService).uncounted()).said(&[
        "must be downloaded again",
        "hash sum mismatch",
        "eintegrity",
        "registry.ollama.ai .. no such host",
        "cloudflarestorage.com .. no such host",
        "maximum redirects exceeded",
        "sha mismatch for file",
        "download validation failed",
        "failed to download model",
    ]),
    // Cloud services. A quota returns after hours, days or payment.
    rule("model-unavailable", model(High, UseAnotherModel)).said(&[
        "requires a subscription",
        "not included in your .. usage",
        "upgrade for access",
        "do not have access to .. model*",
        "does not have access to model*",
        "do not have access to it",
        "not have access to this model",
        "model_decommissioned",
        "decommissioned",
        "was retired",
        "been retired",
        "been deprecated",
        "is deprecated .. model*",
        "reached its end of life",
        "model .. discontinued",
        "model .. no longer available",
        "model .. no longer supported",
        "key not allowed to access model",
        "not allowed to access model",
        "model_not_available",
        "model .. not available on your plan",
        "model .. not available in your .. plan",
        "with the specified model id",
        "model access is denied",
        "by provider as legacy",
        "the end of its life",
        "with on-demand throughput",
        "requires terms acceptance",
        "must be verified to",
        "matching your data policy",
        "endpoint .. is not running",
        "disabled and cannot be loaded",
        "requested model is not supported",
    ]),
    rule("key-limit-reached", service(Transient, Medium, Retries::Allowed, Wait)).said(&["per minute limit", "per-minute limit"]),
    rule("request-above-limit", model(Low, ShortenPrompt)).said(&[
        "request too large for",
        "request body too large for",
        "tokens_limit_reached",
    ]),
    rule("quota-exhausted", service_model(Transient, Medium, Retries::AtMost(0), UseFallback).anywhere()).said(QUOTA_TEXTS),
    rule("payment-required", service_model(Transient, Medium, Retries::AtMost(0), UseFallback).anywhere())
        .statuses(&[402..=402])
        .unless(&["not included in your .. usage", "requires a subscription"]),
    rule("cloud-search-disabled", caller(High, UseFallback).here()).said(&["ollama cloud is disabled: web*"]),
    rule("cloud-disabled", model(High, UseFallback).here()).said(&["ollama cloud is disabled", "cannot run this remote model"]),
    rule("sign-in-needed", model(High, SignIn).here()).statuses(&[401..=401]).points(),
    rule("sign-in-needed-text", model(High, SignIn).here()).said(&[
        "need to be signed in to ollama",
        "you need to be signed in",
        "ollama signin",
        "ollama.com/connect",
    ]),
    rule("overloaded", service(Transient, Medium, Retries::Allowed, Wait)).said(&[
        "server overloaded",
        "concurrent request slot",
        "overloaded_error",
        "currently overloaded",
        "model is overloaded",
        "is at capacity",
        "engine_overloaded*",
        "models busy",
    ]),
    // In front of the server.
    rule("proxy-overflow", service(Transient, Medium, Retries::Allowed, Wait)).said(&["reset reason: overflow"]),
    rule("host-header-named", caller(High, FixHostHeader).here()).said(&["invalid host header", "host not allowed"]),
    rule("plain-http-to-tls", service(Connection, High, Retries::Never, CheckService)).said(&[
        "plain http request was sent to https port",
        "http response to https client",
        "http request to an https server",
    ]),
    rule("other-service", service(Permanent, High, Retries::Never, CheckService))
        .kinds(&[FaultKind::InvalidAnswer, FaultKind::StreamError])
        .said(&["doctype html", "html"]),
    rule("connection-behind-proxy", service(Connection, High, Retries::Allowed, CheckService))
        .kinds(SERVER_OR_TEXT)
        .said(&[
            "upstream connect error",
            "disconnect/reset before headers",
            "connection termination",
            "no healthy upstream .. refused",
            "response ended prematurely",
            "exception - connection error*",
            "error code: 520",
            "error code: 521",
            "error code: 522",
            "error code: 523",
            "error code: 530",
            "error code: 1033",
            "web server is down",
            "web server returned an unknown error",
            "origin is unreachable",
            "err_ngrok_3200",
            "err_ngrok_8012",
            "endpoint .. is offline",
            "zero sized reply",
            "zero size reply",
            "closed connection before returning",
            "error 1033",
            "cloudflare tunnel*",
            "tunnel .. not found",
            "cannot connect to host",
            "connection error*",
        ])
        .unless(&["certificate*", "sslcertverificationerror", "many connection errors"]),
    rule("tls-behind-proxy", service(Connection, High, Retries::Never, CheckService))
        .said(&["error code: 525", "error code: 526", "invalid ssl certificate", "ssl handshake failed"])
        .kinds(SERVER_SPEAKS),
    // Output that looks like the caller's broken JSON or a cut answer.
    rule("server-answer-unreadable", service(Transient, Medium, Retries::Allowed, Retry)).kinds(SERVER_OR_TEXT).said(&[
        "error unmarshalling llama-server",
        "error unmarshaling llama*",
        "error reading llama-server",
        "unmarshalling llama-server",
        "unmarshal llm prediction response",
    ]),
    rule("manifest-damaged", model(High, RepullModel).here()).statuses(&[500..=500]).said(&[
        "^unexpected eof$",
        "^eof$",
        "invalid character .. x00",
    ]),
    rule("unusable-output-in-stream", output()).kinds(&[FaultKind::StreamError]).endpoints(GENERATION).said(UNPARSED).unless(&[
        "error was encountered while running the model",
        "llama-server",
        "llama runner",
        "dial tcp",
        "read tcp",
    ]),
    rule("inner-call-failed", service(Transient, Medium, Retries::Allowed, Retry))
        .kinds(SERVER_SPEAKS)
        .said(&[
            "http://127.0.0.1",
            "http://localhost",
            "dial tcp 127.0.0.1",
            "dial tcp [::1]",
            "^connection refused$",
            "^eof$",
            "read tcp 127.0.0.1",
        ])
        .unless(&["timeout*", "html", "api/chat", "api/generate", "api/embed", "v1/chat"]),
    rule("invalid-tool-call", output())
        .kinds(SERVER_OR_TEXT)
        .said(&[
            "invalid tool call arguments",
            "error parsing tool call",
            "parsing tool call",
            "parse tool call*",
            "parsing .. tool call*",
            "parse .. tool call*",
            "incomplete .. tool call",
            "malformed .. tool call",
            "invalid .. tool call",
            "tool call .. missing",
            "tool call .. invalid",
            "parse glimmer call",
            "tool_use_failed",
            "failed_generation",
            "failed to call a function",
            "required argument {} is missing for tool",
            "missing for tool",
            "tool {} not found",
            "unknown tool",
            "unexpected error format in response",
            "model tried to call unavailable tool",
            "malformed_function_call",
            "malformed function call",
        ])
        .unless(&["tool_choice*", "tool parser*", "tool call arguments as json"]),
    rule("unusable-output", output()).kinds(SERVER_OR_TEXT).said(&[
        "xml syntax error",
        "expected element type",
        "failed to parse xml",
        "failed to parse input at pos",
        "does not match the expected .. format",
        "token repeat limit",
        "unexpected empty grammar stack",
        "failed to parse reasoning*",
        "failed to parse generated",
        "error parsing grammar output",
        "embedding contains nan*",
        "contains nan or inf*",
        "nan values",
        "unsupported value: nan",
        "model output is not valid json",
        "model produced .. invalid",
        "mismatched arg_key",
    ]),
    rule("unusable-output-as-error", output())
        .statuses(&[500..=500])
        .endpoints(GENERATION)
        .same_words_as("unusable-output-in-stream", UNPARSED)
        .unless(&["llama-server", "llama runner", "manifest", "x00", "option", "invalid format", "unexpected eof", "^eof$"]),
    rule("context-overflow", model(Low, ShortenPrompt))
        .kinds(SERVER_OR_TEXT)
        .said(&[
            "longer than the context length",
            "exceed_context_size_error",
            "context_length_exceeded",
            "contextwindowexceedederror",
            "context_window_exceeded",
            "context window .. exceeded",
            "context length .. exceeded",
            "context size .. exceeded",
            "context .. full",
            "exceed .. context length",
            "exceeds the context",
            "exceeds the available context",
            "exceeds .. context length",
            "exceeds .. context window",
            "exceeds .. context size",
            "exceeds maximum context",
            "exceed .. context window",
            "exceed context*",
            "exceeded context*",
            "exceeded the context",
            "exceeds the model's .. length",
            "exceeds .. maximum length",
            "maximum context length",
            "maximum model length",
            "max_model_len",
            "maximum sequence length",
            "max_seq_len",
            "max sequence length",
            "max_total_tokens",
            "kv cache .. too small",
            "kv size",
            "cannot truncate prompt",
            "not fit in context",
            "not fit in the context",
            "not fit the context",
            "fit into the model",
            "fit within the context",
            "must have less than {} tokens",
            "must be less than {} tokens",
            "larger than the max context size",
            "larger than the context",
            "greater than the context length",
            "keep the first {} tokens",
            "prompt is too long",
            "prompt too long",
            "prompt .. is too long",
            "prompt .. too long",
            "prompt .. too big",
            "prompt .. too large",
            "prompt .. exceeds",
            "prompt .. longer than",
            "input is too long",
            "input too long",
            "input .. too long",
            "input .. too large to process",
            "input length .. exceeds",
            "input length .. exceed",
            "input tokens exceed",
            "input tokens exceeds",
            "input token count .. exceeds",
            "inputs tokens .. must be",
            "increase the physical batch size",
            "too many tokens",
            "too many input tokens",
            "token limit exceeded",
            "token count exceeds",
            "tokens .. exceeds the limit",
            "tokens exceeds the",
            "reduce the length of",
            "reduce the prompt*",
            "shorten the prompt",
            "max_prompt_tokens_exceeded",
            "string_above_max_length",
            "must be at least 1, got -*",
            "longer than the .. context length",
            "pre-allocated encoder cache",
            "inputs` tokens + `max_new_tokens` must be",
            "maximum prompt length",
            "range of input length",
            "out_of_context*",
            "prompt removed by truncation",
            "kv slot",
            "max length exceeded",
            "must have less than {} characters",
        ])
        .unless(&[
            "max_tokens .. is too large",
            "max_completion_tokens .. is too large",
            "^max_new_tokens .. must be",
            "truncate_prompt_tokens",
            "per minute",
            "per second",
            "rate limit*",
            "please wait",
            "tools",
            "not enough memory",
        ]),
    rule("max-tokens-too-large", caller(Low, FixInput)).said(&[
        "max_tokens .. is too large",
        "max_completion_tokens .. is too large",
        "max_new_tokens .. must be",
        "max_tokens .. must be",
    ]),
    // Unreadable models, before missing ones.
    rule("blob-missing", caller(Medium, FixInput))
        .endpoints(&[Endpoint::Manage, Endpoint::Other])
        .kinds(SERVER_SPEAKS)
        .said(&["blobs .. no such file or directory"]),
    rule("architecture-unknown", model(High, RepullModel).here()).kinds(SERVER_OR_TEXT).said(&[
        "unknown model architecture",
        "unsupported .. architecture*",
        "unknown .. architecture*",
        "does not recognize this architecture",
    ]),
    rule("model-unreadable-inner", model(High, RepullModel).here()).kinds(SERVER_OR_TEXT).said(UNREADABLE_TEXTS).unless(MEMORY_AND_ENGINE),
    // Unsuitable models or requests, some with status 500.
    rule("model-unavailable-here", model(High, UseAnotherModel)).statuses(&[403..=403]).said(&["model not found", "model {} not found"]),
    rule("model-not-found", model(High, PullModel).here())
        .said(&[
            "model {} not found",
            "model {} was not found",
            "model {} does not exist",
            "model {} is not found",
            "model {} not exist",
            "models {} not found",
            "model_not_found",
            "modelnotfound",
            "deploymentnotfound",
            "try pulling it first",
            "no such model",
            "model .. cannot be found",
            "model .. could not be found",
            "model .. not found locally",
            "lora adapter .. cannot be found",
            "adapter .. not found",
            "no models loaded",
            "no models are .. loaded",
            "no model is .. loaded",
            "no model loaded",
            "unknown model",
            "invalid model name passed",
            "model {} is not loaded",
            "model {} not loaded",
            "model {} is not available",
            "not a valid model id",
            "no endpoints found for",
            "no available channel for model",
            "model .. is not served",
            "could not find .. model",
            "couldn't find model",
            "for requested model",
            "^model:",
            "repository not found for url",
            "model specified in your request is not configured",
            "is not found for api version",
            "engine for model",
        ])
        .unless(&[
            "architecture*",
            "blobs",
            "failed to load model",
            "requires approximately",
            "vision model not loaded",
            "desc = model not loaded",
        ]),
    rule("capability-outdated", model(Low, RepullModel)).said(&["pull the model again to get"]),
    rule("capability-missing", model(Low, UseCapableModel)).said(CAPABILITY_TEXTS).unless(&[
        "architecture*",
        "multi-instance proxy",
        "model type",
    ]),
    rule("capability-lacking", model(Low, UseCapableModel))
        .kinds(SERVER_OR_TEXT)
        .said(&[
            "not supported",
            "unsupported",
            "not support",
            "doesn't support",
            "does not accept",
            "not enabled",
            "is disabled",
            "are disabled",
        ])
        .also(&[
            "image*",
            "vision",
            "audio",
            "video",
            "multimodal*",
            "multi-modal*",
            "mmproj",
            "tool*",
            "function calling",
            "embeddings",
            "embedding model",
            "infill",
            "thinking",
            "reasoning*",
            "logprobs",
            "chat completions",
            "rerank*",
        ])
        .unless(&[
            "architecture*",
            "multi-instance proxy",
            "image urls",
            "image url*",
            "url*",
            "media type",
            "mime*",
            "content type",
            "cpu",
            "os",
            "toolchain",
        ]),
    rule("invalid-option", caller(Low, FixInput)).said(&["option {} must be of type"]),
    rule("invalid-format", caller(Low, FixInput)).said(&["valid json schema object", "invalid format:"]).kinds(SERVER_OR_TEXT),
    rule("invalid-request", caller(Low, FixInput)).said(&[
        "model is required",
        "invalid model name",
        "missing request body",
        "json: cannot unmarshal",
        "missing {} required positional argument*",
        "failed to parse tools",
        "failed to parse grammar",
        "failed to initialize samplers",
        "json.exception",
        "illegal base64",
        "invalid image",
        "failed to decode image",
        "invalid duration",
        "invalid think value",
        "tool call arguments as json",
        "error processing image",
        "no model id could be identified",
        "neither .. was specified",
    ]),
    rule("payload-too-large", caller(Low, ShortenPrompt).here()).kinds(SERVER_SPEAKS).statuses(&[413..=413]),
    rule("unsent-request", caller(Low, FixInput))
        .statuses(&[400..=400])
        .said(&["^unexpected eof$", "invalid character {} looking for beginning of", "unexpected end of json input"])
        .unless(&["state lock"]),
    // Memory. A runner may evict another model; this program cannot.
    rule("model-too-large", Meaning { category: Resource, ..model(Critical, UseSmallerModel).here() }).said(&[
        "requires more system memory",
        "requires more gpu memory",
        "requires more memory",
        "unable to load full model on gpu",
        "requires .. but only .. available",
        "requires .. but only .. free",
        "requires approximately",
        "insufficient system resources",
        "too large for ram",
        "too large for available memory",
        "too large for vram",
        "not enough vram to load",
        "no available memory for the cache blocks",
        "memory .. less than desired gpu memory utilization",
        "not enough memory to handle",
        "metal memory for kv cache",
        "of total memory",
        "too large for the available vram",
    ]),
    rule("server-out-of-memory", service_model(Resource, Critical, Retries::AtMost(1), UseSmallerModel))
        .kinds(SERVER_SPEAKS)
        .said(MEMORY_TEXTS),
    rule("server-out-of-memory-text", service_model(Resource, Critical, Retries::AtMost(1), UseSmallerModel))
        .kinds(ONLY_TEXT)
        .statuses(&[400..=599])
        .same_words_as("server-out-of-memory", MEMORY_TEXTS),
    rule("runner-out-of-memory-text", service_model(Resource, Critical, Retries::AtMost(1), UseSmallerModel))
        .kinds(ONLY_TEXT)
        .same_words_as("server-out-of-memory", MEMORY_TEXTS)
        .also(&["llama runner", "llama-server", "runner process", "enginecore", "metal::malloc", "alloc_req_slots"]),
    rule("out-of-memory", service_model(Resource, Critical, Retries::Never, UseSmallerModel).uncounted().anywhere())
        .kinds(&[FaultKind::OutOfMemory]),
    rule("disk-full", service(Resource, High, Retries::Never, FreeDisk).uncounted().anywhere()).kinds(&[FaultKind::DiskFull]),
    rule("too-many-open-files", service(Resource, High, Retries::AtMost(1), RaiseOpenFilesLimit).uncounted().anywhere())
        .kinds(&[FaultKind::TooManyOpenFiles]),
    rule("too-many-open-files-text", service(Resource, High, Retries::AtMost(1), RaiseOpenFilesLimit).uncounted()).said(&[
        "too many open files",
        "emfile",
        "enfile",
        "object file: error 24",
    ]),
    // Broken installations.
    rule("engine-missing", Meaning { model_specific: true, ..service(Permanent, Critical, Retries::Never, RepairServer) }).said(&[
        "mlx is not supported",
        "mlx not available",
        "requires mlx support",
        "mlx on macos requires",
        "mlx runtime is not available",
    ]),
    rule("server-broken", service(Permanent, Critical, Retries::Never, RepairServer))
        .kinds(SERVER_OR_TEXT)
        .said(&[
            "llama-server binary not found",
            "error starting llama-server",
            "error starting runner",
            "unable to start server",
            "fork/exec",
            "failed to initialize the metal library",
            "device kernel image is invalid",
            "no kernel image is available",
            "invalid device function",
            "driver version is insufficient",
            "error while loading shared libraries",
            "cannot open shared object file",
            "status 0xc0000135",
            "status 0xc000007b",
            "illegal instruction",
            "unable to find a usable .. backend",
            "no backend .. found",
            "backend not found",
            "could not find .. backend",
            "could not load .. backend",
            "no such file or directory: .. llama-server",
            "could not select device driver",
            "could not initialize tensile",
            "permission denied .. libggml*",
            "shared library with base name",
            "failed to load llm engine",
            "could not load engine",
            "symbol lookup error",
            "executable not found",
            "suitable llama servers",
            "unsupported toolchain",
            "failed to spawn server",
            "only supported on windows",
        ])
        .unless(&["error 24"]),
    rule("load-timed-out", service_model(Transient, Medium, Retries::AtMost(1), IncreaseTimeout)).said(&[
        "timed out waiting for llama*",
        "timeout waiting for mlx*",
        "timed out waiting for .. to load",
        "health check timed out",
        "load timed out",
        "model load timeout",
        "timed out loading",
        "health check failed after",
    ]),
    rule("runner-died-loading", service_model(Transient, Medium, Retries::AtMost(1), Retry))
        .kinds(SERVER_OR_TEXT)
        .said(&["could not load model", "do load request"]),
    rule("runner-died", service_model(Transient, Medium, Retries::AtMost(1), Retry)).kinds(SERVER_OR_TEXT).said(&[
        "llama-server process has terminated",
        "llama runner process has terminated",
        "runner process has terminated",
        "process no longer running",
        "model runner has unexpectedly stopped",
        "mlx runner failed",
        "mlx runner exited",
        "llama-server startup failed",
        "enginecore encountered an issue",
        "enginedeaderror",
        "engine is dead",
        "engine loop .. dead",
        "background loop .. errored",
        "model has crashed",
        "model crashed",
        "model process .. exited",
        "process exited",
        "exited unexpectedly",
        "exited prematurely",
        "terminated unexpectedly",
        "crashed without",
        "crashed with",
        "worker .. died",
        "failed to start",
        "remote server unixsocket",
        "failed to load model",
        "model_load_error",
        "failed to load the model",
        "failed to load$",
        "model failed to load",
        "upstream command exited",
        "died during startup",
    ]),
    rule("runner-failed", service(Transient, Medium, Retries::Allowed, Retry)).kinds(SERVER_OR_TEXT).said(&[
        "error was encountered while running the model",
        "post predict",
        "compute error",
        "illegal memory access",
        "failed to sample token",
        "llama_decode",
        "do embedding request",
        "llama-server error",
        "llama-server chat error",
        "tokenize error",
        "health resp",
        "unspecified launch failure",
        "rpc error: code = unavailable",
        "failed during generation",
        "desc = model not loaded",
        "model name={} is not running",
        "failed to decode the batch",
        "failed to decode batch",
        "failed to decode prompt",
    ]),
    // After dead runners, which may report an "error loading model".
    rule("runner-loading", service(Transient, Medium, Retries::Allowed, Retry))
        .said(&[
            "llm server loading model",
            "llm server not responding",
            "server not responding",
            "no slots available",
            "no slot available",
            "loading model",
            "currently loading",
            "is loading",
            "still loading",
            "model_loading",
            "is staging",
            "process is not ready",
            "not ready",
            "warming up",
        ])
        .kinds(SERVER_SPEAKS),
    rule("runner-cut", service(Transient, Medium, Retries::Allowed, Retry)).kinds(SERVER_SPEAKS).said(&["unexpected eof"]),
    rule("queue-full", service(Transient, Medium, Retries::Allowed, Wait)).said(&["server busy", "maximum pending requests exceeded"]),
    // Client side.
    rule("dns", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::Dns]),
    rule("connection-refused", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::ConnectionRefused]),
    rule("connection-reset", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::ConnectionReset]),
    rule("unreachable", service(Connection, High, Retries::Allowed, CheckService)).kinds(&[FaultKind::Unreachable]),
    rule("tls", service(Connection, High, Retries::Never, CheckService)).kinds(&[FaultKind::Tls]),
    rule("timeout", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).kinds(&[FaultKind::Timeout]),
    rule("permission-denied", caller(High, FixPermissions)).kinds(&[FaultKind::PermissionDenied]),
    rule("not-found", caller(Medium, FixInput)).kinds(&[FaultKind::NotFound]),
    rule("invalid-input", caller(Low, FixInput)).kinds(&[FaultKind::InvalidInput]),
    rule("in-use", caller(Low, Wait).passing()).kinds(&[FaultKind::InUse]),
    rule("incomplete-answer", service(Transient, Medium, Retries::Allowed, Resample)).kinds(&[FaultKind::IncompleteAnswer]),
    rule("empty-answer", output()).kinds(&[FaultKind::EmptyAnswer]),
    rule("cut-question", model(Low, RaiseWindow)).kinds(&[FaultKind::CutQuestion]),
    rule("invalid-answer", service(Transient, Medium, Retries::AtMost(1), CheckService)).kinds(&[FaultKind::InvalidAnswer]),
    rule("rejected-result", service(Transient, Low, Retries::Allowed, Resample)).kinds(&[FaultKind::RejectedResult]),
    rule("host-header-refused", caller(High, FixHostHeader).here()).statuses(&[403..=403]).endpoints(SERVED).blank(),
    rule("invalid-key", caller(High, SignIn)).statuses(&[400..=403]).said(&[
        "api key not valid",
        "invalid api key",
        "incorrect api key",
        "invalid_api_key",
        "no api key",
        "api key is missing",
        "authentication_error",
        "no required ssl certificate",
        "invalid username or password",
    ]),
    rule("refused-by-owner", caller(High, FixPermissions)).kinds(SERVER_SPEAKS).said(&[
        "api is disabled",
        "user location is not supported",
        "unsupported_country*",
    ]),
    rule("unauthorized", caller(High, SignIn)).statuses(&[401..=401, 407..=407, 511..=511]),
    rule("forbidden", caller(High, FixPermissions)).statuses(&[403..=403]),
    rule("request-timeout", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).statuses(&[408..=408]),
    rule("rate-limited", service(Transient, Medium, Retries::Allowed, Wait)).statuses(&[429..=429]),
    rule("rate-limited-words", service(Transient, Medium, Retries::Allowed, Wait)).kinds(SERVER_SPEAKS).said(&[
        "rate limit exceeded",
        "rate limit reached",
        "rate_limit_exceeded",
        "rate_limit_error",
        "ratelimiterror",
        "too many requests",
        "resource_exhausted",
    ]),
    rule("cloud-slow", service_model(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).kinds(SERVER_OR_TEXT).said(CLOUD).also(&[
        "i/o timeout",
        "timeout*",
        "timed out",
        "deadline exceeded",
    ]),
    rule("cloud-away", service_model(Connection, High, Retries::Allowed, CheckService)).kinds(SERVER_OR_TEXT).said(CLOUD).also(&[
        "dial tcp",
        "no such host",
        "connection refused",
        "connection reset*",
        "network is unreachable",
        "eof$",
        "tls",
    ]),
    rule("slow-upstream", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout))
        .kinds(SERVER_SPEAKS)
        .statuses(&[500..=503])
        .said(&[
            "i/o timeout",
            "request timed out",
            "timed out",
            "timeouterror",
            "read timeout",
            "request timeout",
            "waiting timeout*",
            "server timeout of",
            "upstream request timeout",
            "deadline exceeded",
        ])
        .unless(&["server error"]),
    rule("cloud-unreachable", service(Connection, High, Retries::Allowed, CheckService)).kinds(SERVER_OR_TEXT).statuses(&[500..=599]).said(
        &[
            "connection refused",
            "connection reset*",
            "actively refused*",
            "no such host",
            "network is unreachable",
            "no route to host",
            "econnrefused",
            "econnreset",
            "enotfound",
            "server disconnected",
            "peer closed connection",
            "socket hang up",
            "fetch failed",
            "connection aborted",
            "broken pipe",
        ],
    ),
    rule("overloaded-status", service(Transient, Medium, Retries::Allowed, Wait)).statuses(&[503..=503, 529..=529]),
    rule("too-early", service(Transient, Medium, Retries::Allowed, Retry)).statuses(&[421..=421, 425..=425]),
    rule("not-there", caller(Medium, FixInput)).statuses(&[404..=404, 410..=410]).said(&["html", "default backend"]),
    rule("wrong-service", service(Permanent, High, Retries::Never, CheckService)).statuses(&[405..=405]).said(&["html"]),
    rule("unknown-route", caller(Medium, UpgradeServer).here()).statuses(&[404..=405, 501..=501]).endpoints(SERVED),
    rule("unknown-route-words", caller(Medium, UpgradeServer).here()).said(&[
        "page not found",
        "method not allowed",
        "unexpected endpoint or method",
        "^file not found$",
        "not supported in multi-instance proxy",
    ]),
    rule("http-not-found", caller(Medium, FixInput)).statuses(&[404..=405, 410..=410]),
    rule("not-implemented", caller(Medium, UpgradeServer).here()).statuses(&[501..=501, 505..=505]),
    rule("server-error", service(Transient, Medium, Retries::Allowed, Retry)).statuses(&[500..=599]),
    rule("invalid-request-status", caller(Low, FixInput)).statuses(&[400..=499]),
    rule("server-error-in-stream", service(Transient, Medium, Retries::Allowed, Retry)).kinds(SERVER_SPEAKS),
    rule("out-of-memory-text", service_model(Resource, Critical, Retries::Never, UseSmallerModel).uncounted().anywhere())
        .same_words_as("server-out-of-memory", MEMORY_TEXTS),
    rule("not-there-named", caller(Medium, FixInput)).said(&[
        "errno 2] no such file or directory",
        "change_dir .. no such file or directory",
        "link_stat .. no such file or directory",
        "modulenotfounderror",
        "no module named",
    ]),
    rule("version-not-there", caller(Medium, FixInput)).said(&["no matching distribution found"]).unless(&["from versions: none"]),
    rule("rate-limited-text", service(Transient, Medium, Retries::Allowed, Wait)).said(&[
        "rate limit*",
        "rate-limit*",
        "ratelimit*",
        "rate_limit*",
        "too many requests",
        "toomanyrequests",
        "throttl*",
    ]),
    rule("conflict-text", caller(Low, Wait).passing()).said(&[
        "deadlock*",
        "could not get lock",
        "database is locked",
        "database table is locked",
        "lock wait timeout",
        "try restarting transaction",
        "could not serialize access",
        "text file busy",
        "resource temporarily unavailable",
        "device or resource busy",
        "another process using it",
        "another git process seems to be running",
        "index.lock",
        "unable to lock",
        "could not lock",
        "is held by process",
        "blocking waiting for file lock",
        "sharing violation",
        "address already in use",
        "used by another process",
        "eagain",
        "etxtbsy",
        "ebusy",
        "operation .. is in progress",
        "already in progress",
        "state lock",
        "only one usage of each socket address",
        "could not obtain lock",
        "due to lock timeout",
        "conflict with recovery",
        "writeconflict",
        "watched variable changed",
    ]),
    rule("refused-login-text", caller(High, SignIn)).said(&[
        "permission denied (publickey",
        "authentication failed",
        "authentication failure*",
        "could not read username",
        "could not read password",
        "invalid username or password",
        "invalid credentials",
        "bad credentials",
        "access denied for user",
        "noauth authentication required",
        "wrongpass",
        "auth login",
        "unable to locate credentials",
        "api key not valid",
        "invalid api key",
        "incorrect api key",
        "invalid_api_key",
        "not logged in",
        "you must be logged in",
        "login required",
        "authentication required",
        "requires authentication",
        "unauthorized",
        "response 407",
        "e401",
        "need auth*",
        "eneedauth",
        "refresh token has expired",
        "authorization violation",
        "username-password pair",
        "with the client already authenticated",
        "no password supplied",
        "access denied: 530",
    ]),
    rule("permission-denied-text", caller(High, FixPermissions)).said(&[
        "permission denied",
        "access denied",
        "access is denied",
        "operation not permitted",
        "read-only file system",
        "permissionerror",
        "eacces",
        "eperm",
        "not authorized",
        "denied: requested access",
        "access forbidden",
        "module is read only",
        "must be owner of",
        "forbidden",
        "has no permissions to run",
        "readonly database",
        "pg_hba.conf entry",
        "blocked because of many connection errors",
    ]),
    rule("starting-up-text", service(Transient, Medium, Retries::Allowed, Wait)).said(&[
        "database system is starting up",
        "database system is shutting down",
        "database system is in recovery mode",
        "not yet accepting connections",
        "too many clients",
        "too many connections",
        "max connections",
        "maxstartups",
        "remaining connection slots",
        "loading the dataset",
        "too many 503 error responses",
        "max number of clients reached",
        "try again later",
        "is starting up",
        "server is busy",
        "overloaded",
        "serviceunavailable*",
        "unable to handle the request",
        "redis is busy",
        "hash slot not served",
        "link with master is down",
        "not primary",
        "not leader for partition",
        "an error occurred (503",
    ]),
    rule("pool-timeout", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout).uncounted().anywhere()).said(&[
        "pooltimeout",
        "queuepool limit",
        "connection pool timeout",
        "pool acquire timeout",
    ]),
    rule("tls-text", service(Connection, High, Retries::Never, CheckService))
        .said(&[
            "certificate_verify_failed",
            "certificate verify failed",
            "certificate verification failed",
            "certificate has expired",
            "certificate is not trusted",
            "certificate not trusted",
            "self-signed certificate",
            "self signed certificate",
            "self_signed_cert*",
            "depth_zero_self_signed_cert",
            "unable_to_verify_leaf_signature",
            "unable to verify the first certificate",
            "unable to get local issuer certificate",
            "ssl certificate problem",
            "server certificate verification failed",
            "pkix path building failed",
            "x509",
            "wrong version number",
            "unknown ca",
            "invalid peer certificate",
            "unknownissuer",
            "ssl connection could not be established",
            "handshake failure",
            "sslv3 alert",
            "tlsv1 alert",
            "packet length too long",
            "record overflow",
            "received record with version",
            "err_cert*",
            "err_ssl*",
            "hostname mismatch",
            "host key verification failed",
            "no matching host key type found",
            "no matching key exchange method found",
            "remote host identification has changed",
            "sslcertverificationerror",
            "unrecognized ssl message",
            "ssl error has occurred",
            "rejected ssl upgrade",
            "tlsv13 alert",
            "tls handshake failed",
            "wrong_version_number",
            "unexpected tls packet",
            "unable to establish ssl connection",
        ])
        .unless(&["unexpected eof while reading", "non-properly terminated"]),
    rule("invalid-setting-text", caller(Low, FixInput)).said(&[
        "timeout must be",
        "timeout .. must be",
        "timeout cannot be",
        "timeout .. cannot be",
        "invalid timeout",
        "unknown timeout option",
        "connection string",
        "pool size must be",
        "chunk size in configuration",
        "invalid port",
        "bad port",
        "invalid url*",
        "no scheme supplied",
        "no connection adapters were found",
        "is missing an 'http://' or 'https://' protocol",
        "client has been closed",
        "reset link",
        "unsupported protocol scheme",
        "unsupported url scheme",
        "timeout option*",
        "eresolve",
        "dependency tree",
        "resolutionimpossible",
        "exec format error",
        "cannot execute binary file",
        "eof inside string",
        "unexpected eof in archive",
        "template .. unexpected eof$",
    ]),
    rule("dns-text", service(Connection, High, Retries::Allowed, CheckService)).said(&[
        "name or service not known",
        "temporary failure in name resolution",
        "temporary failure resolving",
        "no address associated with hostname",
        "dns error",
        "no such host",
        "no such host is known",
        "getaddrinfo*",
        "could not resolve*",
        "couldn't resolve*",
        "failed to lookup address",
        "failed to resolve",
        "unable to resolve host*",
        "nodename nor servname",
        "name resolution",
        "unknown host",
        "unknownhostexception",
        "server misbehaving",
        "name_not_resolved",
        "err_name_not_resolved",
        "eai_again",
        "enotfound",
        "hostname could not be found",
        "unresolvedaddressexception",
        "address lookup failed",
        "nor servname provided",
        "unknown server host",
        "address could not be resolved",
    ]),
    rule("slow-text", service(Timeout, Medium, Retries::Allowed, IncreaseTimeout)).said(&[
        "a task was canceled",
        "operation too slow",
        "did not properly respond after a period of time",
        "client.timeout exceeded",
        "connect timeout",
        "connection timed out",
        "connection timeout",
        "lost connection .. timed out",
        "keepalive ping timeout",
        "i/o timeout",
        "read timed out",
        "readtimeout",
        "readtimeouterror",
        "request timed out",
        "operation timed out",
        "execution expired",
        "code=-1001",
        "error -1001",
        "max_statement_time exceeded",
        "esockettimedout",
        "deadline_exceeded",
    ]),
    rule("wrong-service-text", service(Permanent, High, Retries::Never, CheckService)).said(&[
        "unexpected mimetype: text/html",
        "unexpected token {} doctype",
        "invalid character '<' looking for beginning of",
        "unexpected token '<'",
        "unexpected token < in json",
        "does not match the http/1.1 protocol",
        "malformed http response",
        "malformed http status code",
        "ssh-2.0",
        "invalid http version",
        "invalid http response",
        "parse error: expected http",
        "invalid response to ssl negotiation",
        "received http/0.9",
        "ssh protocol banner",
        "hpe_invalid*",
        "invalid status line",
        "badstatusline",
        "bad status line",
        "protocol error: b'http",
        "protocol error, got",
        "is not elasticsearch",
        "expected authentication request from server",
        "failed parsing http/2",
        "incorrect header check",
    ]),
    rule("connection-text", service(Connection, High, Retries::Allowed, CheckService)).said(CONNECTION_TEXTS),
    rule("cut-text", service(Connection, High, Retries::Allowed, CheckService)).said(CUT_TEXTS),
    // Before timeouts: "gateway timeout" is a 504.
    rule("server-error-text", service(Transient, Medium, Retries::Allowed, Retry)).said(&[
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "gateway time-out",
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
        "esockettimedout",
        "readtimeout",
        "writetimeout",
        "connecttimeout",
        "err_timed_out",
    ]),
    rule("invalid-input-text", caller(Low, FixInput)).said(INVALID_TEXTS),
    rule("not-there-text", caller(Medium, FixInput)).said(&[
        "enoent",
        "no such file or directory",
        "no such",
        "not found",
        "does not exist",
        "doesn't exist",
        "could not find a version",
        "no matching distribution",
        "no matching manifest",
        "unable to locate package",
        "manifest unknown",
        "does not appear to be a git repository",
        "not a git repository",
        "e404",
        "etarget",
        "cannot find*",
        "could not find*",
        "wasn't found",
        "no .. files found",
        "did not match any*",
        "no module named",
        "modulenotfounderror",
        "nosuchkey",
        "nosuchfileexception",
        "unable to access jarfile",
        "unknown database",
        "unknown thread id",
        "no matching tables",
        "could not be found",
        "invalid user",
        "no matching script",
        "not something we can merge",
    ]),
];

/// Rule for unknown failures.
pub const UNKNOWN: Rule = rule("unknown", service(Unknown, Medium, Retries::Never, LogAndContinue).anywhere());
