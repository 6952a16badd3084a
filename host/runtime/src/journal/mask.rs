//! Keeps prompts, paths and keys out of journals.
//!
//! A failure's text may quote anything the user typed. Only words that the built-in classifier knows carry meaning, so
//! only they stay.

use crate::types::*;
use std::sync::OnceLock;
use upright_core::policy::Question;
use upright_logic::classifier::text::{Vocabulary, error_status, is_status};
use upright_logic::degradation::{is_simplified, same_model};

const WORD: &str = "x";
/// A digit, so that `HTTP/1.1 503` stays a version and a status.
const NUMBER: &str = "0";
/// For signs outside words, white space and ASCII punctuation.
const SIGNS: char = '?';

fn vocabulary() -> &'static Vocabulary {
    static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
    VOCABULARY.get_or_init(Vocabulary::new)
}

/// Keeps only words that the classifier knows.
pub(crate) fn text(text: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut masked = String::with_capacity(text.len());
    let (mut at, mut within_signs) = (0, false);
    while let Some(first) = text[at..].chars().next() {
        let length = text[at..].find(|letter| !is_word(letter)).unwrap_or(text.len() - at);
        if length > 0 {
            let word = &text[at..at + length];
            push_word(&mut masked, word, is_status(text, at));
            (at, within_signs) = (at + length, false);
            continue;
        }
        at += first.len_utf8();
        let stays = first.is_ascii_punctuation() || first.is_whitespace();
        if stays {
            masked.push(first);
        } else if !within_signs {
            masked.push(SIGNS);
        }
        within_signs = !stays;
    }
    masked
}

fn push_word(masked: &mut String, word: &str, is_status: bool) {
    if is_status || vocabulary().has(word) {
        masked.push_str(word);
    } else if word.bytes().all(|byte| byte.is_ascii_digit()) {
        masked.push_str(NUMBER);
    } else {
        // "timeouts" matches "timeout*", not "timeout".
        let beginning = vocabulary().beginning_of(word).unwrap_or_default();
        masked.push_str(beginning);
        if beginning.len() < word.len() {
            masked.push_str(WORD);
        }
    }
}

/// Numbers names in order of appearance.
struct Numbered<'a> {
    kind: &'static str,
    same: fn(&str, &str) -> bool,
    names: Vec<&'a str>,
}

impl<'a> Numbered<'a> {
    fn new(kind: &'static str, same: fn(&str, &str) -> bool) -> Self {
        Self { kind, same, names: Vec::new() }
    }

    fn mask(&mut self, name: &'a str) -> String {
        let known = self.names.iter().position(|known| (self.same)(known, name));
        let number = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        format!("{}-{}", self.kind, number + 1)
    }
}

/// One number for names that Ollama takes for one model.
fn models(current: &str, chain: &[String]) -> (String, Vec<String>) {
    let mut numbered = Numbered::new("model", same_model);
    let chain = chain.iter().map(|name| numbered.mask(name)).collect();
    (numbered.mask(current), chain)
}

/// Keeps the keys that simplification knows.
fn workflow(entries: &[WorkflowEntry]) -> Vec<WorkflowEntry> {
    let same = |one: &str, other: &str| one == other;
    let (mut keys, mut texts) = (Numbered::new("key", same), Numbered::new("text", same));
    entries
        .iter()
        .map(|entry| WorkflowEntry {
            key: if is_simplified(&entry.key) { entry.key.clone() } else { keys.mask(&entry.key) },
            value: match &entry.value {
                WorkflowValue::Text(value) => WorkflowValue::Text(texts.mask(value)),
                value => value.clone(),
            },
        })
        .collect()
}

/// Hides addresses: a sign-in address holds a key.
fn fault(fault: &mut Fault) {
    fault.message = message(&fault.message);
    fault.points_to = fault.points_to.take().map(|_| "x".to_owned());
    if let Some(labels) = &mut fault.labels {
        for label in [&mut labels.error_type, &mut labels.error_code].into_iter().flatten() {
            // A code that is a status affects the decision.
            if error_status(label).is_none() {
                *label = message(label);
            }
        }
    }
}

