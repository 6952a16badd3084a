//! The corpus and a fixed series of iterations: old findings stay fixed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use upright::policy::{PolicyLoader, SwapOptions};
use upright::types::{Fault, FaultKind};
use upright::{Policy, PolicyLifecycle, PolicySlot};
use upright_fuzz::campaign::{self, Limit, Plan, Report};
use upright_fuzz::corpus::Corpus;
use upright_fuzz::dice::Dice;
use upright_fuzz::finding::Broken;
use upright_fuzz::question::Question;
use upright_fuzz::targets::arguments::Arguments;
use upright_fuzz::targets::components::{Case, Components};
use upright_fuzz::targets::requests::Requests;
use upright_fuzz::targets::{Tally, Target};
use upright_fuzz::{reach, vary::Vary};
use upright_test_kit::folder::Folder;

fn plan(iterations: u64) -> Plan {
    Plan { seed: 20_261, from: 0, limit: Limit::Iterations(iterations) }
}

fn crashes() -> PathBuf {
    upright_fuzz::corpus::root().join("crashes")
}

fn nothing_found(report: &Report) {
    println!("{report:#?}");
    assert!(report.finding.is_none(), "{:?}", report.finding);
}

#[test]
fn every_component_of_the_corpus_is_borne() {
    let corpus = Corpus::read().unwrap();
    let target = Components::new(&corpus);
    let mut loaded = 0;
    for (index, seed) in corpus.components.iter().enumerate() {
        let mut tally = Tally::new();
        for round in 0..3 {
            let questions = target.questions(&mut Dice::of(index as u64, round));
            assert!(questions.len() >= 10);
            let case = Case { bytes: seed.bytes.clone(), questions };
            target.examine(&case, &mut tally).unwrap_or_else(|broken| panic!("{}: {broken}", seed.name));
        }
        loaded += u32::from(tally.contains_key("loaded"));
    }
    assert!(loaded >= 4, "only {loaded} components of the corpus are policies");
}

#[test]
fn every_question_of_the_corpus_is_borne() {
    let corpus = Corpus::read().unwrap();
    let target = Arguments::new(&corpus).unwrap();
    let mut tally = Tally::new();
    for question in &corpus.questions {
        target.examine(question, &mut tally).unwrap_or_else(|broken| panic!("{}: {broken}", target.describe(question)));
    }
    assert!(tally["within a host's reach"] > 2000, "{tally:?}");
    for name in Question::NAMES {
        assert!(corpus.questions.iter().any(|question| question.name() == *name), "no question to {name}");
    }
}

#[test]
fn a_few_mutated_components_are_borne() {
    let corpus = Corpus::read().unwrap();
    let report = campaign::run(&Components::new(&corpus), plan(60), &crashes(), |_| {});
    nothing_found(&report);
    for stage in ["loaded", "refused at inspection", "refused at compilation", "questions answered by the component"] {
        assert!(report.tally.contains_key(stage), "none is {stage}: {:?}", report.tally);
    }
}

#[test]
fn a_few_thousand_mutated_arguments_are_borne() {
    let corpus = Corpus::read().unwrap();
    let report = campaign::run(&Arguments::new(&corpus).unwrap(), plan(3000), &crashes(), |_| {});
    nothing_found(&report);
    assert!(report.tally["within a host's reach"] > 500 && report.tally["beyond a host's reach"] > 500, "{:?}", report.tally);
}

#[test]
fn a_few_thousand_altered_requests_are_borne() {
    let report = campaign::run(&Requests::default(), plan(5000), &crashes(), |_| {});
    nothing_found(&report);
    for kind in ["refused", "odd", "plain"] {
        assert!(report.tally[kind] > 100, "few are {kind}: {:?}", report.tally);
    }
}

#[test]
fn an_endless_decision_is_answered_by_safe_mode() {
    let seed = upright_fuzz::corpus::component(&upright_fuzz::corpus::root().join("policies/endless.txt")).unwrap();
    let slot = PolicyLifecycle::built_in();
    let policy = PolicyLoader::default().probe(false).from_bytes(&seed.bytes).unwrap();
    slot.swap(policy, &SwapOptions { probe: false, ..SwapOptions::default() }).unwrap();
    let fault = Fault::new(FaultKind::Timeout, "timed out");
    assert_eq!(slot.slot().classify(&fault), PolicySlot::native().classify(&fault));
    assert_eq!(slot.counts().safe_mode, 1);
}

