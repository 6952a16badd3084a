//! The sections of the file. One table declares each key: its type, its default and the line that explains it.
//!
//! `--print-config` prints what rustdoc shows, so neither can go stale.

use super::address::Address;
use super::units::{KeepAlive, KeyHash, hold, listening, optional_span, size, span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use upright_core::clock;
use upright_core::types::{BreakerConfig, RetryConfig};
use upright_protocol::Hold;

/// A key of a section, for `--print-config`.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// A value as TOML, where the default is "not set".
    pub(super) example: Option<&'static str>,
}

/// A table of the file.
pub(super) trait Section: Serialize + Default {
    const ABOUT: &'static str;
    const KEYS: &'static [Key];

    /// Returns the keys whose values differ.
    fn changed(&self, other: &Self) -> Vec<&'static str>;
}

macro_rules! sections {
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
    ($(
        #[doc = $about:literal]
        pub struct $name:ident {
            $(
                #[doc = $text:literal]
                $(#[serde($($serde:tt)*)])?
                pub $key:ident: $type:ty = $default:expr $(=> $example:literal)?;
            )+
        }
    )+) => {$(
        #[doc = $about]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(
                #[doc = $text]
                $(#[serde($($serde)*)])?
                pub $key: $type,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl Section for $name {
            const ABOUT: &'static str = $about;
            const KEYS: &'static [Key] =
                &[$(Key { name: stringify!($key), text: $text, example: sections!(@example $($example)?) },)+];

            fn changed(&self, other: &Self) -> Vec<&'static str> {
                let keys = [$((stringify!($key), self.$key != other.$key),)+];
                keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
            }
        }
    )+};
}

/// Protocol that an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ollama's `/api`.
    #[default]
    Ollama,
    /// OpenAI's `/v1`: llama.cpp, vLLM, LM Studio.
    Openai,
}

/// Reaction to a question that is longer than the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// Asks for a larger window, else returns an error.
    #[default]
    Grow,
    /// Lets the server cut the question, as Ollama does by itself.
    Truncate,
    /// Returns an error.
    Error,
}

/// Reaction to a repeated answer that differs from what the client has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDifference {
    /// Ends the answer with an error.
    #[default]
    Error,
    /// Lets the model go on after the client's part, in other words.
    Continue,
    /// Begins the answer again, and says so.
    Restart,
}

