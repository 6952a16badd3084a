//! Shows on a terminal what the gateway does: a line for each request, and for each change of a host, a breaker, the
//! configuration or the policy.
//!
//! The lines are made of the gateway's events. A thread of its own prints them: a terminal may stand still, and
//! requests must not. No text of a question or an answer is in an event.

use crate::output::{BAD, FAINT, GOOD, NOTABLE, Output, one_line, printable};
use anstyle::Style;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Maximum number of lines that wait for the terminal. Further ones are counted.
const WAITING: usize = 1024;
/// Maximum length of a value, characters.
const VALUE: usize = 300;
/// Target of the line of a request.
const ACCESS: &str = "upright::access";
/// Events with this field are parts of a request's story, which the request's own line tells.
const OF_REQUEST: &str = "operation";

/// Messages of events, and how they are shown: style, word, and text with fields in braces.
const SHOWN: [(&str, Style, &str, &str); 16] = [
    ("the host lists its models", GOOD, "host up", "{host}, models: {models}"),
    ("the host can be reached again", GOOD, "host up", "{host}"),
    ("the host cannot be reached", BAD, "host down", "{host}: {error}"),
    ("circuit breaker moved", NOTABLE, "breaker", "{breaker}: {from} -> {to}"),
    ("configuration reloaded", GOOD, "reloaded", "{file}; changed: {settings}"),
    ("settings that need a restart keep their values", NOTABLE, "restart", "needed for: {settings}"),
    ("the configuration stays as it was", BAD, "refused", "{error}; the configuration stays as it was"),
    ("policy swapped", GOOD, "swapped", "{from} -> {to}"),
    ("policy rolled back", BAD, "rolled back", "{from} -> {to}"),
    ("policy refused: the active one stays", BAD, "refused", "{policy} ({stage}): {error}"),
    ("the policy stays as it was", BAD, "refused", "{error}; the policy stays as it was"),
    ("the policy failed: safe mode answered", BAD, "safe mode", "{policy}: {error}"),
    ("the host dropped a part of the question", NOTABLE, "cut", "{host} dropped a part of a question to {model}"),
    ("draining", NOTABLE, "draining", "no new connections; requests in flight end first, unless you interrupt once more"),
    ("ended before the requests in flight", BAD, "ended", "before the requests in flight"),
    ("drained", GOOD, "drained", "every request has ended"),
];

/// Outcomes of requests that are no failure.
const OUTCOMES: [(&str, Style); 5] = [("whole", GOOD), ("passed", GOOD), ("cached", GOOD), ("stale", NOTABLE), ("client_gone", FAINT)];

/// One line to show, with the lines of an excerpt below it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    style: Style,
    word: String,
    text: String,
    excerpt: String,
}

/// Makes lines of events.
pub(super) struct View {
    lines: SyncSender<Option<(SystemTime, Line)>>,
    lost: Arc<AtomicU64>,
}

/// The lines that wait until they are [printed](Waiting::print).
pub(super) struct Waiting {
    lines: Receiver<Option<(SystemTime, Line)>>,
    end: SyncSender<Option<(SystemTime, Line)>>,
    lost: Arc<AtomicU64>,
}

/// Prints lines until its end.
pub(super) struct Printer {
    end: SyncSender<Option<(SystemTime, Line)>>,
    thread: JoinHandle<()>,
}

/// A view, and the lines that it makes.
pub(super) fn view() -> (View, Waiting) {
    let (end, lines) = sync_channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    (View { lines: end.clone(), lost: Arc::clone(&lost) }, Waiting { lines, end, lost })
}

impl<S: Subscriber> Layer<S> for View {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Some(line) = fields.line(event.metadata().target(), *event.metadata().level()) else { return };
        if self.lines.try_send(Some((SystemTime::now(), line))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Waiting {
    /// Prints the lines from now on, those that wait first.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn print(self, output: Output) -> std::io::Result<Printer> {
        let Self { lines, end, lost } = self;
        let print = move || {
            while let Ok(Some((at, line))) = lines.recv() {
                // The terminal may have gone. The gateway goes on.
                let _ = output.print(&line.printed(at, &output));
                let missed = lost.swap(0, Ordering::Relaxed);
                if missed > 0 {
                    let line = Line::new(NOTABLE, "missed", &format!("{missed} lines, which the terminal was too slow for"));
                    let _ = output.print(&line.printed(at, &output));
                }
            }
        };
        Ok(Printer { end, thread: std::thread::Builder::new().name("upright-view".to_owned()).spawn(print)? })
    }
}

impl Printer {
    /// Prints the lines that wait, and ends.
    pub(super) fn end(self) {
        // A terminal that stands still would not let the program end.
        if self.end.try_send(None).is_ok() {
            // A panic was reported by its own thread.
            let _ = self.thread.join();
        }
    }
}

impl Line {
    fn new(style: Style, word: &str, text: &str) -> Self {
        Self { style, word: one_line(word), text: one_line(text), excerpt: String::new() }
    }

