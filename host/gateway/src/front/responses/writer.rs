//! Writes an answer of Ollama's as OpenAI's Responses.

use crate::front::anthropic::chat::{Answer, Call, Done, event};
use crate::front::{ErrorAnswer, ErrorFacts, Stamp, Wire, Writer, openai};
use serde_json::{Value, json};
use upright_protocol::Unreadable;

/// Writes one answer.
#[derive(Debug)]
pub(super) struct Responses {
    stamp: Stamp,
    /// The response without an answer.
    response: Value,
    begun: bool,
    /// Number of the next event.
    sequence: u64,
    /// Finished items.
    output: Vec<Value>,
    /// The item that is being written.
    open: Option<Open>,
    done: Option<Done>,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Message,
}

impl Responses {
    pub(super) fn new(stamp: Stamp, response: Value) -> Self {
        Self { stamp, response, begun: false, sequence: 0, output: Vec::new(), open: None, done: None }
    }

    /// Ollama writes the members of its events in alphabetical order.
    fn event(&mut self, kind: &str, mut data: Value, out: &mut Vec<u8>) {
        data["type"] = kind.into();
        data["sequence_number"] = self.sequence.into();
        data.sort_all_objects();
        self.sequence += 1;
        event(&data, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            for kind in ["response.created", "response.in_progress"] {
                self.event(kind, json!({"response": self.response}), out);
            }
        }
    }

    /// Ids of items have the answer's number and the item's place.
    fn item_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{}_{index}", self.stamp.id)
    }

    fn open_id(&self, kind: Kind) -> String {
        self.item_id(if kind == Kind::Message { "msg" } else { "rs" }, self.output.len())
    }

    fn write(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.begin(out);
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.finish(out);
            self.add(kind, out);
        }
        let (id, index) = (self.open_id(kind), self.output.len());
        match kind {
            Kind::Reasoning => {
                let data = json!({"item_id": id, "output_index": index, "summary_index": 0, "delta": text});
                self.event("response.reasoning_summary_text.delta", data, out);
            }
            Kind::Message => {
                let data = json!({"item_id": id, "output_index": index, "content_index": 0, "delta": text, "logprobs": []});
                self.event("response.output_text.delta", data, out);
            }
        }
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
        }
    }

    fn add(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let (id, index) = (self.open_id(kind), self.output.len());
        self.open = Some(Open { kind, text: String::new() });
        match kind {
            Kind::Reasoning => {
                let item = json!({"id": id, "type": "reasoning", "summary": []});
                self.event("response.output_item.added", json!({"output_index": index, "item": item}), out);
            }
            Kind::Message => {
                let item = json!({"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []});
                self.event("response.output_item.added", json!({"output_index": index, "item": item}), out);
                let data = json!({"item_id": id, "output_index": index, "content_index": 0, "part": part("")});
                self.event("response.content_part.added", data, out);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(Open { kind, text }) = self.open.take() else { return };
        let (id, index) = (self.open_id(kind), self.output.len());
        let item = match kind {
            Kind::Reasoning => {
                let data = json!({"item_id": id, "output_index": index, "summary_index": 0, "text": text});
                self.event("response.reasoning_summary_text.done", data, out);
                reasoning(&id, &text)
            }
            Kind::Message => {
                let data = json!({"item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": []});
                self.event("response.output_text.done", data, out);
                let data = json!({"item_id": id, "output_index": index, "content_index": 0, "part": part(&text)});
                self.event("response.content_part.done", data, out);
                message(&id, &text)
            }
        };
        self.event("response.output_item.done", json!({"output_index": index, "item": item}), out);
        self.output.push(item);
    }

    fn call(&mut self, call: &Call<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        self.finish(out);
        let index = self.output.len();
        let item = self.function_call(call, index);
        let mut added = item.clone();
        added["status"] = "in_progress".into();
        added["arguments"] = "".into();
        let (id, arguments) = (&item["id"], call.arguments());
        for (kind, data) in [
            ("response.output_item.added", json!({"output_index": index, "item": added})),
            ("response.function_call_arguments.delta", json!({"item_id": id, "output_index": index, "delta": arguments})),
            ("response.function_call_arguments.done", json!({"item_id": id, "output_index": index, "arguments": arguments})),
            ("response.output_item.done", json!({"output_index": index, "item": item})),
        ] {
            self.event(kind, data, out);
        }
        self.output.push(item);
    }

    fn function_call(&self, call: &Call<'_>, index: usize) -> Value {
        json!({
            "id": self.item_id("fc", index), "type": "function_call", "status": "completed",
            "call_id": call.id(self.stamp.id, index), "name": call.name(), "arguments": call.arguments(),
        })
    }

    fn response(&self, status: &str, output: Vec<Value>) -> Value {
        let mut response = self.response.clone();
        response["status"] = status.into();
        response["output"] = output.into();
        response
    }

    fn completed(&self, done: Done, output: Vec<Value>) -> Value {
        let mut response = self.response("completed", output);
        response["completed_at"] = self.stamp.created.saturating_add(done.seconds).into();
        response["usage"] = json!({
            "input_tokens": done.prompt, "output_tokens": done.answer, "total_tokens": done.prompt.saturating_add(done.answer),
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        });
        response
    }

    fn answered_by(&mut self, model: &str) {
        if !model.is_empty() {
            self.response["model"] = model.into();
        }
    }
}

impl Writer for Responses {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let answer = Answer::read(line)?;
        self.answered_by(&answer.model);
        self.write(Kind::Reasoning, answer.thinking(), out);
        self.write(Kind::Message, answer.text(), out);
        answer.calls().iter().for_each(|call| self.call(call, out));
        self.done = answer.done().or(self.done);
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(done) = self.done.take() else { return };
        self.begin(out);
        self.finish(out);
        let output = std::mem::take(&mut self.output);
        let response = self.completed(done, output);
        self.event("response.completed", json!({"response": response}), out);
    }

    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let answer = Answer::read(answer)?;
        let done = answer.done().ok_or(Unreadable)?;
        self.answered_by(&answer.model);
        let mut output = Vec::new();
        if !answer.thinking().is_empty() {
            output.push(reasoning(&self.item_id("rs", 0), answer.thinking()));
        }
        if !answer.text().is_empty() || answer.calls().is_empty() {
            output.push(message(&self.item_id("msg", output.len()), answer.text()));
        }
        for call in answer.calls() {
            output.push(self.function_call(call, output.len()));
        }
        Ok(self.completed(done, output).to_string().into_bytes())
    }

    fn error(&self, error: &ErrorFacts) -> ErrorAnswer {
        openai::error(error)
    }

    /// Clients of the Responses raise an error at a member `error`, and at no status.
    fn error_in_stream(&mut self, error: &ErrorFacts, out: &mut Vec<u8>) {
        self.done = None;
        self.begin(out);
        let error = json!({"code": error.code.unwrap_or("server_error"), "message": error.message});
        let output = std::mem::take(&mut self.output);
        let mut response = self.response("failed", output);
        response["error"] = error.clone();
        self.event("response.failed", json!({"response": response, "error": error}), out);
    }

    fn wire(&self, streamed: bool) -> &'static str {
        if streamed { Wire::Sse.content_type() } else { Wire::Json.content_type() }
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn message(id: &str, text: &str) -> Value {
    json!({"id": id, "type": "message", "status": "completed", "role": "assistant", "content": [part(text)]})
}

fn reasoning(id: &str, text: &str) -> Value {
    json!({"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}], "encrypted_content": text})
}
