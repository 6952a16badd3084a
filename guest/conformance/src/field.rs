//! Failures of real programs with the right classification: `field/*.jsonl`, described in its README.
//!
//! Rules are written from one half of the rows and scored on the other. The row's normalised text decides its half, so
//! that equal texts stay together.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use upright_logic::types::{Classification, Endpoint, ErrorCategory, SuggestedAction};

/// A failure and its right answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// Unique id.
    pub id: String,
    /// Program that reports it.
    pub program: String,
    /// How it is met.
    pub form: Form,
    /// Endpoint called.
    pub endpoint: Option<Endpoint>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Relevant headers, by lower-case name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body of the answer, or a client's text.
    pub body: Option<String>,
    /// Words of the command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Exit code.
    pub code: Option<u8>,
    /// Standard error.
    pub stderr: Option<String>,
    /// Kind of failure.
    pub means: String,
    /// The right answer.
    #[serde(flatten)]
    pub right: Answer,
    /// Reason why it differs from its kind's answer.
    pub why: Option<String>,
    /// Source of the text.
    pub source: String,
}

/// How a failure is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Answer with an error status.
    Http,
    /// Error inside an answer with a good status.
    Stream,
    /// Error text of a client library.
    Text,
    /// Failed command.
    Exit,
}

/// The right classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// See [`Classification`], as for the other fields.
    pub category: ErrorCategory,
    /// Whether a retry can help.
    pub retryable: bool,
    /// Maximum number of retries.
    pub retry_limit: Option<u32>,
    /// Whether a breaker counts it.
    pub counted: bool,
    /// Whether another model could succeed.
    pub model_specific: bool,
    /// Whether another host could succeed.
    pub host_specific: bool,
    /// Suggested action.
    pub action: SuggestedAction,
}

impl From<&Classification> for Answer {
    fn from(classification: &Classification) -> Self {
        let Classification { category, retryable, retry_limit, counted, model_specific, host_specific, action, .. } = *classification;
        Self { category, retryable, retry_limit, counted, model_specific, host_specific, action }
    }
}

/// Half of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// For writing rules.
    First,
    /// For scoring rules.
    Second,
}

impl Row {
    /// Text of the failure.
    pub fn text(&self) -> &str {
        self.body.as_deref().or(self.stderr.as_deref()).unwrap_or_default()
    }

    /// Half of this row.
    pub fn half(&self) -> Half {
        // FNV-1a: its upper bits depend on all bytes.
        let hash = normal(self.text())
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        if hash >> 40 & 1 == 0 { Half::First } else { Half::Second }
    }

    /// The row with other meaningless numbers, addresses and paths.
    pub fn varied(&self, variant: u32) -> Self {
        let vary = |text: &String| varied(text, variant);
        Self { body: self.body.as_ref().map(vary), stderr: self.stderr.as_ref().map(vary), ..self.clone() }
    }
}

/// Pairs of row ids with similar words and different kinds.
pub const LOOK_ALIKES: [(&str, &str); 16] = [
    // Question too long, too many questions, name too long.
    ("gemini-400-input-token-count", "bedrock-later-5"),
    ("litellm-context-window-openai", "openai-later-1"),
    // The model's text, a proxy's page, the caller's JSON.
    ("ollama-today-harmony-not-json", "ollama-cli-proxy-html"),
    ("litellm-ollama-tool-call-unparsable", "ollama-rec-bad-json"),
    // The model lacks an ability, is absent, or the installation lacks it.
    ("ollama-rec-chat-tools", "triton-later-1"),
    ("ollama-rec-embed-missing-model", "ollama-later-12"),
    // This account, or this address.
    ("ollama-today-cloud-subscription", "nginx-403"),
    ("openai-python-insufficient-quota", "docker-pull-toomanyrequests"),
    // A process that ended by itself, or for lack of memory.
    ("ollama-old-terminated-0xc0000409", "ollama-rec-inner-killed-loading-chat"),
    ("ollama-today-mlx-architecture", "ollama-old-more-system-memory"),
    // A damaged file, a truncated request.
    ("ollama-old-manifest-unexpected-eof", "ollama-rec-bad-json"),
    // An incomplete installation, too many open files.
    ("docker-model-runner-later-4", "cat-later-146"),
    // The inner server is away, or the server itself.
    ("ollama-today-failed-tokenize-embed", "go-refused"),
    // The registry is away, or lacks the model.
    ("ollama-old-pull-io-timeout", "ollama-old-pull-not-exist"),
    // A cut connection, a truncated text.
    ("go-transport-unexpected-eof", "go-template-eof"),
    // A failure, and a name that sounds like one.
    ("httpx-timed-out", "git-later-411"),
];

/// All rows except the later ones, in file and line order.
///
/// # Panics
/// On an unreadable file, malformed line or repeated id.
pub fn rows() -> Vec<Row> {
    read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/field")))
}

