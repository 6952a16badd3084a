//! Shows the demo's events on one time line.

use crate::output::{BAD, FAINT, GOOD, HEADING, NOTABLE, Output, one_line};
use anstyle::Style;
use futures_util::future::{Either, select};
use serde_json::json;
use std::pin::pin;
use std::time::{Duration, Instant};
use upright::Event;
use upright::events::Subscription;
use upright::types::Phase;

/// Maximum length of a server's text, characters.
const TEXT: usize = 72;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) failed_attempts: u32,
    pub(super) retries: u32,
    pub(super) switches: u32,
    pub(super) enlarged: u32,
    pub(super) rejections: u32,
    pub(super) opened: u32,
    pub(super) half_opened: u32,
    pub(super) closed: u32,
    pub(super) swaps: u32,
    pub(super) safe_mode: u32,
}

pub(super) struct Screen<'a> {
    output: &'a Output,
    events: Subscription,
    began: Instant,
    act: u32,
    pub(super) brief: bool,
    pub(super) seen: Seen,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a Output, events: Subscription) -> Self {
        Self { output, events, began: Instant::now(), act: 0, brief: false, seen: Seen::default() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn output(&self) -> &Output {
        self.output
    }

    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.output.json {
            return Ok(self.output.json_line(&json!({ "said": text }))?);
        }
        Ok(self.output.line(text)?)
    }

    pub(super) fn heading(&mut self, title: &str) -> anyhow::Result<()> {
        self.act += 1;
        self.brief = false;
        if self.output.json {
            return Ok(self.output.json_line(&json!({ "act": self.act, "title": title }))?);
        }
        Ok(self.output.line(format_args!("\n{}", self.output.paint(HEADING, format_args!("{}. {title}", self.act))))?)
    }

    pub(super) fn mark(&self, style: Style, what: &str, text: &str) -> anyhow::Result<()> {
        let (at, text) = (self.elapsed().as_secs_f64(), one_line(text));
        if self.output.json {
            return Ok(self.output.json_line(&json!({ "at": at, "act": self.act, "event": what, "text": text }))?);
        }
        let (at, what) = (self.output.paint(FAINT, format_args!("{at:6.2} s")), self.output.paint(style, format_args!("{what:<10}")));
        Ok(self.output.line(format_args!("  {at}  {what} {text}"))?)
    }

    /// Shows events while it waits.
    pub(super) async fn watch<T>(&mut self, something: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut something = pin!(something);
        loop {
            let first = match select(something.as_mut(), pin!(self.events.recv())).await {
                Either::Left((value, _)) => Either::Left(value),
                Either::Right((received, _)) => Either::Right(received),
            };
            let received = match first {
                Either::Right(received) => received,
                Either::Left(value) => {
                    while let Some(event) = self.events.try_recv() {
                        self.show(&event)?;
                    }
                    return Ok(value);
                }
            };
            match received {
                Some(Event::Missed { events }) => self.mark(NOTABLE, "missed", &format!("{events} events"))?,
                Some(event) => self.show(&event)?,
                // The manager keeps the sender.
                None => return Ok(something.await),
            }
        }
    }

    fn show(&mut self, event: &Event) -> anyhow::Result<()> {
        let seen = &mut self.seen;
        let (often, style, what, text) = match event {
            Event::AttemptFailed { classification, message, .. } => {
                seen.failed_attempts += 1;
                let cut: String = message.chars().take(TEXT).collect();
                (true, BAD, "failed", format!("{cut} -> {}, {}", classification.category, classification.rule))
            }
            Event::RetryScheduled { attempt, delay, .. } => {
                seen.retries += 1;
                (true, NOTABLE, "retry", format!("attempt {attempt} after {:.2} s", delay.as_secs_f64()))
            }
            Event::ModelSwitched { from, to, reason, .. } => {
                seen.switches += 1;
                (true, NOTABLE, "fallback", format!("{from} -> {to} ({reason})"))
            }
            Event::WindowEnlarged { from, to, needed, .. } => {
                seen.enlarged += 1;
                let number = |tokens: &Option<u32>| tokens.map_or_else(|| "?".to_owned(), |tokens| tokens.to_string());
                (true, NOTABLE, "window", format!("{} -> {to} tokens, for a question of {}", number(from), number(needed)))
            }
            Event::CallRejected { breaker, .. } => {
                seen.rejections += 1;
                (true, NOTABLE, "rejected", format!("the breaker of {breaker} rejects the call; the server is not asked"))
            }
            Event::BreakerMoved { breaker, from, to } => {
                let (count, style) = match to {
                    Phase::Open => (&mut seen.opened, BAD),
                    Phase::HalfOpen => (&mut seen.half_opened, NOTABLE),
                    Phase::Closed => (&mut seen.closed, GOOD),
                };
                *count += 1;
                (false, style, "breaker", format!("{breaker}: {from} -> {to}"))
            }
            Event::ServedCached { age, .. } => {
                (false, NOTABLE, "cached", format!("a cached answer from {:.1} s ago is used", age.as_secs_f64()))
            }
            Event::FallbackUsed { reason, .. } => (false, NOTABLE, "fallback", format!("the caller's own ({reason})")),
            Event::GaveUp { reason, .. } => (false, BAD, "gave up", reason.to_string()),
            Event::PolicySwapped { from, to } => {
                seen.swaps += 1;
                (false, GOOD, "swapped", format!("{from} -> {to}"))
            }
            Event::SafeMode { policy, error } => {
                seen.safe_mode += 1;
                (false, BAD, "safe mode", format!("{policy}: {error}"))
            }
            // The swap itself says more.
            Event::PolicyStage { .. } => return Ok(()),
            Event::PolicyRefused { policy, stage, error } => (false, BAD, "refused", format!("{policy} ({stage}): {error}")),
            Event::PolicyRolledBack { from, to } => (false, BAD, "rolled back", format!("{from} -> {to}")),
            other => (false, FAINT, "event", format!("{other:?}")),
        };
        if often && self.brief { Ok(()) } else { self.mark(style, what, &text) }
    }
}
