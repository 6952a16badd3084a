//! The record of a request: a line in the access log, and counts. No text of a question or an answer is in it.

use crate::hosts::host::Host;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of models and hosts that have counts of their own.
const LABELS: usize = 200;

/// Counts since the start, in Prometheus' text format. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Arc<Shared>);

/// Route, model, host and outcome.
type Labels = (&'static str, Arc<str>, Arc<str>, &'static str);

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<BTreeMap<Labels, u64>>,
    attempts: AtomicU64,
    open: AtomicU64,
    /// Answers to questions of which the host dropped a part.
    cut_questions: AtomicU64,
    untranslated: Mutex<BTreeMap<String, u64>>,
    /// Cut answers that were finished, that were not, and repeats that differed.
    finished: AtomicU64,
    unfinished: AtomicU64,
    differed: AtomicU64,
    /// Time for which clients waited for the rest of a cut answer, milliseconds.
    paused: AtomicU64,
}

impl Counts {
    fn request(&self, labels: Labels) {
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = requests.get_mut(&labels) {
            *count += 1;
            return;
        }
        let labels = if requests.len() < LABELS { labels } else { ("other", "other".into(), "other".into(), "other") };
        *requests.entry(labels).or_default() += 1;
    }

    /// Counts a request that was passed on untouched, because this field has no translation.
    pub(crate) fn untranslated(&self, field: &str) {
        let mut fields = self.0.untranslated.lock().unwrap_or_else(PoisonError::into_inner);
        if fields.len() < LABELS || fields.contains_key(field) {
            *fields.entry(field.to_owned()).or_default() += 1;
        }
    }

    /// A cut answer was finished after this pause, or was not.
    pub(super) fn rescued(&self, finished: bool, pause: Duration) {
        let count = if finished { &self.0.finished } else { &self.0.unfinished };
        count.fetch_add(1, Ordering::Relaxed);
        self.0.paused.fetch_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A repeat differed from what its client had.
    pub(super) fn differed(&self) {
        self.0.differed.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("# TYPE upright_gateway_requests_total counter\n");
        for ((route, model, host, outcome), count) in &*self.0.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let (model, host) = (escaped(model), escaped(host));
            let labels = format!("route=\"{route}\",model=\"{model}\",host=\"{host}\",outcome=\"{outcome}\"");
            // Writing to a text cannot fail.
            let _ = writeln!(text, "upright_gateway_requests_total{{{labels}}} {count}");
        }
        text += "# TYPE upright_gateway_untranslated_total counter\n";
        for (field, count) in &*self.0.untranslated.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(text, "upright_gateway_untranslated_total{{field=\"{}\"}} {count}", escaped(field));
        }
        text += "# TYPE upright_gateway_rescues_total counter\n";
        for (outcome, count) in [("finished", &self.0.finished), ("failed", &self.0.unfinished)] {
            let _ = writeln!(text, "upright_gateway_rescues_total{{outcome=\"{outcome}\"}} {}", count.load(Ordering::Relaxed));
        }
        let paused = Duration::from_millis(self.0.paused.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(
            text,
            "# TYPE upright_gateway_rescue_pause_seconds_total counter\nupright_gateway_rescue_pause_seconds_total {paused}"
        );
        for (name, kind, value) in [
            ("upright_gateway_rescue_differences_total", "counter", &self.0.differed),
            ("upright_gateway_attempts_total", "counter", &self.0.attempts),
            ("upright_gateway_cut_questions_total", "counter", &self.0.cut_questions),
            ("upright_gateway_open_requests", "gauge", &self.0.open),
        ] {
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {}", value.load(Ordering::Relaxed));
        }
        text
    }
}

/// A label's value: quotes, backslashes and line ends are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// An answer that passes through untouched.
#[derive(Debug, Default)]
struct Through {
    status: Option<u16>,
    /// Bytes that the client got.
    bytes: u64,
}

/// A request's story. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Story {
    counts: Counts,
    began: Instant,
    id: u64,
    route: &'static str,
    model: Arc<str>,
    host: Option<Arc<Host>>,
    outcome: &'static str,
    attempts: u32,
    /// Larger window of the last attempt, tokens.
    window: Option<u32>,
    /// Failed attempts: host, model and rule of the policy.
    failed: Vec<(Option<Arc<Host>>, Arc<str>, String)>,
    error: Option<String>,
    /// Number of cuts after which the answer was asked for again.
    rescues: u32,
    /// When the answer was cut, until its rest comes.
    cut: Option<Instant>,
    /// Time for which the client waited for the rest.
    pause: Duration,
    /// Of a request that is passed through.
    through: Option<Through>,
    logged: bool,
}

impl Story {
    pub(super) fn begin(counts: &Counts, id: u64, route: &'static str, model: Arc<str>, logged: bool) -> Self {
        counts.0.open.fetch_add(1, Ordering::Relaxed);
        let (counts, began) = (counts.clone(), Instant::now());
        // A request that is dropped before its end has lost its client.
        Self {
            counts,
            began,
            id,
            route,
            model,
            host: None,
            outcome: "client_gone",
            attempts: 0,
            window: None,
            failed: Vec::new(),
            error: None,
            rescues: 0,
            cut: None,
            pause: Duration::ZERO,
            through: None,
            logged,
        }
    }