fn fact(fact: &mut Fact) {
    if let FactValue::Text(text) = &mut fact.value {
        *text = message(text);
    }
}

/// Masks prompts, paths, keys and names.
///
/// Statuses and words that the built-in classifier knows stay. Other words become `x`, other numbers `0`, model names
/// and workflow keys numbered.
///
/// The built-in policy answers the masked question equally, with two exceptions. A phrase's gap (the name in `model {}
/// not found`) matches at most 256 bytes, and masking shortens longer names. Texts over
/// [`MESSAGE_LIMIT`](upright_logic::types::MESSAGE_LIMIT) bytes are cut first, as for a component.
#[must_use]
pub fn masked(mut question: Question) -> Question {
    match &mut question {
        Question::Decide { incident } => {
            fault(&mut incident.failure);
            incident.circumstances.iter_mut().flat_map(|known| &mut known.more).for_each(fact);
            if let Some(choice) = &mut incident.models {
                (choice.current, choice.chain) = models(&choice.current, &choice.chain);
            }
        }
        Question::Classify { fault: whole } => fault(whole),
        Question::NextModel { current, chain } => (*current, *chain) = models(current, chain),
        Question::SimplifyWorkflow { workflow: entries } => *entries = workflow(entries),
        // Numbers, and the policy's own values.
        Question::Describe {}
        | Question::Step { .. }
        | Question::Initial { .. }
        | Question::Delay { .. }
        | Question::MayServeCached { .. }
        | Question::Judge { .. }
        | Question::Recommend { .. } => {}
    }
    question
}

