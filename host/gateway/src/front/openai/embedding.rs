//! `/v1/embeddings` on `/api/embed`.

use super::{content_type, document, error, error_event, put, put_extras};
use crate::front::fields::Fields;
use crate::front::{ErrorAnswer, ErrorFacts, Stamp, Translated, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use upright_protocol::{Route, Unreadable};

pub(super) fn read(fields: &Fields<'_>, _: Stamp) -> Result<Translated, String> {
    let model = fields.text("model")?.unwrap_or_default();
    let dimensions = fields.whole("dimensions")?.filter(|dimensions| *dimensions != 0);
    let encoding = fields.text("encoding_format")?.unwrap_or_default();
    let base64 = encoding.eq_ignore_ascii_case("base64");
    if !base64 && !encoding.is_empty() && !encoding.eq_ignore_ascii_case("float") {
        return Err(format!("Invalid value for 'encoding_format' = {encoding}. Supported values: ['float', 'base64']."));
    }
    let input = match fields.any("input")? {
        Some(Value::String(text)) if text.is_empty() => vec![text].into(),
        Some(Value::Array(texts)) if texts.is_empty() => Value::Null,
        input => input.unwrap_or_default(),
    };
    if input.is_null() {
        return Err("invalid input".to_owned());
    }
    let (mut body, mut options) = (Map::new(), Map::new());
    put(&mut body, "model", Some(model.clone()));
    put(&mut body, "input", Some(input));
    put(&mut body, "dimensions", dimensions);
    put_extras(fields, &mut body, &mut options);
    put(&mut body, "options", Some(options).filter(|options| !options.is_empty()));
    Ok(Translated {
        route: Route::Embed,
        path: Route::Embed.path(),
        body: Value::Object(body).to_string().into_bytes(),
        writer: Box::new(EmbeddingWriter { model: model.clone(), base64 }),
        model,
    })
}

/// Writes a list of embeddings.
struct EmbeddingWriter {
    model: String,
    base64: bool,
}

/// Ollama's document.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: Vec<&'a RawValue>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    embedding: Vector<'a>,
    index: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Numbers(&'a RawValue),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

impl EmbeddingWriter {
    fn vector<'a>(&self, numbers: &'a RawValue) -> Result<Vector<'a>, Unreadable> {
        if !self.base64 {
            return Ok(Vector::Numbers(numbers));
        }
        let numbers: Vec<f32> = serde_json::from_str(numbers.get()).map_err(|_| Unreadable)?;
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        Ok(Vector::Base64(STANDARD.encode(bytes)))
    }
}

impl Writer for EmbeddingWriter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        out.extend_from_slice(&self.whole(line)?);
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}

    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let answer: Answer<'_> = serde_json::from_slice(answer).map_err(|_| Unreadable)?;
        let tokens = answer.prompt_eval_count.unwrap_or_default();
        let embedding = |(index, numbers)| Ok(Embedding { object: "embedding", embedding: self.vector(numbers)?, index });
        document(&List {
            object: "list",
            data: answer.embeddings.into_iter().enumerate().map(embedding).collect::<Result<_, Unreadable>>()?,
            model: &self.model,
            usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        })
    }

    fn error(&self, facts: &ErrorFacts) -> ErrorAnswer {
        error(facts)
    }

    fn error_in_stream(&mut self, facts: &ErrorFacts, out: &mut Vec<u8>) {
        error_event(facts, out);
    }

    fn wire(&self, _: bool) -> &'static str {
        content_type(false)
    }
}
