//! An answer of `/api/chat` becomes one of `/v1/chat/completions`.

use super::{DONE, FINGERPRINT, Usage, content_type, document, error, error_event, event};
use crate::front::{ErrorAnswer, ErrorFacts, Stamp, Writer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use upright_protocol::Unreadable;

/// Writes `chat.completion` and `chat.completion.chunk`.
pub(super) struct ChatWriter {
    id: String,
    created: u64,
    usage: bool,
    begun: bool,
    called: bool,
}

/// Ollama's line or document.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(default)]
    done: bool,
    #[serde(borrow, default)]
    done_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(default)]
    index: i64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Default, Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Said<'a>>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Default, Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    index: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Logprobs<'a> {
    content: &'a RawValue,
}

impl<'a> Answer<'a> {
    fn read(json: &'a [u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(json).map_err(|_| Unreadable)
    }

    fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    fn content(&self) -> &str {
        self.message.content.as_deref().unwrap_or_default()
    }

    fn thinking(&self) -> Option<&str> {
        self.message.thinking.as_deref().filter(|thinking| !thinking.is_empty())
    }

    fn calls(&self) -> Vec<ToolCall<'_>> {
        let calls = self.message.tool_calls.iter().flatten();
        calls
            .map(|Call { id, function }| ToolCall {
                id: id.as_deref().unwrap_or_default(),
                index: function.index,
                kind: "function",
                function: Called { name: &function.name, arguments: function.arguments.map_or("{}", RawValue::get) },
            })
            .collect()
    }

    fn logprobs(&self) -> Option<Logprobs<'a>> {
        self.logprobs.filter(|raw| raw.get() != "[]").map(|content| Logprobs { content })
    }

    fn usage(&self) -> Usage {
        Usage::of(self.prompt_eval_count, self.eval_count)
    }

    /// `stop` becomes `tool_calls` where a tool was called.
    fn reason(&self, called: bool) -> Option<&str> {
        match self.done_reason.as_deref() {
            Some("stop") if called => Some("tool_calls"),
            reason => reason.filter(|reason| !reason.is_empty()),
        }
    }
}

impl ChatWriter {
    pub(super) fn new(stamp: Stamp, usage: bool) -> Self {
        Self { id: format!("chatcmpl-{}", stamp.id), created: stamp.created, usage, begun: false, called: false }
    }

    fn written<'a>(&'a self, object: &'static str, model: &'a str, choices: &'a [Choice<'a>], usage: Option<Usage>) -> Written<'a> {
        Written { id: &self.id, object, created: self.created, model, system_fingerprint: FINGERPRINT, choices, usage }
    }

    fn chunk(&self, model: &str, choice: Choice<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        event(&self.written("chat.completion.chunk", model, &[choice], None), out)
    }

    fn delta(&mut self, answer: &Answer<'_>, said: Said<'_>, logprobs: Option<Logprobs<'_>>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let role = (!self.begun).then_some("assistant");
        self.begun = true;
        self.chunk(answer.model(), Choice { delta: Some(Said { role, ..said }), logprobs, ..Choice::default() }, out)
    }
}

impl Writer for ChatWriter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let answer = Answer::read(line)?;
        let (content, thinking, calls, logprobs) = (answer.content(), answer.thinking(), answer.calls(), answer.logprobs());
        self.called |= !calls.is_empty();
        let says = !content.is_empty() || !calls.is_empty();
        let spoken = Said { content: Some(content), tool_calls: calls, ..Said::default() };
        match thinking {
            Some(_) if says => {
                self.delta(&answer, Said { reasoning: thinking, ..Said::default() }, logprobs, out)?;
                self.delta(&answer, spoken, None, out)?;
            }
            // The last line has counts alone, and the next chunk its reason.
            None if answer.done && self.begun && !says && logprobs.is_none() => {}
            _ => self.delta(&answer, Said { reasoning: thinking, ..spoken }, logprobs, out)?,
        }
        if !answer.done {
            return Ok(());
        }
        let reason = answer.reason(self.called).or(Some(if self.called { "tool_calls" } else { "stop" }));
        self.chunk(answer.model(), Choice { delta: Some(Said::default()), finish_reason: reason, ..Choice::default() }, out)?;
        match self.usage {
            true => event(&self.written("chat.completion.chunk", answer.model(), &[], Some(answer.usage())), out),
            false => Ok(()),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(DONE);
    }

    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let answer = Answer::read(answer)?;
        let calls = answer.calls();
        let finish_reason = answer.reason(!calls.is_empty());
        let role = Some(answer.message.role.as_deref().unwrap_or("assistant"));
        let message = Some(Said { role, content: Some(answer.content()), reasoning: answer.thinking(), tool_calls: calls });
        let choice = Choice { message, finish_reason, logprobs: answer.logprobs(), ..Choice::default() };
        document(&self.written("chat.completion", answer.model(), &[choice], Some(answer.usage())))
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