/// Rows collected after the rules were written.
///
/// # Panics
/// On an unreadable file, malformed line or repeated id.
pub fn later() -> Vec<Row> {
    read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/field/later")))
}

fn read(folder: &Path) -> Vec<Row> {
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let mut rows = Vec::new();
    for path in files {
        for (index, line) in text(&path).lines().enumerate() {
            let row: Row = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}, line {}: {error}", path.display(), index + 1));
            rows.push(row);
        }
    }
    let distinct: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(distinct.len(), rows.len(), "two rows have the same name");
    rows
}

/// Lower-case words; `#` replaces each word with a digit or a part of a path or address.
pub fn normal(text: &str) -> String {
    let is_edge = |letter: char| letter.is_whitespace() || "\"'`,;()[]{}<>=!?\\".contains(letter);
    let mut normal = String::new();
    for word in text.split(is_edge).map(|word| word.trim_matches(|letter: char| ":.-".contains(letter))).filter(|word| !word.is_empty()) {
        let names = word.contains(|letter: char| letter.is_ascii_digit() || "/:@%&".contains(letter) || !letter.is_ascii());
        if !normal.is_empty() {
            normal.push(' ');
        }
        if names { normal.push('#') } else { normal.push_str(&word.to_ascii_lowercase()) }
    }
    normal
}

/// Replaces numbers from five digits, addresses, digests and homes. Shorter numbers may be a status, errno or code.
fn varied(text: &str, variant: u32) -> String {
    let mut varied = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        let length = from.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(from.len());
        let (run, after) = from.split_at(length);
        varied.push_str(before);
        let alone = !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
            && !after.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let digits = run.bytes().all(|byte| byte.is_ascii_digit());
        let names_an_error = varied.to_ascii_lowercase().ends_with("error ") || varied.ends_with("rrno ") || varied.ends_with("0x");
        let decimal = digits && run.len() >= 5 && !names_an_error;
        let digest = run.len() >= 12 && run.bytes().any(|byte| byte.is_ascii_digit());
        if alone && (decimal || digest) {
            varied.extend(run.chars().enumerate().map(|(place, letter)| other(letter, place, variant)));
        } else {
            varied.push_str(run);
        }
        rest = after;
    }
    varied.push_str(rest);
    let homes = ["/srv/models", "/data/ollama", "/home/user/.ollama/models"];
    let home = homes[variant as usize % homes.len()];
    ["/usr/share/ollama/.ollama/models", "/root/.ollama/models", "/var/lib/ollama/models"]
        .iter()
        .fold(varied, |text, known| text.replace(known, home))
}

fn other(letter: char, place: usize, variant: u32) -> char {
    let Some(digit) = letter.to_digit(10) else { return letter };
    let moved = (digit + variant + place as u32) % 10;
    let moved = if place == 0 && moved == 0 { 1 } else { moved };
    char::from_digit(moved, 10).unwrap_or(letter)
}

/// Number of right rows in a half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Right rows.
    pub right: usize,
    /// All rows.
    pub all: usize,
}

impl Score {
    /// Adds a row.
    pub fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    /// Share of right rows, 0 to 1; 1 without rows.
    pub fn share(self) -> f64 {
        if self.all == 0 { 1.0 } else { self.right as f64 / self.all as f64 }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} right ({:.1} %)", self.right, self.all, 100.0 * self.share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_numbers_names_and_paths_are_the_same() {
        let texts =
            ["model 'qwen3:8b' not found, 5 of /usr/share/a at 10.0.0.7:5000", "model 'llama3.2' not found, 17 of /srv/b at http://x:1"];
        assert_eq!(normal(texts[0]), normal(texts[1]));
        assert_ne!(normal("connection refused"), normal("connection reset"));
    }

    #[test]
    fn statuses_and_error_numbers_stay_as_they_are_and_long_numbers_do_not() {
        let text = "HTTP 503 (os error 10061) at 127.0.0.1:61992, sha256-9811e90b0eecf200, 96576768 bytes";
        let varied = varied(text, 3);
        assert!(varied.contains("HTTP 503 (os error 10061) at 127.0.0.1:") && !varied.contains("61992"), "{varied}");
        assert!(!varied.contains("96576768") && !varied.contains("9811e90b0eecf200"), "{varied}");
    }

    #[test]
    fn there_are_rows_enough_of_programs_enough_in_both_halves() {
        let rows = rows();
        let distinct: HashSet<String> = rows.iter().map(|row| normal(row.text())).collect();
        let programs: HashSet<&str> = rows.iter().map(|row| row.program.as_str()).collect();
        let first = rows.iter().filter(|row| row.half() == Half::First).count();
        println!("{} rows, {} distinct texts of {} programs; {first} in the first half", rows.len(), distinct.len(), programs.len());
        assert!(rows.len() >= 400 && distinct.len() >= 300 && programs.len() >= 20);
        assert!(first * 10 > rows.len() * 4 && first * 10 < rows.len() * 6, "{first} of {}", rows.len());
    }
}