fn message(whole: &str) -> String {
    if whole.len() > upright_logic::types::MESSAGE_LIMIT { text(&upright_core::fault::bounded(whole)) } else { text(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};
    use upright_logic::classifier::classify;

    #[test]
    fn a_prompt_a_path_and_a_key_do_not_survive_and_the_meaning_does() {
        let whole = "model 'hr/salaries:8b' not found, ask Ada: /home/ada/.pem Bearer sk-12ab34 \u{201c}né à Paris\u{201d}";
        assert_eq!(text(whole), "model 'x/x:x' not found, x x: /x/x/.x x x-x ?x? ? x?");
        let fault = Fault { status: Some(404), ..Fault::new(FaultKind::HttpStatus, whole) };
        let kept = masked(Question::Classify { fault: fault.clone() });
        assert_eq!(kept.answer_natively(), upright_core::policy::Answer::Classify(classify(&fault)));
    }

    #[test]
    fn statuses_stay_and_other_numbers_do_not() {
        assert_eq!(
            text("HTTP/1.1 503: berth 8080, 500 Internal Server Error, 404 rows"),
            "HTTP/1.1 503: x 0, 500 Internal Server Error, 0 x"
        );
    }

    #[test]
    fn a_word_that_a_phrase_only_begins_keeps_that_beginning() {
        assert_eq!(text("TimeoutException throttled"), "timeoutx throttlx");
    }

    #[test]
    fn masking_keeps_blank_texts_blank_and_others_not_blank() {
        assert_eq!(text(" \t\u{a0}\n"), " \t\u{a0}\n");
        assert_eq!(text("\u{7}\u{1b}"), "?");
        assert_eq!(text(""), "");
    }

    #[test]
    fn masking_keeps_only_the_parts_of_labels_and_addresses_that_affect_a_decision() {
        let labels = ErrorLabels { error_type: Some("secret_error".into()), error_code: Some("404".into()) };
        let points_to = Some("https://ollama.com/connect?key=secret".to_owned());
        let whole =
            Fault { labels: Some(labels), points_to, status: Some(401), ..Fault::new(FaultKind::HttpStatus, "unauthorized secret") };
        let Question::Classify { fault: masked } = masked(Question::Classify { fault: whole.clone() }) else { panic!() };
        let text = format!("{masked:?}");
        assert!(!text.contains("secret") && text.contains("404"), "{text}");
        assert_eq!(classify(&masked), classify(&whole));
    }

    #[test]
    fn masking_keeps_words_separated_by_signs_apart() {
        assert_eq!(text("timeout\u{e9}zq rate\u{a0}limit"), "timeout?x rate\u{a0}limit");
    }

    #[test]
    fn no_word_outside_the_vocabulary_survives_whatever_the_text() {
        let mut random = SmallRng::seed_from_u64(11);
        let known: Vec<&str> = vocabulary().iter().collect();
        let odd = [" ", "  ", "\n", "'", "\"", ":", "/", "-", ".", "=", "(", "é", "\u{a0}", "\u{7}", "中", "%", ","];
        for _ in 0..20_000 {
            let mut whole = String::new();
            for _ in 0..random.random_range(0..14) {
                match random.random_range(0..5) {
                    0 | 1 => whole.push_str(known[random.random_range(0..known.len())]),
                    2 => whole.push_str(odd[random.random_range(0..odd.len())]),
                    3 => whole.push_str(&random.random_range(0..700).to_string()),
                    _ => whole.extend((0..random.random_range(1..6)).map(|_| char::from(random.sample(rand::distr::Alphanumeric)))),
                }
                if random.random::<bool>() {
                    whole.push(' ');
                }
            }
            let masked = text(&whole);
            for word in masked.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| !word.is_empty()) {
                let beginning = word.strip_suffix(WORD).is_some_and(|beginning| vocabulary().iter().any(|known| known == beginning));
                let status = word.parse().is_ok_and(|number: u16| (400..600).contains(&number));
                let stays = vocabulary().has(word) || vocabulary().iter().any(|known| known == word);
                assert!(word == WORD || word == NUMBER || beginning || status || stays, "{word:?} of {whole:?} in {masked:?}");
            }
            assert!(masked.len() <= whole.len() && masked.chars().all(|letter| letter.is_ascii() || letter.is_whitespace()), "{masked:?}");
            assert_eq!(text(&masked), masked, "masked again: {whole:?}");
            for kind in [FaultKind::Other, FaultKind::HttpStatus] {
                let means = |text: &str| classify(&Fault::new(kind, text));
                assert_eq!(means(&masked), means(&whole), "{whole:?} became {masked:?}");
            }
        }
    }

    #[test]
    fn models_are_numbered_and_the_same_model_has_one_number() {
        let chain = ["qwen3", "secret/one:8b", "QWEN3:latest"].map(String::from);
        let (current, masked) = models("registry.ollama.ai/secret/one:8B", &chain);
        assert_eq!((current.as_str(), masked), ("model-2", vec!["model-1".into(), "model-2".into(), "model-1".into()]));
        assert_eq!(models("other", &chain).0, "model-3");
    }

    #[test]
    fn a_workflows_keys_are_numbered_but_for_those_that_matter() {
        let entry = |key: &str, value| WorkflowEntry { key: key.into(), value };
        let whole = Question::SimplifyWorkflow {
            workflow: vec![
                entry("temperature", WorkflowValue::Number(0.9)),
                entry("system_prompt", WorkflowValue::Text("You are Ada's assistant".into())),
                entry("customer", WorkflowValue::Nested),
            ],
        };
        let kept = masked(whole.clone());
        assert_eq!(kept.answer_natively(), whole.answer_natively());
        let Question::SimplifyWorkflow { workflow } = kept else { panic!() };
        assert_eq!(workflow[1], entry("key-1", WorkflowValue::Text("text-1".into())));
        assert_eq!((workflow[0].key.as_str(), workflow[2].key.as_str()), ("temperature", "key-2"));
    }
}
