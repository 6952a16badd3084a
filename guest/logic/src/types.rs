//! Failures and their meaning (`wit/types.wit`).

use alloc::string::String;
use core::fmt;

/// Seconds, never negative or NaN.
pub type Seconds = f64;

/// Nanoseconds on the host's monotonic clock.
pub type Instant = u64;

/// Maximum length of text read, bytes.
pub const MESSAGE_LIMIT: usize = 8 * 1024;

/// Unknown name of an enum case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// Name of the enum.
    pub what: &'static str,
    /// Known names.
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
    /// Kind of a failure, from structured facts.
    pub enum FaultKind {
        /// No process listens at the address.
        ConnectionRefused = "connection_refused",
        /// The connection closed or ended within a message.
        ConnectionReset = "connection_reset",
        /// Unresolved host name.
        Dns = "dns",
        /// No route to the host.
        Unreachable = "unreachable",
        /// Failed TLS handshake.
        Tls = "tls",
        /// A time limit passed.
        Timeout = "timeout",
        /// Failed allocation.
        OutOfMemory = "out_of_memory",
        /// Disk full or over quota.
        DiskFull = "disk_full",
        /// Too many open files.
        TooManyOpenFiles = "too_many_open_files",
        /// Access refused.
        PermissionDenied = "permission_denied",
        /// Missing file, command or key.
        NotFound = "not_found",
        /// In use by another process.
        InUse = "in_use",
        /// Invalid input.
        InvalidInput = "invalid_input",
        /// Error status.
        HttpStatus = "http_status",
        /// Error inside a stream.
        StreamError = "stream_error",
        /// Early end of an answer.
        IncompleteAnswer = "incomplete_answer",
        /// Complete answer without content.
        EmptyAnswer = "empty_answer",
        /// The server dropped a part of the prompt.
        CutQuestion = "cut_question",
        /// Answer outside the agreed protocol.
        InvalidAnswer = "invalid_answer",
        /// The caller rejected an `Ok` result.
        RejectedResult = "rejected_result",
        /// The caller cancelled or disconnected.
        Cancelled = "cancelled",
        /// Rejected by a circuit breaker.
        CircuitOpen = "circuit_open",
        /// Rejected by a bulkhead.
        BulkheadFull = "bulkhead_full",
        /// Panic in the operation.
        Panicked = "panicked",
        /// Only the text can tell.
        Other = "other",
    }
}

named_enum! {
    /// Called endpoint.
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
        /// Ollama's routes that change models: create, copy, delete, push, blobs.
        Manage = "manage",
        /// Any `/v1/…` path of an OpenAI-compatible server.
        Openai = "openai",
        /// Tool call.
        Tool = "tool",
        /// Store: database, vector index, file.
        Store = "store",
        /// Another endpoint, or unknown.
        Other = "other",
    }
}

/// Error labels from the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ErrorLabels {
    /// `type`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub error_type: Option<String>,
    /// `code`; a number as its digits.
    #[cfg_attr(feature = "serde", serde(default))]
    pub error_code: Option<String>,
}

/// Fact without its own field. Policies ignore unknown names.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fact {
    /// Name, kebab-case.
    pub name: String,
    /// Value.
    pub value: FactValue,
}

/// Value of a fact.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum FactValue {
    /// Yes or no.
    Flag(bool),
    /// Whole number.
    Whole(i64),
    /// Number.
    Number(f64),
    /// Text.
    Text(String),
}

