//! `/v1/completions` on `/api/generate`.

use super::{
    DONE, FINGERPRINT, Usage, content_type, document, error, error_event, event, go_type, includes_usage, put, put_extras, put_text,
};
use crate::front::fields::Fields;
use crate::front::{ErrorAnswer, ErrorFacts, Stamp, Translated, Writer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use upright_protocol::{Route, Unreadable};

pub(super) fn read(fields: &Fields<'_>, stamp: Stamp) -> Result<Translated, String> {
    let model = fields.text("model")?.unwrap_or_default();
    let streamed = fields.truth("stream")?.unwrap_or_default();
    let usage = includes_usage(fields)?;
    let logprobs = fields.whole("logprobs")?.filter(|count| *count > 0);
    let mut options = options(fields)?;
    let mut body = Map::new();
    put(&mut body, "model", Some(model.clone()));
    put(&mut body, "prompt", Some(fields.text("prompt")?.unwrap_or_default()));
    put_text(&mut body, "suffix", fields.text("suffix")?.unwrap_or_default());
    put(&mut body, "stream", Some(streamed));
    put(&mut body, "logprobs", logprobs.map(|_| true));
    put(&mut body, "top_logprobs", logprobs);
    put_extras(fields, &mut body, &mut options);
    put(&mut body, "options", Some(options));
    let id = format!("cmpl-{}", stamp.id);
    Ok(Translated {
        route: Route::Generate,
        path: Route::Generate.path(),
        body: Value::Object(body).to_string().into_bytes(),
        model,
        writer: Box::new(CompletionWriter { id, created: stamp.created, usage }),
    })
}

/// On `/v1` temperature and `top_p` are 1 and the penalties 0 where the client has none.
fn options(fields: &Fields<'_>) -> Result<Map<String, Value>, String> {
    let mut options = Map::new();
    match fields.any("stop")? {
        Some(Value::String(stop)) => put(&mut options, "stop", Some(vec![stop])),
        Some(Value::Array(stops)) => {
            if let Some(wrong) = stops.iter().find(|stop| !stop.is_string()) {
                return Err(format!("invalid type for 'stop' field: {}", go_type(Some(wrong))));
            }
            put(&mut options, "stop", Some(stops).filter(|stops| !stops.is_empty()));
        }
        _ => {}
    }
    put(&mut options, "num_predict", fields.whole("max_tokens")?);
    put(&mut options, "temperature", fields.number("temperature", "float32")?.or(Some(1.0)));
    put(&mut options, "seed", fields.whole("seed")?);
    put(&mut options, "frequency_penalty", fields.number("frequency_penalty", "float32")?.or(Some(0.0)));
    put(&mut options, "presence_penalty", fields.number("presence_penalty", "float32")?.or(Some(0.0)));
    put(&mut options, "top_p", fields.number("top_p", "float32")?.filter(|share| *share != 0.0).or(Some(1.0)));
    Ok(options)
}

/// Writes `text_completion`.
struct CompletionWriter {
    id: String,
    created: u64,
    usage: bool,
}

/// Ollama's line or document.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response: Cow<'a, str>,
    #[serde(default)]
    done: bool,
    #[serde(borrow, default)]
    done_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: [Choice<'a>; 1],
    usage: Usage,
}

/// The members of [`Whole`] in another order.
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    choices: &'a [Choice<'a>],
    model: &'a str,
    system_fingerprint: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

const OBJECT: &str = "text_completion";

impl<'a> Answer<'a> {
    fn read(json: &'a [u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(json).map_err(|_| Unreadable)
    }

    fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    fn choice(&self) -> Choice<'_> {
        Choice { text: &self.response, index: 0, finish_reason: self.done_reason.as_deref().filter(|reason| !reason.is_empty()) }
    }

    fn usage(&self) -> Usage {
        Usage::of(self.prompt_eval_count, self.eval_count)
    }
}

impl CompletionWriter {
    fn chunk(&self, answer: &Answer<'_>, choices: &[Choice<'_>], usage: Usage, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let chunk = Chunk {
            id: &self.id,
            object: OBJECT,
            created: self.created,
            choices,
            model: answer.model(),
            system_fingerprint: FINGERPRINT,
            usage: self.usage.then_some(usage),
        };
        event(&chunk, out)
    }
}

impl Writer for CompletionWriter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let answer = Answer::read(line)?;
        self.chunk(&answer, &[answer.choice()], Usage::default(), out)?;
        if answer.done && self.usage { self.chunk(&answer, &[], answer.usage(), out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(DONE);
    }

    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let answer = Answer::read(answer)?;
        document(&Whole {
            id: &self.id,
            object: OBJECT,
            created: self.created,
            model: answer.model(),
            system_fingerprint: FINGERPRINT,
            choices: [answer.choice()],
            usage: answer.usage(),
        })
    }

    fn error(&self, facts: &ErrorFacts) -> ErrorAnswer {
        error(facts)
    }

    fn error_in_stream(&mut self, facts: &ErrorFacts, out: &mut Vec<u8>) {
        error_event(facts, out);
    }

    fn wire(&self, streamed: bool) -> &'static str {
        content_type(streamed)
    }
}
