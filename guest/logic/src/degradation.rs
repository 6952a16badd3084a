//! Substitutes for the best answer (`wit/degradation.wit`), with chains and keys from the specification.

use crate::types::{Classification, Seconds, SuggestedAction};
use alloc::string::String;
use alloc::vec::Vec;

/// Model chain for speed.
pub const SPEED_CHAIN: [&str; 3] = ["qwen3:30b-a3b", "qwen3:8b", "gemma3:4b"];
/// Model chain for quality.
pub const QUALITY_CHAIN: [&str; 2] = ["qwen3:30b", "qwen3:8b"];
/// Model chain for small machines.
pub const EDGE_CHAIN: [&str; 2] = ["gemma3:4b", "gemma3:3b"];
/// Default model chain.
pub const DEFAULT_CHAIN: [&str; 2] = ["qwen3:8b", "gemma3:4b"];

/// Model name as Ollama reads it: `[[host/]namespace/]name[:tag]`.
#[derive(Clone, Copy)]
struct ModelName<'a> {
    host: &'a str,
    namespace: &'a str,
    name: &'a str,
    tag: &'a str,
}

impl<'a> ModelName<'a> {
    fn parse(text: &'a str) -> Self {
        // Searching by characters would be a tenth of the component.
        let text = text.trim();
        let scheme = text.as_bytes().windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
        let text = text.get(scheme..).unwrap_or(text);
        // A colon before the last slash belongs to a port.
        let tagged = at_last(text, b':').filter(|(_, tag)| !tag.bytes().any(|byte| byte == b'/'));
        let (path, tag) = tagged.unwrap_or((text, ""));
        let (rest, name) = at_last(path, b'/').unwrap_or(("", path));
        let (host, namespace) = at_last(rest, b'/').unwrap_or(("", rest));
        let or = |part: &'a str, default| if part.is_empty() { default } else { part };
        Self { host: or(host, "registry.ollama.ai"), namespace: or(namespace, "library"), name, tag: or(tag, "latest") }
    }

    fn same(&self, other: &ModelName<'_>) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.tag.eq_ignore_ascii_case(other.tag)
            && self.namespace.eq_ignore_ascii_case(other.namespace)
            && self.host.eq_ignore_ascii_case(other.host)
    }
}

fn at_last(text: &str, sign: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|byte| byte == sign)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Whether both names mean one model: `qwen3` is `Qwen3:latest` and `registry.ollama.ai/library/qwen3`.
pub fn same_model(one: &str, other: &str) -> bool {
    ModelName::parse(one).same(&ModelName::parse(other))
}

/// Returns a model's name in lower case, with tag, without default host and namespace.
pub fn canonical_model(text: &str) -> String {
    let parsed = ModelName::parse(text);
    let mut name = String::with_capacity(text.len() + 8);
    let default_host = parsed.host.eq_ignore_ascii_case("registry.ollama.ai");
    if !default_host {
        name.push_str(parsed.host);
        name.push('/');
    }
    if !default_host || !parsed.namespace.eq_ignore_ascii_case("library") {
        name.push_str(parsed.namespace);
        name.push('/');
    }
    name.push_str(parsed.name);
    name.push(':');
    name.push_str(parsed.tag);
    name.make_ascii_lowercase();
    name
}

/// Returns the index in `chain` of the model after `current`; `None` after the last.
///
/// A `current` outside the chain gets the first. Repeated names count at their first place.
pub fn next_model<S: AsRef<str>>(current: &str, chain: &[S]) -> Option<u32> {
    next_model_where(current, chain, &|_| true)
}

pub(crate) fn next_model_where<S: AsRef<str>>(current: &str, chain: &[S], fits: &dyn Fn(usize) -> bool) -> Option<u32> {
    let current = ModelName::parse(current);
    let first_of = |index: usize| {
        let name = ModelName::parse(chain[index].as_ref());
        (0..index).all(|earlier| !ModelName::parse(chain[earlier].as_ref()).same(&name))
    };
    let start = match chain.iter().position(|name| ModelName::parse(name.as_ref()).same(&current)) {
        Some(position) => position + 1,
        None => 0,
    };
    (start..chain.len()).find(|index| first_of(*index) && fits(*index)).and_then(|index| u32::try_from(index).ok())
}