/// Failure, reduced to facts.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fault {
    /// Kind from structured facts.
    pub kind: FaultKind,
    /// HTTP status, 100 to 599.
    #[cfg_attr(feature = "serde", serde(default))]
    pub status: Option<u16>,
    /// OS error number (Linux numbering).
    #[cfg_attr(feature = "serde", serde(default))]
    pub errno: Option<i32>,
    /// Called endpoint.
    pub endpoint: Endpoint,
    /// Server message or chain of causes; [`MESSAGE_LIMIT`] bytes are read.
    pub message: String,
    /// Labels from the server.
    #[cfg_attr(feature = "serde", serde(default))]
    pub labels: Option<ErrorLabels>,
    /// Delay that the server asked for, seconds.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retry_after: Option<Seconds>,
    /// Whether the server advises a retry.
    #[cfg_attr(feature = "serde", serde(default))]
    pub should_retry: Option<bool>,
    /// Address to sign in at, or of a redirect.
    #[cfg_attr(feature = "serde", serde(default))]
    pub points_to: Option<String>,
}

impl Fault {
    /// Creates a fault from kind and text.
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
    /// Category of a failure.
    pub enum ErrorCategory {
        /// Passes by itself.
        Transient = "transient",
        /// The same call will fail again.
        Permanent = "permanent",
        /// A resource is exhausted.
        Resource = "resource",
        /// The service is unreachable.
        Connection = "connection",
        /// A time limit passed.
        Timeout = "timeout",
        /// No rule matched.
        Unknown = "unknown",
    }
}

named_enum! {
    /// Severity of a failure, mildest first.
    pub enum ErrorSeverity {
        /// Work can go on.
        Low = "low",
        /// Important but recoverable.
        Medium = "medium",
        /// Needs action soon.
        High = "high",
        /// The system cannot go on.
        Critical = "critical",
    }
}

named_enum! {
    /// Action that helps. Each case names its cause.
    pub enum SuggestedAction {
        /// The service may be down.
        CheckService = "check_service",
        /// Timeout too short, or service too slow.
        IncreaseTimeout = "increase_timeout",
        /// The model does not fit.
        UseSmallerModel = "use_smaller_model",
        /// A disk is full.
        FreeDisk = "free_disk",
        /// Too many open files.
        RaiseOpenFilesLimit = "raise_open_files_limit",
        /// The model is missing.
        PullModel = "pull_model",
        /// Model file unsuitable for this server.
        RepullModel = "repull_model",
        /// The server asks to wait.
        Wait = "wait",
        /// Waiting would take hours.
        UseFallback = "use_fallback",
        /// It passes by itself.
        Retry = "retry",
        /// The output was unusable.
        Resample = "resample",
        /// The request is wrong.
        FixInput = "fix_input",
        /// The prompt exceeds the context.
        ShortenPrompt = "shorten_prompt",
        /// The model lacks a feature.
        UseCapableModel = "use_capable_model",
        /// Sign-in required.
        SignIn = "sign_in",
        /// Model not allowed for the account.
        UseAnotherModel = "use_another_model",
        /// The prompt exceeds the window.
        RaiseWindow = "raise_window",
        /// Answer at its length limit.
        RaiseAnswerLength = "raise_answer_length",
        /// Broken server installation.
        RepairServer = "repair_server",
        /// Redirect to another address.
        FixAddress = "fix_address",
        /// Access was refused.
        FixPermissions = "fix_permissions",
        /// Refused `Host` header.
        FixHostHeader = "fix_host_header",
        /// Unknown route.
        UpgradeServer = "upgrade_server",
        /// The caller disconnected.
        Nothing = "nothing",
        /// No action is known.
        LogAndContinue = "log_and_continue",
    }
}

impl SuggestedAction {
    /// Returns a sentence for people.
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

/// Meaning of a failure.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Classification {
    /// Category.
    pub category: ErrorCategory,
    /// Severity.
    pub severity: ErrorSeverity,
    /// Whether a repeated call may succeed.
    pub retryable: bool,
    /// Maximum number of retries.
    pub retry_limit: Option<u32>,
    /// Whether a circuit breaker counts it.
    pub counted: bool,
    /// Whether another model on the same host could succeed.
    pub model_specific: bool,
    /// Whether another host could succeed with the same model.
    pub host_specific: bool,
    /// Action that helps.
    pub action: SuggestedAction,
    /// Name of the matched rule, kebab-case.
    pub rule: String,
}
