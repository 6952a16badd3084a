//! What to serve when the best is not to be had (`wit/degradation.wit`).

use crate::types::{Classification, Seconds, SuggestedAction};
use alloc::string::String;
use alloc::vec::Vec;

/// The specification's chain for speed.
pub const SPEED_CHAIN: [&str; 3] = ["qwen3:30b-a3b", "qwen3:8b", "gemma3:4b"];
/// The specification's chain for quality.
pub const QUALITY_CHAIN: [&str; 2] = ["qwen3:30b", "qwen3:8b"];
/// The specification's chain for small machines.
pub const EDGE_CHAIN: [&str; 2] = ["gemma3:4b", "gemma3:3b"];
/// The specification's default chain.
pub const DEFAULT_CHAIN: [&str; 2] = ["qwen3:8b", "gemma3:4b"];

/// A model's name taken apart as Ollama does: `[[host/]namespace/]name[:tag]`.
#[derive(Clone, Copy)]
struct ModelName<'a> {
    host: &'a str,
    namespace: &'a str,
    name: &'a str,
    tag: &'a str,
}

impl<'a> ModelName<'a> {
    fn parse(text: &'a str) -> Self {
        // By bytes: what searches a text for characters is a tenth of the component.
        let text = text.trim();
        let scheme = text.as_bytes().windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
        let text = text.get(scheme..).unwrap_or(text);
        // A colon before the last slash belongs to a host's port.
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

/// What is before and after the last of this ASCII character.
fn at_last(text: &str, sign: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|byte| byte == sign)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Whether two names mean the same model to Ollama: `qwen3` is `Qwen3:latest` and `registry.ollama.ai/library/qwen3`.
pub fn same_model(one: &str, other: &str) -> bool {
    ModelName::parse(one).same(&ModelName::parse(other))
}

/// The one spelling of a model's name: lower case, with its tag, without the default host and namespace.
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

/// The index in `chain` of the model to try after `current`; none when `current` is the last.
///
/// A `current` outside the chain gets the first. A name that the chain repeats counts where it first stands.
pub fn next_model<S: AsRef<str>>(current: &str, chain: &[S]) -> Option<u32> {
    next_model_where(current, chain, &|_| true)
}

/// The same, of those models whose index in `chain` fits.
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

/// The value of a workflow's entry, as far as simplifying needs to know it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WorkflowValue {
    /// `null`.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of this many items.
    Items(u32),
    /// A nested object.
    Nested,
}

/// One entry of a workflow's top level.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WorkflowEntry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: WorkflowValue,
}

/// What to do with one entry.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WorkflowChange {
    /// Remove it.
    Drop,
    /// Put this number in its place.
    Set(f64),
    /// Keep the first so many items.
    Truncate(u32),
}

/// A change to the entry at this index.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WorkflowEdit {
    /// The entry's index.
    pub entry: u32,
    /// What to do with it.
    pub change: WorkflowChange,
}

/// How one key is made lighter. Values of another type are left alone.
#[derive(Clone, Copy)]
enum Lighter {
    AtMost(f64),
    FirstItems(u32),
    Dropped,
}

/// The keys that simplifying knows, from the specification; the knobs below temperature only fine-tune sampling.
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

/// Whether simplifying knows this key.
pub fn is_simplified(key: &str) -> bool {
    LIGHTER.iter().any(|(known, _)| *known == key)
}

/// The edits that make a workflow lighter. Entries without an edit stay as they are.
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

/// Whether an answer of this age may be served in place of a live one after this failure.
///
/// Not when the caller's own request is at fault or the caller has gone: an old answer would hide that.
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
