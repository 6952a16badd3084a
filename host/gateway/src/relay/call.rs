//! One request of a client, from its first attempt to the end of its answer.

use super::attempt::{Brought, Missed, Way};
use super::cache::{Draft, Kept};
use super::place::Place;
use super::question::Question;
use super::story::Story;
use super::{Relays, entry};
use crate::config::{OnDifference, Overflow};
use crate::hosts::host::{Host, InFlight};
use crate::hosts::names::ModelName;
use crate::hosts::queue;
use crate::upstream::Pool;
use std::rc::Rc;
use std::sync::Arc;
use upright_core::driving::{Attempt, End, Facts, Finish, Run, Step};
use upright_core::types::{Classification, Fact, FactValue, Fault, FaultKind, Rescue, SuggestedAction};
use upright_protocol::{AnswerStream, OllamaError};

/// A request in progress. Dropped before its end, the client is gone: that counts for nothing.
pub(super) struct Call {
    pub(super) relays: Arc<Relays>,
    pub(super) pool: Rc<Pool>,
    pub(super) question: Box<Question>,
    pub(super) run: Run<Place>,
    pub(super) story: Option<Story>,
    /// Counts at the host while the answer comes.
    pub(super) busy: Option<InFlight>,
    /// Lets the next request in when the answer has ended.
    pub(super) held: Option<queue::Place>,
    /// The answer on its way into the cache.
    pub(super) draft: Option<Draft>,
    /// A kept answer to the same request.
    pub(super) kept: Option<Kept>,
    /// The last failure.
    pub(super) missed: Option<Missed>,
    /// The answer on its way to the client, if it is streamed.
    pub(super) stream: Option<Box<AnswerStream>>,
    /// Seed of the gateway's own in the last attempt.
    pub(super) seed: Option<u32>,
    /// Whether the model's own file fixes its answers.
    pub(super) is_fixed: bool,
    /// Whether the head of the answer was sent, so that its form must stay.
    pub(super) has_begun: bool,
}

/// An answer that begins.
pub(super) struct Came {
    pub(super) attempt: Attempt,
    pub(super) host: Arc<Host>,
    pub(super) brought: Brought,
}

/// Why no answer begins.
pub(super) enum Stop {
    /// No host serves the model.
    NoHost,
    /// The cached answer serves.
    Cached(End),
    /// Nothing helped.
    End(End),
}

impl Call {
    pub(super) fn id(&self) -> u64 {
        self.question.id
    }

    /// Takes steps until an answer begins.
    pub(super) async fn pursue(&mut self, mut step: Step) -> Result<Came, Stop> {
        loop {
            step = match step {
                Step::Attempt(attempt) => {
                    let Some(host) = self.run.context().host().map(Arc::clone) else { return Err(Stop::NoHost) };
                    match self.attempt(&attempt, &host).await {
                        Ok(brought) => return Ok(Came { attempt, host, brought }),
                        Err(next) => next,
                    }
                }
                Step::Wait(delay) => {
                    tokio::time::sleep(delay).await;
                    self.run.admit()
                }
                Step::Again => self.run.admit(),
                Step::ServeCached(end) => return Err(Stop::Cached(end)),
                Step::FallBack(end) | Step::Fail(end) => return Err(Stop::End(end)),
            }
        }
    }

    /// Makes an attempt. A failed one has its next step.
    async fn attempt(&mut self, attempt: &Attempt, host: &Arc<Host>) -> Result<Brought, Step> {
        let relays = Arc::clone(&self.relays);
        let model = ModelName::of(attempt.model()).unwrap_or_else(|| self.question.model.clone());
        let within = self.run.time_left().map_or(relays.limits.queue, |left| left.min(relays.limits.queue));
        self.held = match entry::enter(&[host], &model, self.held.take(), within).await {
            Ok((_, held)) => held,
            Err(full) => {
                self.run.context().failed_here(false);
                return Err(self.run.failed(upright_core::fault::fault_of(&full)));
            }
        };
        if let Some(story) = &mut self.story {
            story.at(host, attempt.model.as_ref(), attempt.window);
        }
        self.run.begun();
        let mut busy = match host.begin(Some(&model), attempt.window, relays.hosts.clock().now()) {
            Ok(busy) => busy,
            Err(open) => {
                self.run.context().failed_here(false);
                return Err(self.run.failed(upright_core::fault::fault_of(&open)));
            }
        };
        self.prepare(&relays, host, &model).await;
        let way = Way {
            clock: relays.hosts.clock(),
            pool: &self.pool,
            host,
            model: &model,
            limits: &relays.limits,
            settings: relays.settings(attempt.model()),
            overflow: relays.overflow,
            window: relays.windows.of(&model).filter(|_| self.question.asked.window.is_none()),
            refuse_cuts: relays.overflow != Overflow::Truncate,
            accepts_cuts: relays.accepts_cuts,
            has_others: self.run.context().has_others(),
            seed: self.seed,
        };
        match way.ask(&self.question, attempt, self.stream.as_deref_mut()).await {
            Ok(brought) => {
                if let Some(window) = attempt.window {
                    relays.windows.keep(&model, window);
                }
                self.busy = Some(busy);
                Ok(brought)
            }
            Err(failed) if failed.differs => {
                drop(busy);
                Err(self.differs())
            }
            Err(failed) => {
                let facts = failed.facts.clone();
                let meaning = relays.policy.classify(&facts.fault);
                self.miss(&meaning.rule, &meaning);
                busy.failed(facts.fault.clone(), &meaning, relays.hosts.clock().now());
                drop(busy);
                match attempt.window {
                    Some(window) if failed.loaded => relays.windows.keep(&model, window),
                    // The larger window may be why the model did not load.
                    Some(_) => relays.windows.forget(&model),
                    None => {}
                }
                self.missed = Some(failed);
                Err(self.next(facts))
            }
        }
    }

