//! Altered components: loaded, swapped in with and without the probe, and asked everything.

use super::{Tally, Target, count};
use crate::corpus::Corpus;
use crate::dice::Dice;
use crate::finding::{Broken, one_line};
use crate::mutate;
use crate::mutate::sections::Tree;
use crate::question::Question;
use crate::vary::Vary;
use crate::{reach, sense};
use std::path::{Path, PathBuf};
use upright::events::{Event, Events};
use upright::policy::PolicyError;
use upright::policy::{PolicyLoader, Stage, SwapOptions};
use upright::testing::{DrivenClock, EventLog};
use upright::{Policy, PolicyLifecycle};
use upright_operations::eval::Evaluator;
use upright_runtime::STRIKES;

/// The target.
pub struct Components<'a> {
    corpus: &'a Corpus,
    by_function: Vec<Vec<&'a Question>>,
}

/// A component and its questions.
#[derive(Clone, Debug)]
pub struct Case {
    /// The component.
    pub bytes: Vec<u8>,
    /// The questions; all [can be asked](reach::can_be_asked).
    pub questions: Vec<Question>,
}

impl<'a> Components<'a> {
    /// Cases from the corpus's components and questions.
    pub fn new(corpus: &'a Corpus) -> Self {
        let of =
            |name: &&str| corpus.questions.iter().filter(|question| question.name() == *name && reach::can_be_asked(question)).collect();
        Self { corpus, by_function: Question::NAMES.iter().map(of).collect() }
    }

    /// A question for each function, within what a host sends.
    pub fn questions(&self, dice: &mut Dice) -> Vec<Question> {
        dice.tame = true;
        let mut questions = Vec::new();
        for known in self.by_function.iter().filter(|known| !known.is_empty()) {
            let known = *dice.pick(known);
            let mut question = known.clone();
            for _ in 0..dice.below(3) {
                question.vary(dice);
            }
            questions.push(if reach::can_be_asked(&question) { question } else { known.clone() });
        }
        questions
    }
}

fn slot() -> (PolicyLifecycle, EventLog) {
    let events = Events::default();
    let log = EventLog::of(&events);
    let slot = super::built_in().map_or_else(|_| PolicyLifecycle::native(), PolicyLifecycle::new);
    (slot.connected(DrivenClock::new().shared(), events), log)
}

fn unprobed() -> SwapOptions {
    SwapOptions { probe: false, ..SwapOptions::default() }
}