sections! {
    /// The listener: its address, TLS, and its limits.
    pub struct Listen {
        /// IP address and port. An address other than loopback needs keys, or `access.open_to_everyone`.
        #[serde(with = "listening")]
        pub address: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 11444));
        /// File with the TLS certificate and its chain, PEM. Needs `tls_key`.
        pub tls_certificate: Option<PathBuf> = None => r#""/etc/upright/tls.crt""#;
        /// File with the private key of `tls_certificate`, PEM.
        pub tls_key: Option<PathBuf> = None => r#""/etc/upright/tls.key""#;
        /// Maximum size of the body of one request.
        #[serde(with = "size")]
        pub max_body: u64 = 64 << 20;
        /// Maximum memory for the bodies of all requests together.
        #[serde(with = "size")]
        pub max_body_memory: u64 = 512 << 20;
        /// Maximum size of the head of one request: its first line and its headers.
        #[serde(with = "size")]
        pub max_head: u64 = 64 << 10;
        /// Maximum time in which the head of a request must arrive, and for the handshake of TLS.
        #[serde(with = "span")]
        pub head_time: Duration = Duration::from_secs(10);
        /// Maximum number of open connections.
        pub max_connections: u32 = 10_000;
        /// Maximum number of requests that wait for one model on one host. More are refused at once.
        pub max_queue: u32 = 512;
    }

    /// A server that answers, one table each. Without any, the Ollama of this machine.
    pub struct Upstream {
        /// Address: `[http[s]://]host[:port][/path]`.
        pub url: Address = Address::default();
        /// Protocol: "ollama", or "openai" for llama.cpp, vLLM, LM Studio and the like.
        pub kind: Kind = Kind::Ollama;
        /// Name in headers, logs and metrics. Host and port of `url`, unless set.
        pub name: Option<String> = None => r#""workstation""#;
        /// Share of the requests, 1 to 1000, relative to the weights of the other upstreams.
        pub weight: u32 = 1;
        /// Maximum number of requests of one model at once. More requests wait. Unset: no limit.
        pub concurrency: Option<u32> = None => "4";
        /// Whether the client's own `Authorization` is sent to this upstream, unless it is a key of the gateway.
        pub forward_auth: bool = false;
        /// File with the API key that the gateway sends to this upstream.
        pub api_key_file: Option<PathBuf> = None => r#""/etc/upright/workstation.key""#;
    }

    /// Settings of one model, by the model's name.
    pub struct Model {
        /// Models that may serve in its place, best first.
        pub fallback: Vec<String> = Vec::new() => r#"["qwen3:4b"]"#;
        /// Maximum window that the gateway asks for, in tokens. The model's own maximum, unless set.
        pub window: Option<u32> = None => "32768";
        /// Time for which the server keeps it loaded, or "forever". The client's or the server's choice, unless set.
        pub keep_alive: Option<KeepAlive> = None => r#""30m""#;
    }

    /// Limits of time. Each covers one phase of a request, so a slow load is never mistaken for a dead server.
    pub struct Limits {
        /// Maximum time in the gateway's queue.
        #[serde(with = "span")]
        pub queue: Duration = Duration::from_secs(120);
        /// Maximum time until an upstream accepts the connection, with the lookup of its name and the handshake of TLS.
        #[serde(with = "span")]
        pub connect: Duration = Duration::from_secs(2);
        /// Maximum time in which an upstream loads a model, for an answer that is streamed.
        #[serde(with = "span")]
        pub loading: Duration = Duration::from_secs(360);
        /// Maximum time of an answer that is not streamed, loading included: it comes in one piece, at its end.
        #[serde(with = "span")]
        pub whole_answer: Duration = Duration::from_secs(1800);
        /// Maximum time from a loaded model to the first content of its answer.
        #[serde(with = "span")]
        pub first_content: Duration = Duration::from_secs(300);
        /// Maximum silence between two pieces of content.
        #[serde(with = "span")]
        pub between_content: Duration = Duration::from_secs(60);
        /// Maximum time of a whole request, with all attempts. Unset: no limit.
        #[serde(with = "optional_span")]
        pub total: Option<Duration> = None => r#""30m""#;
    }

    /// Retries of one request on one host.
    pub struct Retry {
        /// Maximum number of retries.
        pub max_retries: u32 = RetryConfig::default().max_retries;
        /// Delay before the first retry. Each further delay is twice as long, with jitter.
        #[serde(with = "span")]
        pub base_delay: Duration = Duration::from_millis(500);
        /// Maximum delay.
        #[serde(with = "span")]
        pub max_delay: Duration = Duration::from_secs(10);
    }

    /// The circuit breaker of each model on each host.
    pub struct Breaker {
        /// Number of consecutive failures that opens the circuit breaker of a host or model.
        pub failure_threshold: u32 = BreakerConfig::default().failure_threshold;
        /// Time from opening to the first probe.
        #[serde(with = "span")]
        pub recovery_timeout: Duration = clock::seconds(BreakerConfig::default().recovery_timeout);
        /// Number of successful probes that closes it.
        pub success_threshold: u32 = BreakerConfig::default().success_threshold;
        /// Maximum number of probes at once.
        pub half_open_permits: u32 = BreakerConfig::default().half_open_permits;
        /// Maximum time between failures that add up.
        #[serde(with = "span")]
        pub failure_window: Duration = clock::seconds(BreakerConfig::default().failure_window);
        /// Share of failed calls that opens it, above 0 and at most 1. Above 1 no share opens it.
        pub failure_rate_threshold: f64 = BreakerConfig::default().failure_rate_threshold;
        /// Minimum number of calls before the share counts.
        pub minimum_calls: u32 = BreakerConfig::default().minimum_calls;
    }

    /// Questions that are longer than the window.
    pub struct Window {
        /// Reaction: "grow" asks for a larger window, "truncate" cuts the question, "error" refuses it.
        pub overflow: Overflow = Overflow::Grow;
    }

    /// The clients that may use the gateway.
    pub struct Access {
        /// Whether everyone who reaches the address may use the gateway without a key.
        pub open_to_everyone: bool = false;
        /// Origins of web pages that may use it, beside Ollama's own: `https://chat.example`, `chrome-extension://*`.
        pub origins: Vec<String> = Vec::new();
        /// Names in a `Host` header that are accepted on loopback, beside Ollama's own: "gateway.example".
        pub hosts: Vec<String> = Vec::new();
        /// API keys by name.
        pub keys: BTreeMap<String, AccessKey> = BTreeMap::new();
    }

    /// An API key, by a name for logs and metrics. The key itself is not stored.
    pub struct AccessKey {
        /// SHA-256 of the key, 64 hexadecimal digits.
        pub sha256: KeyHash = KeyHash::default() => r#""9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#;
        /// Maximum number of requests a minute in the long run. Unset: no limit.
        pub requests_per_minute: Option<u32> = None => "60";
        /// Maximum number of requests in one burst, after a pause.
        pub burst: u32 = 10;
    }

    /// The log.
    pub struct Log {
        /// Whether each request writes a line.
        pub access: bool = true;
    }

    /// The journal of decisions, which `upright replay` reads.
    pub struct Journal {
        /// File that the journal is appended to. No journal, unless set.
        pub file: Option<PathBuf> = None => r#""/var/lib/upright/journal.jsonl""#;
    }

    /// The policy that decides about failures.
    pub struct Policy {
        /// File with the policy's component. The default policy, unless set.
        pub file: Option<PathBuf> = None => r#""/etc/upright/policy.wasm""#;
        /// Files with public keys. Only policies signed by one are accepted. Unset: every policy.
        pub trusted_keys: Vec<PathBuf> = Vec::new();
    }

    /// The cache of answers.
    pub struct Cache {
        /// Whether answers are kept.
        pub enabled: bool = false;
        /// Time for which an answer serves in place of a request.
        #[serde(with = "span")]
        pub fresh_for: Duration = Duration::from_secs(600);
        /// Further time for which an answer serves if every host fails.
        #[serde(with = "span")]
        pub stale_for: Duration = Duration::from_secs(86_400);
        /// Maximum number of answers.
        pub entries: u32 = 1000;
        /// Maximum memory of all answers together.
        #[serde(with = "size")]
        pub memory: u64 = 64 << 20;
    }

    /// Answers that are cut after their first content.
    pub struct Replay {
        /// Whether the request is repeated, compared with what the client has, and the rest of the answer sent.
        pub enabled: bool = true;
        /// Whether a streamed request gets a random seed where neither client nor model has one: only then it repeats.
        pub seed: bool = true;
        /// Maximum memory for the content of one answer, to compare the repeat with. Of the rest a hash is kept.
        #[serde(with = "size")]
        pub memory: u64 = 64 << 10;
        /// Reaction to a repeat that differs: "error", "continue" in the model's other words, or "restart" the answer.
        pub on_difference: OnDifference = OnDifference::Error;
        /// Number of tokens that are held back, or "all", so that a cut within them stays unseen.
        #[serde(with = "hold")]
        pub hold: Hold = Hold::Nothing;
    }

    /// The proof that an answer is whole.
    pub struct Integrity {
        /// Whether the client gets an error if an upstream cuts a question in silence.
        pub refuse_cut_questions: bool = true;
    }
}