    fn miss(&mut self, rule: &str, meaning: &Classification) {
        if let Some(story) = &mut self.story {
            story.missed(rule);
        }
        self.run.context().failed_here(meaning.action == SuggestedAction::PullModel);
    }

    /// The next step after these facts, with those of the client's part and of the gateway's seed.
    fn next(&mut self, facts: Facts) -> Step {
        let facts = self.completed(facts);
        self.run.failed(facts)
    }

    fn completed(&self, mut facts: Facts) -> Facts {
        let delivered = self.stream.as_ref().map(|stream| stream.delivered()).unwrap_or_default();
        if let Some(exchange) = facts.circumstances.as_mut().and_then(|known| known.exchange.as_mut()) {
            exchange.delivered_text = delivered.text;
            exchange.delivered_thinking = delivered.thinking;
            exchange.delivered_tool_calls = u32::try_from(delivered.tool_calls).unwrap_or(u32::MAX);
        }
        if let Some(seed) = self.seed {
            let fact = Fact { name: "gateway-seed".to_owned(), value: FactValue::Number(seed.into()) };
            facts.circumstances.get_or_insert_default().more.push(fact);
        }
        facts
    }

    /// Readies question and stream for an attempt on this host.
    async fn prepare(&mut self, relays: &Relays, host: &Host, model: &ModelName) {
        let finish = self.run.finish();
        let Some(stream) = self.stream.as_mut().filter(|stream| !stream.is_fresh()) else {
            if !self.has_begun {
                self.question.turn_to(host.kind());
            }
            self.stream = self.question.asked.streamed.then(|| {
                let Question { asked, endpoint, wishes, .. } = &*self.question;
                Box::new(AnswerStream::new(asked.clone(), *endpoint, relays.accepts_cuts, relays.replay.kept(), wishes.hold))
            });
            (self.seed, self.is_fixed) = relays.seed(&self.pool, host, model, &self.question).await;
            return;
        };
        match finish {
            Finish::Repeat => stream.repeat(),
            Finish::GoOn => {
                if let Some(text) = stream.text() {
                    self.question.go_on_after(text);
                }
                stream.go_on();
                self.draft = None;
            }
            Finish::Restart => {
                stream.restart();
                self.draft = None;
            }
        }
    }

    /// Ways to finish the answer; `None` while the client has nothing of it.
    fn rescue(&self) -> Option<Rescue> {
        let stream = self.stream.as_ref().filter(|stream| !stream.is_fresh())?;
        let (asked, wish) = (&self.question.asked, self.question.wishes.on_difference);
        let is_fixed = self.is_fixed || self.seed.is_some() || !asked.can_differ();
        let enabled = self.relays.replay.enabled;
        Some(Rescue {
            replay: enabled && stream.can_repeat() && is_fixed,
            prefill: enabled && wish == OnDifference::Continue && self.question.can_go_on() && stream.text().is_some(),
            restart: enabled && wish == OnDifference::Restart && self.question.can_restart() && stream.can_repeat(),
        })
    }

    /// The answer was cut on its way to the client. Returns the next step.
    pub(super) fn cut(&mut self, error: &OllamaError) -> Step {
        let facts = Facts::of(error);
        let meaning = self.relays.policy.classify(&facts.fault);
        self.miss(facts.fault.kind.name(), &meaning);
        if let Some(mut busy) = self.busy.take() {
            busy.failed(facts.fault.clone(), &meaning, self.relays.hosts.clock().now());
        }
        if let Some(rescue) = self.rescue() {
            self.run.rescue(rescue);
        }
        self.missed = Some(Missed::cut(error, facts.clone()));
        self.next(facts)
    }

    /// The repeat has other words than the client. Returns the next step after the failure before it.
    pub(super) fn differs(&mut self) -> Step {
        self.relays.counts.differed();
        if let Some(story) = &mut self.story {
            story.missed("differs");
        }
        self.run.context().failed_here(false);
        self.busy = None;
        if let Some(rescue) = self.rescue() {
            self.run.rescue(Rescue { replay: false, ..rescue });
        }
        let facts = self.missed.as_ref().map(|missed| missed.facts.clone());
        let facts = self.completed(facts.unwrap_or_else(|| Fault::new(FaultKind::IncompleteAnswer, "the answer was cut").into()));
        self.run.differed(facts)
    }

    /// These bytes of the host's answer are for the client.
    pub(super) fn came(&mut self, bytes: &[u8]) {
        self.draft = self.draft.take().and_then(|draft| draft.with(bytes));
    }

    /// The client got a whole answer. The host may have dropped a part of the question, where that is accepted.
    pub(super) fn succeeded(&mut self, question_cut: bool) {
        self.run.succeeded();
        if let Some(busy) = &mut self.busy {
            busy.succeeded();
        }
        if question_cut && let Some(story) = &self.story {
            story.question_cut();
        }
        // Another model's answer is none to this request.
        if let Some(draft) = self.draft.take().filter(|_| !question_cut && self.run.is_as_asked()) {
            draft.keep();
        }
        self.end("whole", None);
    }

    /// The answer cannot be used, and the client got an error.
    pub(super) fn broken(&mut self, error: &OllamaError) {
        let facts = Facts::of(error);
        if let Some(story) = &mut self.story {
            story.missed(facts.fault.kind.name());
        }
        self.run.broken(facts);
        self.end("broken", Some(error.to_string()));
    }

    pub(super) fn end(&mut self, outcome: &'static str, error: Option<String>) {
        self.busy = None;
        self.held = None;
        if let Some(story) = self.story.take() {
            story.end(outcome, self.run.attempts(), error);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end("client_gone", None);
    }
}
