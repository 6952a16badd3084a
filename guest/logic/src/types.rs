//! What failed and what was made of it (`wit/types.wit`).

use alloc::string::String;
use core::fmt;

/// A span of time in seconds. Never negative, never NaN.
pub type Seconds = f64;

/// A point in time: nanoseconds on the host's monotonic clock.
pub type Instant = u64;

/// How much of a failure's text is looked at, in bytes.
pub const MESSAGE_LIMIT: usize = 8 * 1024;

/// A name that none of an enum's cases has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The enum.
    pub what: &'static str,
    /// The names that it knows.
    pub names: &'static [&'static str],
}

impl fmt::Display for UnknownName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("expected one of: ")?;
        for (index, name) in self.names.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{name}")?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownName {}

named_enum! {
    /// The kind of a failure as far as structured facts tell.
    pub enum FaultKind {
        /// Nobody listens at the address.
        ConnectionRefused = "connection_refused",
        /// The peer closed the connection hard, or it ended within a message.
        ConnectionReset = "connection_reset",
        /// The name did not resolve.
        Dns = "dns",
        /// No route to the host or network.
        Unreachable = "unreachable",
        /// The TLS handshake failed.
        Tls = "tls",
        /// A budget of time ran out.
        Timeout = "timeout",
        /// An allocation failed.
        OutOfMemory = "out_of_memory",
        /// No space left on a device, or over quota.
        DiskFull = "disk_full",
        /// Too many open files.
        TooManyOpenFiles = "too_many_open_files",
        /// The operating system refused access.
        PermissionDenied = "permission_denied",
        /// A file, a command or a key that is not there.
        NotFound = "not_found",
        /// Somebody else holds it right now: a lock, a program that is being written, no room for a process.
        InUse = "in_use",
        /// The caller's input is wrong.
        InvalidInput = "invalid_input",
        /// The server answered with an error status.
        HttpStatus = "http_status",
        /// An error inside a stream that had begun well.
        StreamError = "stream_error",
        /// An answer that ended before it was whole.
        IncompleteAnswer = "incomplete_answer",
        /// An answer that came whole and says nothing.
        EmptyAnswer = "empty_answer",
        /// An answer to a question of which the server had dropped a part.
        CutQuestion = "cut_question",
        /// An answer that does not parse as the protocol that was agreed.
        InvalidAnswer = "invalid_answer",
        /// An `Ok` result that the caller's predicate would not have.
        RejectedResult = "rejected_result",
        /// The caller went away or cancelled.
        Cancelled = "cancelled",
        /// A circuit breaker rejected the call.
        CircuitOpen = "circuit_open",
        /// A bulkhead had no room for the call.
        BulkheadFull = "bulkhead_full",
        /// The operation panicked.
        Panicked = "panicked",
        /// None of these: only the text can tell.
        Other = "other",
    }
}

named_enum! {
    /// What was being called.
    pub enum Endpoint {
        /// Ollama `/api/chat`.
        Chat = "chat",
        /// Ollama `/api/generate`.
        Generate = "generate",
        /// Ollama `/api/embed` or `/api/embeddings`.
        Embed = "embed",
        /// Ollama `/api/show`.
        Show = "show",
        /// Ollama `/api/tags`.
        Tags = "tags",
        /// Ollama `/api/ps`.
        Ps = "ps",
        /// Ollama `/api/pull`.
        Pull = "pull",
        /// Ollama `/api/version` or `/`.
        Version = "version",
        /// Ollama's routes that change its models: create, copy, delete, push, blobs.
        Manage = "manage",
        /// Any `/v1/…` path of an OpenAI-compatible server.
        Openai = "openai",
        /// A tool call.
        Tool = "tool",
        /// A store: database, vector index, file.
        Store = "store",
        /// Something else, or not known.
        Other = "other",
    }
}

/// How a server labels an error, beside its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ErrorLabels {
    /// Its `type`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub error_type: Option<String>,
    /// Its `code`; a number as its digits.
    #[cfg_attr(feature = "serde", serde(default))]
    pub error_code: Option<String>,
}

/// A fact that has no field of its own. Whoever does not know its name leaves it alone.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fact {
    /// Its name, kebab-case.
    pub name: String,
    /// What it says.
    pub value: FactValue,
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum FactValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// One failure, reduced to facts.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fault {
    /// What the structured facts say.
    pub kind: FaultKind,
    /// The HTTP status where a server gave one, 100 to 599.
    #[cfg_attr(feature = "serde", serde(default))]
    pub status: Option<u16>,
    /// The operating system's error number (Linux numbering).
    #[cfg_attr(feature = "serde", serde(default))]
    pub errno: Option<i32>,
    /// What was being called.
    pub endpoint: Endpoint,
    /// The error's text: a server's innermost message, or the texts of a chain of causes; [`MESSAGE_LIMIT`] bytes of it are looked at.
    pub message: String,
    /// How the server labels it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub labels: Option<ErrorLabels>,
    /// How long the server asked to be left alone; seconds.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retry_after: Option<Seconds>,
    /// Whether the server says that trying again can help.
    #[cfg_attr(feature = "serde", serde(default))]
    pub should_retry: Option<bool>,
    /// Where the server sends its user: the address to sign in at, or that of a redirect.
    #[cfg_attr(feature = "serde", serde(default))]
    pub points_to: Option<String>,
}