    /// The story of a request that is passed through. Its model is in the log and not in the counts: clients ask for
    /// facts about each model that there is.
    pub(super) fn through(counts: &Counts, id: u64, route: &'static str, model: Arc<str>, logged: bool) -> Self {
        let mut story = Self::begin(counts, id, route, model, logged);
        story.through = Some(Through::default());
        story
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// An attempt begins at a host, with this larger window if it has one.
    pub(crate) fn at(&mut self, host: &Arc<Host>, model: Option<&Arc<str>>, window: Option<u32>) {
        self.attempts += 1;
        self.window = window;
        self.host = Some(Arc::clone(host));
        if let Some(model) = model {
            self.model = Arc::clone(model);
        }
    }

    pub(super) fn host(&self) -> Option<&Arc<Host>> {
        self.host.as_ref()
    }

    /// The attempt failed, by this rule of the policy or this kind of failure. Neither has text of an answer.
    pub(crate) fn missed(&mut self, rule: &str) {
        self.failed.push((self.host.clone(), Arc::clone(&self.model), rule.to_owned()));
    }

    /// Failed attempts in their order, such as `a: connection-refused (2 times); a/qwen3:8b: out-of-memory`; a model is
    /// named if it is not the last one.
    fn failed(&self) -> Option<String> {
        let one = |(host, model, rule): &(Option<Arc<Host>>, Arc<str>, String)| {
            let host = host.as_deref().map_or("none", |host| host.name());
            if *model == self.model { format!("{host}: {rule}") } else { format!("{host}/{model}: {rule}") }
        };
        let all: Vec<String> = self.failed.iter().map(one).collect();
        let counted = |equal: &[String]| if equal.len() == 1 { equal[0].clone() } else { format!("{} ({} times)", equal[0], equal.len()) };
        (!all.is_empty()).then(|| all.chunk_by(|one, next| one == next).map(counted).collect::<Vec<_>>().join("; "))
    }

    /// The answer was cut on its way to the client, and is asked for again.
    pub(super) fn cut(&mut self) {
        self.rescues += 1;
        self.cut.get_or_insert_with(Instant::now);
    }

    /// The rest of a cut answer comes.
    pub(super) fn goes_on(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.pause += cut.elapsed();
        }
    }

    /// The host dropped a part of the question, and the client gets the answer.
    pub(super) fn question_cut(&self) {
        self.counts.0.cut_questions.fetch_add(1, Ordering::Relaxed);
        let host = self.host.as_deref().map_or("none", |host| host.name());
        tracing::warn!(target: "upright", id = self.id, model = %self.model, host, "the host dropped a part of the question");
    }

    /// A host's answer begins to pass through.
    pub(super) fn passes(&mut self, host: &Arc<Host>, status: u16) {
        self.host = Some(Arc::clone(host));
        self.through = Some(Through { status: Some(status), bytes: 0 });
    }

    /// These bytes of an answer passed through.
    pub(super) fn passed(&mut self, bytes: &[u8]) {
        if let Some(through) = &mut self.through {
            through.bytes += bytes.len() as u64;
        }
    }

    /// A request that was passed through ends after the attempts that it made.
    pub(crate) fn end_through(self, outcome: &'static str, error: Option<String>) {
        let attempts = self.attempts;
        self.end(outcome, attempts, error);
    }

    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn end(mut self, outcome: &'static str, attempts: u32, error: Option<String>) {
        (self.outcome, self.attempts, self.error) = (outcome, attempts, error);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let (counts, id, route, model, outcome, attempts) = (&self.counts, self.id, self.route, &*self.model, self.outcome, self.attempts);
        let host = self.host.as_deref().map_or("none", |host| host.name());
        counts.0.open.fetch_sub(1, Ordering::Relaxed);
        counts.0.attempts.fetch_add(attempts.into(), Ordering::Relaxed);
        let counted = if self.through.is_some() { Arc::from("") } else { Arc::clone(&self.model) };
        let labels = (route, counted, self.host.as_ref().map_or_else(|| Arc::from("none"), |host| Arc::clone(host.name())), outcome);
        counts.request(labels);
        if self.rescues > 0 {
            let pause = self.pause + self.cut.map_or(Duration::ZERO, |cut| cut.elapsed());
            counts.rescued(outcome == "whole", pause);
        }
        if self.logged {
            let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (window, failed, error) = (self.window, self.failed(), self.error.as_deref());
            let rescues = (self.rescues > 0).then_some(self.rescues);
            let (status, bytes) = self.through.as_ref().map_or((None, None), |through| (through.status, Some(through.bytes)));
            tracing::info!(target: "upright::access",
                id, route, model, host, outcome, attempts, milliseconds, window, status, bytes, rescues, failed, error
            );
        }
    }
}
