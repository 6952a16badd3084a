//! Two stand-ins for hosts: the first has a fault, and the second is healthy. Both speak Ollama's protocol and
//! OpenAI's.

use crate::scenarios::{Fault, Scenario};
use crate::speaker::Speaker;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use upright_test_kit::model_host::ModelHost;

/// The model that clients ask for.
pub(crate) const MODEL: &str = "m";
/// The model that may serve in its place.
pub(crate) const SPARE: &str = "spare";
/// A model without faults on both hosts.
pub(crate) const WELL: &str = "well";

/// The whole answer of every model: 60 tokens.
pub(crate) const TEXT: &str = "A lock keeper counts the boats at dusk and writes each name in a book, since the river \
    forgets and the book does not. When the light fails he reads the names aloud, one after another, so that anyone on \
    the bank can hear who has come home, who is late, and for whom the lamp must burn until morning.";

/// The whole answer of a model that was asked with another seed: the words of [`TEXT`], the last one first.
pub(crate) fn other_text() -> String {
    TEXT.split(' ').rev().collect::<Vec<_>>().join(" ")
}

/// Number of tokens before an answer is cut, falls silent, or has a line that nobody can read.
const CUT_AFTER: usize = 40;
const SILENT_AFTER: usize = 20;
const GARBLED_AT: usize = 10;
/// Number of tokens in each piece of the second host's answers: no fault of the first falls between two pieces.
const TOKENS_EACH: usize = 7;
/// Time after which a late host begins its answer: twice the limit for the first content.
const LATE: Duration = Duration::from_secs(4);
/// Time after which a silent host closes its connection. A client that waits for it hangs.
const SILENCE: Duration = Duration::from_secs(40);

/// Protocol that a host is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Ollama,
    OpenAi,
}

/// Models of the second host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// It has the first host's model, too.
    SameModel,
    /// It has another model alone.
    OtherModel,
}

/// The requests that a host saw.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Seed of its last question.
    seed: Mutex<Option<i64>>,
    /// Times of its questions.
    pub(crate) times: Mutex<Vec<Instant>>,
    /// Number of whole answers that it has sent.
    pub(crate) whole: AtomicUsize,
    /// Number of continuations that it has refused.
    pub(crate) refused: AtomicUsize,
    /// Whether it is in an outage.
    pub(crate) down: AtomicBool,
}

impl Record {
    pub(crate) fn asked(&self) -> usize {
        self.times.lock().unwrap().len()
    }

    /// Notes a question. Returns its number, from 1.
    fn note(&self, seed: Option<i64>) -> usize {
        *self.seed.lock().unwrap() = seed;
        let mut times = self.times.lock().unwrap();
        times.push(Instant::now());
        times.len()
    }
}

pub(crate) struct Hosts {
    pub(crate) first: ModelHost,
    pub(crate) second: ModelHost,
    pub(crate) at_first: Arc<Record>,
    pub(crate) at_second: Arc<Record>,
}

impl Hosts {
    pub(crate) fn start(scenario: &'static Scenario, second: Second) -> Self {
        let records: [Arc<Record>; 2] = Default::default();
        let [at_first, at_second] = records.clone();
        let before = Arc::clone(&at_first);
        let fault = scenario.fault;
        let first = ModelHost::start(move |asked, line| {
            let Some(mut speaker) = Speaker::of(asked, line, &[MODEL, WELL, "first"], 1) else { return };
            if speaker.model == WELL {
                return speaker.answers();
            }
            let number = at_first.note(speaker.seed);
            fault.play(&mut speaker, number, &at_first);
        });
        let second = ModelHost::start(move |asked, line| {
            let models: &[&str] = if second == Second::SameModel { &[MODEL, SPARE, WELL, "second"] } else { &[SPARE, WELL, "second"] };
            let Some(mut speaker) = Speaker::of(asked, line, models, TOKENS_EACH) else { return };
            if speaker.model == WELL {
                return speaker.answers();
            }
            at_second.note(speaker.seed);
            // The fault lies with the model, not with the host.
            if let (MODEL, Fault::Refuses { by_model: true, .. }) = (&*speaker.model, fault) {
                return fault.play(&mut speaker, 1, &at_second);
            }
            if scenario.refuses_prefill && speaker.prefill.is_some() {
                at_second.refused.fetch_add(1, Ordering::SeqCst);
                return speaker.refuses(
                    400,
                    "this model continues no answer: the last message must be the user's",
                    "invalid_prefill",
                    None,
                );
            }
            // A model repeats its words only with the same seed.
            let is_same = speaker.seed.is_some() && speaker.seed == *before.seed.lock().unwrap();
            if speaker.model == MODEL && fault.is_after_content() && !is_same {
                speaker.says(&other_text());
            }
            speaker.answers();
        });
        let [at_first, at_second] = records;
        Self { first, second, at_first, at_second }
    }
}

impl Fault {
    /// Plays the fault as an answer to the question of this number.
    fn play(self, speaker: &mut Speaker<'_>, number: usize, record: &Record) {
        match self {
            Self::Refuses { status, says, code, pause, times, .. } if number <= times => speaker.refuses(status, says, code, pause),
            Self::Down if record.down.load(Ordering::SeqCst) => {
                speaker.refuses(503, "overloaded, please try again later", "overloaded", None)
            }
            Self::Resets if number == 1 => {
                let _ = socket2::SockRef::from(&speaker.line.stream).set_linger(Some(Duration::ZERO));
                speaker.line.close();
            }
            Self::Silent => {
                speaker.is_left_within(SILENCE);
                speaker.line.close();
            }
            Self::Late => {
                speaker.begin();
                if speaker.is_left_within(LATE) {
                    return speaker.line.close();
                }
                speaker.say(0..speaker.pieces.len());
                speaker.end(true);
                record.whole.fetch_add(1, Ordering::SeqCst);
            }
            Self::Cuts => {
                speaker.begin();
                speaker.say(0..CUT_AFTER);
                speaker.flush();
                speaker.line.close();
            }
            Self::FallsSilent => {
                speaker.begin();
                speaker.say(0..SILENT_AFTER);
                speaker.flush();
                speaker.is_left_within(SILENCE);
                speaker.line.close();
            }
            Self::Garbles => {
                speaker.begin();
                speaker.say(0..GARBLED_AT);
                speaker.garble();
                speaker.say(GARBLED_AT..speaker.pieces.len());
                speaker.end(true);
            }
            Self::LacksSentinel => {
                speaker.begin();
                speaker.say(0..speaker.pieces.len());
                speaker.end(false);
            }
            Self::Refuses { .. } | Self::Down | Self::Resets => {
                speaker.answers();
                record.whole.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[test]
fn the_whole_answer_has_sixty_tokens() {
    assert_eq!(TEXT.split(' ').count(), 60);
}