impl Fault {
    /// A fault of this kind with this text, and nothing else known.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            errno: None,
            endpoint: Endpoint::Other,
            message: message.into(),
            labels: None,
            retry_after: None,
            should_retry: None,
            points_to: None,
        }
    }
}

named_enum! {
    /// What a failure means for recovery.
    pub enum ErrorCategory {
        /// Passes by itself; a retry is likely to succeed.
        Transient = "transient",
        /// The same call will fail the same way.
        Permanent = "permanent",
        /// Memory, disk or another resource is exhausted.
        Resource = "resource",
        /// The service cannot be reached.
        Connection = "connection",
        /// It took too long.
        Timeout = "timeout",
        /// No rule knew it.
        Unknown = "unknown",
    }
}

named_enum! {
    /// How bad it is, mildest first.
    pub enum ErrorSeverity {
        /// Non-critical; work can go on.
        Low = "low",
        /// Important but recoverable.
        Medium = "medium",
        /// Needs action soon.
        High = "high",
        /// The system cannot go on as it is.
        Critical = "critical",
    }
}

named_enum! {
    /// What a person or a program can do about it.
    pub enum SuggestedAction {
        /// See [`SuggestedAction::text`], as for each case.
        CheckService = "check_service",
        /// A budget of time was too small, or the service too slow.
        IncreaseTimeout = "increase_timeout",
        /// The model does not fit.
        UseSmallerModel = "use_smaller_model",
        /// A disk is full.
        FreeDisk = "free_disk",
        /// Too many files are open.
        RaiseOpenFilesLimit = "raise_open_files_limit",
        /// The model is not there.
        PullModel = "pull_model",
        /// The model's file does not suit this server.
        RepullModel = "repull_model",
        /// The server asked for patience.
        Wait = "wait",
        /// Waiting would take hours.
        UseFallback = "use_fallback",
        /// It passes by itself.
        Retry = "retry",
        /// The model's output was unusable.
        Resample = "resample",
        /// The request is wrong.
        FixInput = "fix_input",
        /// The prompt does not fit the context.
        ShortenPrompt = "shorten_prompt",
        /// The model lacks a feature.
        UseCapableModel = "use_capable_model",
        /// The server wants to know who calls.
        SignIn = "sign_in",
        /// This account may not use the model, or it was retired.
        UseAnotherModel = "use_another_model",
        /// The question does not fit the window.
        RaiseWindow = "raise_window",
        /// The answer's length was used up.
        RaiseAnswerLength = "raise_answer_length",
        /// The server cannot start its models.
        RepairServer = "repair_server",
        /// The server redirects to another address.
        FixAddress = "fix_address",
        /// Access was refused.
        FixPermissions = "fix_permissions",
        /// The server guards its `Host` header.
        FixHostHeader = "fix_host_header",
        /// The server does not know the route.
        UpgradeServer = "upgrade_server",
        /// The caller went away.
        Nothing = "nothing",
        /// Nothing is known about it.
        LogAndContinue = "log_and_continue",
    }
}

impl SuggestedAction {
    /// The action as a sentence for people, in the specification's words where it has them.
    pub const fn text(self) -> &'static str {
        match self {
            Self::CheckService => "Check service, retry with backoff",
            Self::IncreaseTimeout => "Increase timeout, retry",
            Self::UseSmallerModel => "Clear caches, use smaller model",
            Self::FreeDisk => "Free disk space",
            Self::RaiseOpenFilesLimit => "Close files or raise the limit of open files",
            Self::PullModel => "Pull model or use fallback",
            Self::RepullModel => "Pull the model again or use fallback",
            Self::Wait => "Wait and retry",
            Self::UseFallback => "Use fallback, waiting would take hours",
            Self::Retry => "Retry with backoff",
            Self::Resample => "Ask again, the model's output was unusable",
            Self::FixInput => "Fix input validation",
            Self::ShortenPrompt => "Shorten the prompt, raise num_ctx, or use a model with a longer context",
            Self::UseCapableModel => "Drop the feature or use a model that has it",
            Self::SignIn => "Sign in",
            Self::UseAnotherModel => "Use a model that this account may use",
            Self::RaiseWindow => "Raise num_ctx, or OLLAMA_CONTEXT_LENGTH on the server",
            Self::RaiseAnswerLength => "Allow a longer answer (num_predict), or less thinking",
            Self::RepairServer => "Repair the server's installation, it cannot start its models",
            Self::FixAddress => "Use the address that the server redirects to",
            Self::FixPermissions => "Fix permissions",
            Self::FixHostHeader => "Rewrite the Host header, or bind the server to the address that is used",
            Self::UpgradeServer => "Upgrade the server, it does not know this route",
            Self::Nothing => "Nothing, the caller went away",
            Self::LogAndContinue => "Log error and continue",
        }
    }
}

/// What a policy made of one failure.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Classification {
    /// What it means for recovery.
    pub category: ErrorCategory,
    /// How bad it is.
    pub severity: ErrorSeverity,
    /// Whether trying the same call again can help.
    pub retryable: bool,
    /// At most this many retries for this failure.
    pub retry_limit: Option<u32>,
    /// Whether a circuit breaker counts it.
    pub counted: bool,
    /// Whether another model on the same host could do better with the same request.
    pub model_specific: bool,
    /// Whether another host could do better with the same request and the same model.
    pub host_specific: bool,
    /// What to do about it.
    pub action: SuggestedAction,
    /// The rule that matched, kebab-case.
    pub rule: String,
}