    /// The line with its time, in UTC as in the log.
    fn printed(&self, at: SystemTime, output: &Output) -> String {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() % 86_400);
        let at = format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let word = output.paint(self.style, format_args!("{:<11}", self.word));
        let excerpt: String = self.excerpt.lines().map(|line| format!("{}\n", printable(line))).collect();
        format!("{}  {word} {}\n{excerpt}", output.paint(FAINT, at), self.text)
    }
}

/// The fields of an event as text. The message is one of them.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The line for the event; `None` for a part of a request's story.
    fn line(&self, target: &str, level: Level) -> Option<Line> {
        if target == ACCESS {
            return Some(self.request());
        }
        if self.0.contains_key(OF_REQUEST) {
            return None;
        }
        let message = self.get("message");
        let Some((_, style, word, text)) = SHOWN.iter().find(|(known, ..)| *known == message) else { return Some(self.other(level)) };
        let style = match self.get("to") {
            "open" => BAD,
            "closed" => GOOD,
            _ => *style,
        };
        Some(Line { excerpt: self.get("excerpt").to_owned(), ..Line::new(style, word, &self.filled(text)) })
    }

    /// The line of a request: what was asked of whom, and what recovery did.
    fn request(&self) -> Line {
        let [route, model, host, outcome] = ["route", "model", "host", "outcome"].map(|name| self.shown(name));
        let [attempts, milliseconds, failed, error, window, status] =
            ["attempts", "milliseconds", "failed", "error", "window", "status"].map(|name| self.shown(name));
        let plural = if attempts == "1" { "" } else { "s" };
        let asked = [route, model].join(" ");
        let mut text = format!("{} at {host}, {attempts} attempt{plural}, {milliseconds} ms", asked.trim_end());
        if !status.is_empty() {
            text += &format!(", status {status}");
        }
        // Writing to a text cannot fail.
        let _ = match (outcome.as_str(), failed.as_str()) {
            // An error of the gateway's own. One of a host may quote what the host was asked.
            ("failed" | "queue_full" | "no_host", "") => write!(text, ": {error}"),
            (_, "") => Ok(()),
            ("whole", failed) if window.is_empty() => write!(text, ": {failed}; {host} answered"),
            ("whole", failed) => write!(text, ": {failed}; {host} answered with a window of {window} tokens"),
            ("cached" | "stale", failed) => write!(text, ": {failed}; the cache answered"),
            (_, failed) => write!(text, ": {failed}"),
        };
        let refused = outcome == "passed" && status.parse().is_ok_and(|status: u16| status >= 400);
        let style = OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or(BAD, |(_, style)| if refused { NOTABLE } else { *style });
        Line::new(style, &outcome.replace('_', " "), &text)
    }

    /// An event that [`SHOWN`] lacks.
    fn other(&self, level: Level) -> Line {
        let (style, word) = match level {
            Level::ERROR => (BAD, "error"),
            Level::WARN => (NOTABLE, "warning"),
            _ => (FAINT, "info"),
        };
        let fields: String =
            self.0.keys().filter(|name| **name != "message").map(|name| format!(", {name}: {}", self.shown(name))).collect();
        Line::new(style, word, &format!("{}{fields}", self.get("message")))
    }

    /// A text with the fields in its braces.
    fn filled(&self, text: &str) -> String {
        let parts = text.split(['{', '}']).enumerate();
        parts.map(|(index, part)| if index.is_multiple_of(2) { part.to_owned() } else { self.shown(part) }).collect()
    }

    /// A field, cut to the maximum length.
    fn shown(&self, name: &str) -> String {
        self.get(name).chars().take(VALUE).collect()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let causes = std::iter::successors(Some(value), |&error| error.source());
        self.0.insert(field.name(), causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
    }
}
