//! Names of settings, such as `upstream[1].url`, and their places in a file.

use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Number(usize),
}

/// The way from the root of a file to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(Vec<Step>);

impl KeyPath {
    /// Keys with dots between them.
    pub(crate) fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// Index in an array, from 0.
    pub(crate) fn number(mut self, number: usize) -> Self {
        self.0.push(Step::Number(number));
        self
    }

    /// Returns the path to the key or value at exactly this place.
    pub(super) fn at(root: &DeValue<'_>, span: &Range<usize>) -> Option<Self> {
        children(root).into_iter().find_map(|(step, key, value)| {
            let here = key == *span || value.span() == *span;
            let mut path = if here { Self::default() } else { Self::at(value.get_ref(), span)? };
            path.0.insert(0, step);
            Some(path)
        })
    }

    /// Returns the place of the value, or of the nearest table around it.
    pub(super) fn span_in(&self, root: &DeValue<'_>) -> Range<usize> {
        let (mut value, mut span) = (root, 0..0);
        for step in &self.0 {
            let Some((_, _, next)) = children(value).into_iter().find(|(found, ..)| found == step) else { break };
            (value, span) = (next.get_ref(), next.span());
        }
        span
    }
}

/// The members of a table or an array, with the places of their keys.
fn children<'a, 'i>(value: &'a DeValue<'i>) -> Vec<(Step, Range<usize>, &'a Spanned<DeValue<'i>>)> {
    match value {
        DeValue::Table(table) => table.iter().map(|(key, value)| (Step::Key(key.get_ref().to_string()), key.span(), value)).collect(),
        DeValue::Array(array) => array.iter().enumerate().map(|(number, value)| (Step::Number(number), value.span(), value)).collect(),
        _ => Vec::new(),
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("syntax");
        }
        let bare = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Number(number) => write!(formatter, "[{number}]")?,
                Step::Key(key) => {
                    formatter.write_str(if index > 0 { "." } else { "" })?;
                    if bare(key) { formatter.write_str(key)? } else { write!(formatter, "{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    const TEXT: &str = "[[upstream]]\nurl = 'a'\n[[upstream]]\nurl = 'b'\n[model.\"qwen3:4b\"]\nfallback = ['x', 'y']\n";

    fn root() -> DeValue<'static> {
        DeValue::Table(DeTable::parse(TEXT).unwrap().into_inner())
    }

    #[test]
    fn a_path_finds_its_value_or_the_nearest_table() {
        for (path, found) in [
            (KeyPath::of("upstream").number(1).key("url"), "'b'"),
            (KeyPath::of("upstream").number(1).key("name"), "[[upstream]]"),
            (KeyPath::of("model").key("qwen3:4b").key("fallback").number(1), "'y'"),
            (KeyPath::of("listen.address"), ""),
        ] {
            assert_eq!(&TEXT[path.span_in(&root())], found, "{path}");
        }
    }

    #[test]
    fn a_place_finds_its_path() {
        for (part, path) in
            [("'b'", "upstream[1].url"), ("'y'", "model.\"qwen3:4b\".fallback[1]"), ("fallback", "model.\"qwen3:4b\".fallback")]
        {
            let start = TEXT.find(part).unwrap();
            let found = KeyPath::at(&root(), &(start..start + part.len()));
            assert_eq!(found.map(|path| path.to_string()).as_deref(), Some(path));
        }
        assert_eq!(KeyPath::at(&root(), &(1..3)), None);
        assert_eq!(KeyPath::default().to_string(), "syntax");
    }
}
