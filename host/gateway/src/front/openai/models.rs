//! The name in `/v1/models/NAME`, and the error of a name that no host has.

use crate::front::ErrorFacts;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use upright_logic::degradation::canonical_model;

/// Returns the name in a path such as `/v1/models/library%2Fqwen3:8b`; `None` without one.
pub(crate) fn name_in(path: &str) -> Option<Cow<'_, str>> {
    let name = path.split('?').next()?.strip_prefix("/v1/models/").filter(|name| !name.is_empty())?;
    Some(percent_decode_str(name).decode_utf8_lossy())
}

/// Error of a model that no host has.
pub(crate) fn missing(name: &str) -> ErrorFacts {
    ErrorFacts { status: 404, message: format!("model '{}' not found", canonical_model(name)), code: None, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::openai::error;
    use upright_recordings::named;

    #[test]
    fn a_missing_model_has_the_recorded_error() {
        let answer = error(&missing("nonesuch"));
        let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        assert_eq!((answer.status, read(&answer.body)), (404, read(&named("v1-model-missing").body().unwrap().bytes)));
    }

    #[test]
    fn a_name_is_read_from_its_path() {
        for (path, name) in [
            ("/v1/models/qwen3", Some("qwen3")),
            ("/v1/models/library/qwen3:8b?x=1", Some("library/qwen3:8b")),
            ("/v1/models/library%2Fqwen3%3A8b", Some("library/qwen3:8b")),
            ("/v1/models/a%ffb%zz", Some("a\u{fffd}b%zz")),
            ("/v1/models/", None),
            ("/v1/models", None),
            ("/v1/modelsx", None),
        ] {
            assert_eq!(name_in(path).as_deref(), name, "{path}");
        }
    }
}
