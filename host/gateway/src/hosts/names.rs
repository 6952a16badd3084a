//! Compares model names as Ollama does, and resolves aliases.
//!
//! Clients write one model as `qwen3`, `Qwen3:latest` or `registry.ollama.ai/library/qwen3`. A [`ModelName`] has one
//! spelling for all of them, so equal names are equal bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use upright_logic::degradation::canonical_model;

/// Maximum length of a model's name, bytes. Ollama's longest name has 593.
pub(crate) const NAME_LIMIT: usize = 1024;

/// Model name in lower case, with tag, without default host and namespace. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ModelName(Arc<str>);

impl ModelName {
    /// Reads a name in any spelling; `None` if it is blank or longer than [`NAME_LIMIT`].
    pub(crate) fn of(text: &str) -> Option<Self> {
        let is_name = text.len() <= NAME_LIMIT && !text.trim().is_empty();
        is_name.then(|| Self(canonical_model(text).into()))
    }

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// A configured name for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    /// The alias, as configured.
    pub name: Arc<str>,
    /// The model's name, as configured: hosts get this spelling.
    pub sent: Arc<str>,
    /// The model.
    pub model: ModelName,
}

/// Why aliases cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// A name is blank or too long.
    #[error("alias {alias:?} for {model:?}: expected two names of 1 to {limit} bytes", limit = NAME_LIMIT)]
    NoName {
        /// The alias.
        alias: String,
        /// Its model.
        model: String,
    },
    /// Two aliases are one name for Ollama.
    #[error("alias {alias:?} is configured twice; expected one model for each name, whatever its case and tag")]
    Twice {
        /// The second of them.
        alias: String,
    },
}

/// All aliases. An alias hides a model of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aliases {
    aliases: BTreeMap<ModelName, Alias>,
}

impl Aliases {
    /// Reads pairs of an alias and its model.
    ///
    /// # Errors
    /// [`AliasError`] for the first pair that cannot be used.
    pub(crate) fn new<A: AsRef<str>, M: AsRef<str>>(pairs: impl IntoIterator<Item = (A, M)>) -> Result<Self, AliasError> {
        let mut aliases = BTreeMap::new();
        for (alias, model) in pairs {
            let (alias, sent) = (alias.as_ref(), model.as_ref());
            let no_name = || AliasError::NoName { alias: alias.to_owned(), model: sent.to_owned() };
            let key = ModelName::of(alias).ok_or_else(no_name)?;
            let model = ModelName::of(sent).ok_or_else(no_name)?;
            if aliases.insert(key, Alias { name: alias.into(), sent: sent.into(), model }).is_some() {
                return Err(AliasError::Twice { alias: alias.to_owned() });
            }
        }
        Ok(Self { aliases })
    }

    /// The alias of this name. Its model is not resolved again, so aliases cannot form a circle.
    pub(crate) fn resolve(&self, name: &ModelName) -> Option<&Alias> {
        self.aliases.get(name)
    }

    /// All aliases, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Alias> {
        self.aliases.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upright_logic::degradation::same_model;

    fn name(text: &str) -> ModelName {
        ModelName::of(text).unwrap()
    }

    #[test]
    fn two_names_are_equal_exactly_if_ollama_takes_them_for_one_model() {
        let names = [
            "qwen3",
            "Qwen3:LATEST",
            "registry.ollama.ai/library/qwen3:latest",
            "library/qwen3",
            "qwen3:8b",
            "me/qwen3",
            "hf.co/me/qwen3",
            "localhost:5000/library/qwen3",
            "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
            "hf.co/bartowski/llama-3.2-1b-instruct-gguf:q4_k_m",
        ];
        for one in names {
            for other in names {
                assert_eq!(name(one) == name(other), same_model(one, other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_blank_or_endless_text_is_no_name() {
        for text in ["", "  ", "x".repeat(NAME_LIMIT + 1).as_str()] {
            assert_eq!(ModelName::of(text), None);
        }
        assert!(ModelName::of(&"x".repeat(NAME_LIMIT)).is_some());
    }

    #[test]
    fn an_alias_in_any_spelling_is_resolved_once_even_if_its_model_is_an_alias() {
        let aliases = Aliases::new([("gpt-4o", "Qwen3:8b"), ("qwen3:8b", "gpt-4o"), ("me", "me")]).unwrap();
        for spelling in ["gpt-4o", "GPT-4o:latest", "library/gpt-4o"] {
            let alias = aliases.resolve(&name(spelling)).unwrap();
            assert_eq!((&*alias.sent, alias.model.as_str()), ("Qwen3:8b", "qwen3:8b"), "{spelling}");
        }
        assert_eq!(aliases.resolve(&name("qwen3:8b")).map(|alias| alias.model.as_str()), Some("gpt-4o:latest"));
        assert_eq!(aliases.resolve(&name("me")).map(|alias| alias.model.as_str()), Some("me:latest"));
        assert_eq!(aliases.resolve(&name("gpt-4o:8b")), None);
    }

    #[test]
    fn an_alias_that_cannot_be_used_is_named() {
        let refused = |pairs: &[(&str, &str)]| Aliases::new(pairs.iter().copied()).unwrap_err().to_string();
        assert_eq!(refused(&[("a", " ")]), r#"alias "a" for " ": expected two names of 1 to 1024 bytes"#);
        assert!(refused(&[("a", "b"), ("A:latest", "c")]).starts_with(r#"alias "A:latest" is configured twice"#));
    }
}