#[test]
fn equal_seeds_give_equal_cases() {
    let corpus = Corpus::read().unwrap();
    let (components, arguments) = (Components::new(&corpus), Arguments::new(&corpus).unwrap());
    for iteration in 0..50 {
        let case = || components.make(&mut Dice::of(7, iteration));
        assert_eq!((case().bytes, format!("{:?}", case().questions)), (case().bytes, format!("{:?}", case().questions)));
        let question = || format!("{:?}", arguments.make(&mut Dice::of(7, iteration)));
        assert_eq!(question(), question());
    }
    assert_ne!(components.make(&mut Dice::of(7, 0)).bytes, components.make(&mut Dice::of(8, 0)).bytes);
}

struct Broke<'a>(Arguments<'a>);

impl Target for Broke<'_> {
    type Case = Question;
    const NAME: &'static str = "broken-on-purpose";

    fn make(&self, dice: &mut Dice) -> Question {
        self.0.make(dice)
    }

    fn examine(&self, question: &Question, _: &mut Tally) -> Result<(), Broken> {
        match question {
            Question::NextModel { chain, .. } => assert!(chain.len() < 2, "two models"),
            Question::Delay { random, .. } => assert!(!random.is_nan(), "no number"),
            _ => {}
        }
        Ok(())
    }

    fn simpler(&self, question: &Question) -> Vec<Question> {
        self.0.simpler(question)
    }

    fn save(&self, question: &Question, folder: &std::path::Path, stem: &str) -> std::io::Result<Vec<PathBuf>> {
        self.0.save(question, folder, stem)
    }

    fn describe(&self, question: &Question) -> String {
        self.0.describe(question)
    }
}

#[test]
fn what_is_found_is_shrunk_and_written_so_that_it_can_be_read_again() {
    let corpus = Corpus::read().unwrap();
    let target = Broke(Arguments::new(&corpus).unwrap());
    let scratch = Folder::new("fuzz-found");
    let report = campaign::run(&target, plan(10_000), scratch.as_ref(), |_| {});
    let finding = report.finding.expect("it is found");
    let read = upright_fuzz::corpus::question(&finding.files[0]).unwrap();
    match read {
        Question::NextModel { current, chain } => assert_eq!((current.len(), chain), (0, vec![String::new(), String::new()])),
        Question::Delay { attempt, random, .. } => assert!(attempt == 0 && random.is_nan()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(finding.broken, Broken::Panicked { .. }));
}

#[test]
fn numbers_for_which_json_has_no_words_are_kept_to_the_bit() {
    let corpus = Corpus::read().unwrap();
    let target = Arguments::new(&corpus).unwrap();
    let question = corpus.questions.iter().find(|question| matches!(question, Question::Delay { .. })).unwrap().clone();
    let Question::Delay { config, attempt, .. } = question else { unreachable!() };
    let scratch = Folder::new("fuzz-bits");
    for random in upright_fuzz::nasty::WILD.iter().chain(upright_fuzz::nasty::TAME) {
        let asked = Question::Delay { config, attempt, random: *random };
        let files = target.save(&asked, scratch.as_ref(), "question").unwrap();
        let read = upright_fuzz::corpus::question(&files[0]).unwrap();
        assert_eq!(format!("{read:?}"), format!("{asked:?}"));
    }
}

#[test]
fn every_chain_of_simpler_questions_ends() {
    let corpus = Corpus::read().unwrap();
    for question in corpus.questions.iter().step_by(97) {
        let mut question = question.clone();
        for step in 0.. {
            assert!(step < 10_000, "no end after {question:?}");
            match question.simpler().pop() {
                Some(simpler) => question = simpler,
                None => break,
            }
        }
    }
}

#[test]
fn a_host_can_ask_at_least_nine_tenths_of_the_corpus_questions() {
    assert!(Policy::built_in().is_ok());
    let corpus = Corpus::read().unwrap();
    let beyond = corpus.questions.iter().filter(|question| !reach::can_be_asked(question)).count();
    assert!(beyond < corpus.questions.len() / 10, "{beyond} of {}", corpus.questions.len());
}
