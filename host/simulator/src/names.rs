//! Reads model names as Ollama does: `qwen3`, `Qwen3:latest` and `registry.ollama.ai/library/qwen3:latest` are one
//! model.

const REGISTRY: &str = "registry.ollama.ai/";
const NAMESPACE: &str = "library/";
const TAG: &str = "latest";

/// Normalises a model's name: lower case, with tag, without default registry and namespace.
pub fn canonical_name(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let local = lower.strip_prefix(REGISTRY).unwrap_or(&lower);
    let short = local.strip_prefix(NAMESPACE).unwrap_or(local);
    // A colon before the last slash belongs to a registry's port.
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains(':') { short.to_owned() } else { format!("{short}:{TAG}") }
}

pub(crate) fn row_asked_for(name: &str) -> Option<String> {
    let canonical = canonical_name(name);
    let asked = canonical.strip_prefix(crate::FAULT_PREFIX)?;
    let (row, _tag) = asked.split_once(':').unwrap_or((asked, TAG));
    Some(row.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_model_are_one_name() {
        for spelling in ["qwen3", "Qwen3:latest", " qwen3 ", "registry.ollama.ai/library/qwen3:latest", "library/qwen3"] {
            assert_eq!(canonical_name(spelling), "qwen3:latest", "{spelling}");
        }
        assert_ne!(canonical_name("qwen3:8b"), canonical_name("qwen3"));
        assert_eq!(canonical_name("localhost:5000/team/model"), "localhost:5000/team/model:latest");
    }

    #[test]
    fn a_fault_is_asked_for_in_any_spelling() {
        for spelling in ["fault/no-tools", "Fault/No-Tools:latest", "registry.ollama.ai/fault/no-tools"] {
            assert_eq!(row_asked_for(spelling).as_deref(), Some("no-tools"), "{spelling}");
        }
        assert_eq!(row_asked_for("qwen3:8b"), None);
    }
}