fn events_are_one_line(log: &EventLog) -> Result<(), Broken> {
    for event in log.take() {
        match event {
            Event::SafeMode { policy, error } => [policy, error].iter().try_for_each(|text| one_line(text))?,
            Event::PolicyRefused { policy, error, .. } => [policy, error].iter().try_for_each(|text| one_line(text))?,
            Event::PolicySwapped { from, to } | Event::PolicyRolledBack { from, to } => {
                [from, to].iter().try_for_each(|text| one_line(text))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn ask(slot: &PolicyLifecycle, question: &Question) -> Result<(), Broken> {
    let answer = question.ask(slot.slot());
    let nonsense = |expected| Broken::Nonsense { question: question.name(), answer: format!("{answer:?}"), expected };
    sense::of(question, &answer).map_err(nonsense)
}

fn refused(error: &PolicyError, tally: &mut Tally) -> Result<(), Broken> {
    count(
        tally,
        match error.stage() {
            Stage::Inspection => "refused at inspection",
            Stage::Compilation => "refused at compilation",
            Stage::Probe => "refused by the probe, or by what it says of itself",
            _ => "refused at another stage",
        },
    );
    one_line(&error.to_string())
}

fn probed(policy: &Policy, questions: &[Question], tally: &mut Tally) -> Result<(), Broken> {
    let (slot, log) = slot();
    match slot.swap(policy.clone(), &SwapOptions::default()) {
        Ok(_) => count(tally, "passed the probe"),
        Err(error) => refused(&error, tally)?,
    }
    questions.iter().try_for_each(|question| ask(&slot, question))?;
    events_are_one_line(&log)
}

fn forced(policy: &Policy, questions: &[Question], tally: &mut Tally) -> Result<(), Broken> {
    for question in questions {
        let (slot, log) = slot();
        if let Err(error) = slot.swap(policy.clone(), &unprobed()) {
            return one_line(&error.to_string());
        }
        ask(&slot, question)?;
        events_are_one_line(&log)?;
        if slot.counts().safe_mode > 0 {
            count(tally, "questions answered in safe mode");
        } else {
            count(tally, "questions answered by the component");
        }
    }
    let (slot, log) = slot();
    if let Err(error) = slot.swap(policy.clone(), &unprobed()) {
        return one_line(&error.to_string());
    }
    questions.iter().try_for_each(|question| ask(&slot, question))?;
    events_are_one_line(&log)?;
    let counts = slot.counts();
    if counts.rollbacks > 0 {
        count(tally, "rolled back");
    }
    // The restored policy answers everything, so nothing else fails.
    if counts.safe_mode > STRIKES as u64 {
        return Err(Broken::NotReplaced { failures: counts.safe_mode, allowed: STRIKES });
    }
    Ok(())
}

fn evaluated(policy: &Policy, questions: &[Question]) -> Result<(), Broken> {
    let mut evaluator = Evaluator::new(policy.clone());
    for (function, arguments) in questions.iter().filter_map(Question::in_json) {
        if let Err(error) = evaluator.eval(function, &arguments) {
            one_line(&error.to_string())?;
        }
    }
    Ok(())
}

impl Target for Components<'_> {
    type Case = Case;

    const NAME: &'static str = "components";

    fn make(&self, dice: &mut Dice) -> Case {
        let bytes = mutate::component(&self.corpus.components, dice);
        Case { bytes, questions: self.questions(dice) }
    }

    fn examine(&self, case: &Case, tally: &mut Tally) -> Result<(), Broken> {
        let policy = match PolicyLoader::default().probe(false).from_bytes(&case.bytes) {
            Ok(policy) => policy,
            Err(error) => return refused(&error, tally),
        };
        count(tally, "loaded");
        let described = policy.description();
        sense::description(described).map_err(|expected| Broken::Nonsense {
            question: "metadata.describe",
            answer: format!("{described:?}"),
            expected,
        })?;
        probed(&policy, &case.questions, tally)?;
        forced(&policy, &case.questions, tally)?;
        evaluated(&policy, &case.questions)
    }

    fn simpler(&self, case: &Case) -> Vec<Case> {
        let mut simpler = Vec::new();
        if case.questions.len() > 1 {
            simpler.extend(case.questions.iter().map(|question| Case { bytes: case.bytes.clone(), questions: vec![question.clone()] }));
            simpler.push(Case { bytes: case.bytes.clone(), questions: Vec::new() });
        }
        if let Some(tree) = Tree::parse(&case.bytes) {
            let shorter = |tree: Tree| Some(tree.encode()).filter(|bytes| bytes.len() < case.bytes.len());
            simpler
                .extend(tree.without_one().into_iter().filter_map(shorter).map(|bytes| Case { bytes, questions: case.questions.clone() }));
        }
        for share in [2, 4, 8, 16] {
            let length = case.bytes.len().div_ceil(share).max(1);
            for start in (0..case.bytes.len()).step_by(length) {
                let mut bytes = case.bytes.clone();
                bytes.drain(start..bytes.len().min(start + length));
                simpler.push(Case { bytes, questions: case.questions.clone() });
            }
        }
        simpler
    }

    fn save(&self, case: &Case, folder: &Path, stem: &str) -> std::io::Result<Vec<PathBuf>> {
        let path = folder.join(stem).with_extension("wasm");
        std::fs::write(&path, &case.bytes)?;
        let mut paths = vec![path];
        for (index, question) in case.questions.iter().enumerate() {
            let path = folder.join(format!("{stem}-question-{index}.ron"));
            std::fs::write(&path, super::arguments::in_ron(question)?)?;
            paths.push(path);
        }
        Ok(paths)
    }

    fn describe(&self, case: &Case) -> String {
        let names: Vec<_> = case.questions.iter().map(Question::name).collect();
        format!(
            "a component of {} bytes, asked {}",
            case.bytes.len(),
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        )
    }
}