impl OnDifference {
    /// Names of all reactions.
    pub(crate) const EXPECTED: &'static str = r#""error", "continue" or "restart""#;

    /// Reads a name, such as that in a header.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "continue" => Self::Continue,
            "restart" => Self::Restart,
            _ => return None,
        })
    }
}

impl Replay {
    /// Length of an answer's content that is kept, bytes; 0 where answers are not repeated.
    pub(crate) fn kept(&self) -> usize {
        if self.enabled { usize::try_from(self.memory).unwrap_or(usize::MAX) } else { 0 }
    }
}

impl Upstream {
    /// Name in headers, logs and metrics.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.url.authority())
    }
}

impl From<&Retry> for RetryConfig {
    fn from(retry: &Retry) -> Self {
        let Retry { max_retries, base_delay, max_delay } = retry;
        Self { max_retries: *max_retries, base_delay: base_delay.as_secs_f64(), max_delay: max_delay.as_secs_f64(), ..Self::default() }
    }
}

impl From<&Breaker> for BreakerConfig {
    fn from(breaker: &Breaker) -> Self {
        Self {
            failure_threshold: breaker.failure_threshold,
            recovery_timeout: breaker.recovery_timeout.as_secs_f64(),
            success_threshold: breaker.success_threshold,
            half_open_permits: breaker.half_open_permits,
            failure_window: breaker.failure_window.as_secs_f64(),
            failure_rate_threshold: breaker.failure_rate_threshold,
            minimum_calls: breaker.minimum_calls,
            ..Self::default()
        }
    }
}