/// Value of a workflow entry.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WorkflowValue {
    /// No value.
    Null,
    /// Truth value.
    Boolean(bool),
    /// Number.
    Number(f64),
    /// Text.
    Text(String),
    /// List with this number of items.
    Items(u32),
    /// Nested object.
    Nested,
}

/// Top-level entry of a workflow.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WorkflowEntry {
    /// Key.
    pub key: String,
    /// Value.
    pub value: WorkflowValue,
}

/// Change to an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WorkflowChange {
    /// Removes it.
    Drop,
    /// Replaces it with this number.
    Set(f64),
    /// Keeps the first items, up to this number.
    Truncate(u32),
}

/// Change to one entry.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WorkflowEdit {
    /// Index of the entry.
    pub entry: u32,
    /// Change.
    pub change: WorkflowChange,
}

#[derive(Clone, Copy)]
enum Lighter {
    AtMost(f64),
    FirstItems(u32),
    Dropped,
}

const LIGHTER: [(&str, Lighter); 11] = [
    ("max_iterations", Lighter::AtMost(3.0)),
    ("tools", Lighter::FirstItems(3)),
    ("temperature", Lighter::AtMost(0.3)),
    ("top_k", Lighter::Dropped),
    ("top_p", Lighter::Dropped),
    ("min_p", Lighter::Dropped),
    ("typical_p", Lighter::Dropped),
    ("tfs_z", Lighter::Dropped),
    ("mirostat", Lighter::Dropped),
    ("mirostat_eta", Lighter::Dropped),
    ("mirostat_tau", Lighter::Dropped),
];

/// Whether simplifying can change this key.
pub fn is_simplified(key: &str) -> bool {
    LIGHTER.iter().any(|(known, _)| *known == key)
}

/// Returns the changes that make a workflow lighter.
pub fn simplify_workflow(workflow: &[WorkflowEntry]) -> Vec<WorkflowEdit> {
    let change = |entry: &WorkflowEntry| {
        let (_, rule) = LIGHTER.iter().find(|(key, _)| *key == entry.key)?;
        match (*rule, &entry.value) {
            (Lighter::AtMost(limit), WorkflowValue::Number(number)) if *number > limit => Some(WorkflowChange::Set(limit)),
            (Lighter::FirstItems(limit), WorkflowValue::Items(count)) if *count > limit => Some(WorkflowChange::Truncate(limit)),
            (Lighter::Dropped, WorkflowValue::Number(_)) => Some(WorkflowChange::Drop),
            _ => None,
        }
    };
    let mut edits = Vec::new();
    for (index, entry) in (0_u32..).zip(workflow) {
        if let Some(change) = change(entry) {
            edits.push(WorkflowEdit { entry: index, change });
        }
    }
    edits
}

