//! `/v1/models` from the models of `/api/tags`.

use super::document;
use crate::front::ErrorFacts;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use upright_logic::degradation::{canonical_model, same_model};
use upright_protocol::Unreadable;

/// Returns the name in a path such as `/v1/models/library%2Fqwen3:8b`; `None` without one.
pub fn name_in(path: &str) -> Option<Cow<'_, str>> {
    let name = path.split('?').next()?.strip_prefix("/v1/models/").filter(|name| !name.is_empty())?;
    Some(percent_decode_str(name).decode_utf8_lossy())
}

/// Translates `/api/tags` into `/v1/models`.
///
/// # Errors
/// [`Unreadable`] if it is no list of models.
pub fn list(tags: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let tags = Tags::read(tags)?;
    document(&List { object: "list", data: tags.iter().map(|tag| tag.model(tag.name())).collect() })
}

/// Translates one model of `/api/tags` into `/v1/models/NAME`; `None` if it is not there.
///
/// # Errors
/// [`Unreadable`] if it is no list of models.
pub fn one(tags: &[u8], name: &str) -> Result<Option<Vec<u8>>, Unreadable> {
    let tags = Tags::read(tags)?;
    tags.iter().find(|tag| same_model(tag.name(), name)).map(|tag| document(&tag.model(name))).transpose()
}

/// Error of a model that no host has.
pub fn missing(name: &str) -> ErrorFacts {
    ErrorFacts { status: 404, message: format!("model '{}' not found", canonical_model(name)), code: None, retry_after: None }
}

#[derive(Deserialize)]
struct Tags<'a> {
    #[serde(borrow)]
    models: Option<Vec<Tag<'a>>>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow, default)]
    modified_at: Cow<'a, str>,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
}

impl<'a> Tags<'a> {
    fn read(json: &'a [u8]) -> Result<Vec<Tag<'a>>, Unreadable> {
        serde_json::from_slice(json).map(|tags: Self| tags.models.unwrap_or_default()).map_err(|_| Unreadable)
    }
}

impl Tag<'_> {
    fn name(&self) -> &str {
        if self.model.is_empty() { &self.name } else { &self.model }
    }

    fn model<'a>(&self, id: &'a str) -> Model<'a> {
        let created = OffsetDateTime::parse(&self.modified_at, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp);
        let owned_by = id.rsplit('/').nth(1).filter(|owner| !owner.is_empty()).unwrap_or("library");
        Model { id, object: "model", created, owned_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::openai::error;
    use serde_json::{Value, json};
    use upright_recordings::named;

    fn body(name: &str) -> Vec<u8> {
        named(name).body().unwrap().bytes
    }

    fn read(json: &[u8]) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    /// The recordings of both routes are of one model, pulled again in between.
    fn undated(mut json: Value) -> String {
        match json.get_mut("data").and_then(Value::as_array_mut) {
            Some(models) => models.iter_mut().for_each(|model| model["created"] = json!(0)),
            None => json["created"] = json!(0),
        }
        json.to_string()
    }

    #[test]
    fn models_have_the_recorded_form() {
        assert_eq!(undated(read(&list(&body("tags")).unwrap())), undated(read(&body("v1-models"))));
        assert_eq!(undated(read(&one(&body("tags"), "smollm2").unwrap().unwrap())), undated(read(&body("v1-model"))));
        assert_eq!(one(&body("tags"), "nonesuch"), Ok(None));
        let answer = error(&missing("nonesuch"));
        assert_eq!((answer.status, read(&answer.body)), (404, read(&body("v1-model-missing"))));
    }

    #[test]
    fn a_model_has_its_date_and_its_owner() {
        let tags = json!({ "models": [
            { "name": "old", "model": "Orca/mini:3b", "modified_at": "2009-02-14T00:31:30.5+01:00" },
            { "name": "hf.co/someone/tiny:latest", "modified_at": "yesterday" },
            { "model": "qwen3:8b" },
        ] });
        let expected = json!({ "object": "list", "data": [
            { "id": "Orca/mini:3b", "object": "model", "created": 1_234_567_890, "owned_by": "Orca" },
            { "id": "hf.co/someone/tiny:latest", "object": "model", "created": 0, "owned_by": "someone" },
            { "id": "qwen3:8b", "object": "model", "created": 0, "owned_by": "library" },
        ] });
        let tags = tags.to_string();
        assert_eq!(read(&list(tags.as_bytes()).unwrap()), expected);
        let found = one(tags.as_bytes(), "registry.ollama.ai/library/Qwen3:8b").unwrap().unwrap();
        assert_eq!(read(&found)["id"], "registry.ollama.ai/library/Qwen3:8b");
        for (tags, listed) in
            [(r#"{"models":null}"#, true), (r#"{"models":[]}"#, true), ("[]", false), (r#"{"models":5}"#, false), ("", false)]
        {
            assert_eq!(list(tags.as_bytes()).is_ok(), listed, "{tags}");
        }
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