/// Whether an answer `age` seconds old may replace a live one.
///
/// Never if it would hide the caller's mistake or cancellation.
pub fn may_serve_cached(age: Seconds, max_age: Seconds, failure: &Classification) -> bool {
    let hides_a_mistake = matches!(failure.action, SuggestedAction::FixInput | SuggestedAction::Nothing);
    (0.0..=max_age).contains(&age) && !hides_a_mistake
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Fault, FaultKind};
    use alloc::vec;

    #[test]
    fn each_model_hands_over_to_the_next_and_the_last_to_none() {
        let walk = |from| next_model(from, &SPEED_CHAIN).map(|index| SPEED_CHAIN[index as usize]);
        assert_eq!(walk("qwen3:30b-a3b"), Some("qwen3:8b"));
        assert_eq!(walk("qwen3:8b"), Some("gemma3:4b"));
        assert_eq!(walk("gemma3:4b"), None);
    }

    #[test]
    fn a_model_outside_the_chain_gets_its_first() {
        assert_eq!(next_model("qwen3:30b", &DEFAULT_CHAIN), Some(0));
    }

    #[test]
    fn another_spelling_of_the_model_that_failed_is_not_handed_back() {
        for spelling in [
            "Qwen3:8B",
            " qwen3:8b",
            "library/qwen3:8b",
            "registry.ollama.ai/library/qwen3:8b",
            "https://registry.ollama.ai/library/QWEN3:8b",
        ] {
            assert_eq!(next_model(spelling, &DEFAULT_CHAIN), Some(1), "{spelling}");
        }
    }

    #[test]
    fn names_are_normalized_as_ollama_does() {
        for name in ["qwen3", "qwen3:latest", "Qwen3:LATEST", "registry.ollama.ai/library/qwen3:latest"] {
            assert!(same_model("qwen3", name), "{name}");
            assert_eq!(canonical_model(name), "qwen3:latest");
        }
        for name in ["qwen3:8b", "me/qwen3", "localhost:5000/library/qwen3", "qwen"] {
            assert!(!same_model("qwen3", name), "{name}");
        }
        assert_eq!(canonical_model("localhost:5000/library/Qwen3"), "localhost:5000/library/qwen3:latest");
        assert_eq!(canonical_model("local/smollm2"), "local/smollm2:latest");
    }

    #[test]
    fn a_chain_with_repeats_is_walked_to_its_end() {
        let chain = ["a", "b", "A:latest", "b", "c", "a"];
        let mut current = "a";
        let mut walked = vec![];
        while let Some(index) = next_model(current, &chain) {
            current = chain[index as usize];
            walked.push(current);
            assert!(walked.len() < 10, "loops: {walked:?}");
        }
        assert_eq!(walked, ["b", "c"]);
    }

    #[test]
    fn an_empty_chain_stays_empty() {
        assert_eq!(next_model::<&str>("qwen3:8b", &[]), None);
    }

    fn simplified(entries: &[(&str, WorkflowValue)]) -> Vec<(u32, WorkflowChange)> {
        let entries: Vec<_> = entries.iter().map(|(key, value)| WorkflowEntry { key: (*key).into(), value: value.clone() }).collect();
        simplify_workflow(&entries).into_iter().map(|edit| (edit.entry, edit.change)).collect()
    }

    #[test]
    fn the_specifications_workflow_is_simplified_as_it_says() {
        let edits = simplified(&[
            ("max_iterations", WorkflowValue::Number(10.0)),
            ("tools", WorkflowValue::Items(4)),
            ("temperature", WorkflowValue::Number(0.7)),
            ("top_k", WorkflowValue::Number(50.0)),
        ]);
        let expected =
            [(0, WorkflowChange::Set(3.0)), (1, WorkflowChange::Truncate(3)), (2, WorkflowChange::Set(0.3)), (3, WorkflowChange::Drop)];
        assert_eq!(edits, expected);
    }

    #[test]
    fn a_temperature_of_zero_is_not_raised() {
        assert_eq!(simplified(&[("temperature", WorkflowValue::Number(0.0)), ("max_iterations", WorkflowValue::Number(1.0))]), []);
    }

    #[test]
    fn odd_types_and_unknown_keys_are_left_alone() {
        let edits = simplified(&[
            ("tools", WorkflowValue::Text("search,calculator,browser,shell".into())),
            ("max_iterations", WorkflowValue::Null),
            ("temperature", WorkflowValue::Text("hot".into())),
            ("top_k", WorkflowValue::Nested),
            ("top_p", WorkflowValue::Boolean(true)),
            ("seed", WorkflowValue::Number(1e18)),
            ("max_iterations", WorkflowValue::Number(f64::NAN)),
        ]);
        assert_eq!(edits, []);
    }

    #[test]
    fn a_cached_answer_is_served_up_to_its_age_and_never_over_a_callers_mistake() {
        let down = crate::classifier::classify(&Fault::new(FaultKind::ConnectionRefused, ""));
        let mistake = crate::classifier::classify(&Fault::new(FaultKind::InvalidInput, ""));
        assert!(may_serve_cached(3600.0, 3600.0, &down));
        assert!(!may_serve_cached(3600.1, 3600.0, &down));
        assert!(!may_serve_cached(f64::NAN, 3600.0, &down));
        assert!(!may_serve_cached(1.0, f64::NAN, &down));
        assert!(!may_serve_cached(1.0, 3600.0, &mistake));
    }
}
