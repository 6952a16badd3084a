//! Writes a stand-in's answer, whole or damaged, in the protocol of its question.

use crate::hosts::{TEXT, Wire};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read as _};
use std::time::Duration;
use upright_test_kit::model_host::{Asked, Line, listed};

/// Writes one answer in the protocol of its question.
pub(crate) struct Speaker<'a> {
    pub(crate) line: &'a mut Line,
    wire: Wire,
    pub(crate) model: String,
    streamed: bool,
    usage: bool,
    pub(crate) seed: Option<i64>,
    /// The beginning of an answer that the question asks to continue.
    pub(crate) prefill: Option<String>,
    pub(crate) pieces: Vec<String>,
    tokens_each: usize,
    /// The answer, if it is not streamed.
    text: String,
    garbled: bool,
}

impl<'a> Speaker<'a> {
    /// `None` if it is no question, which is answered here. A piece of an answer has this number of tokens.
    pub(crate) fn of(asked: &Asked, line: &'a mut Line, models: &[&str], tokens_each: usize) -> Option<Self> {
        let wire = match asked.target.as_str() {
            "POST /api/chat" => Wire::Ollama,
            "POST /v1/chat/completions" => Wire::OpenAi,
            "GET /v1/models" => {
                let data: Vec<Value> = models.iter().map(|id| json!({ "id": id, "object": "model", "owned_by": "test" })).collect();
                line.json(200, &json!({ "object": "list", "data": data }));
                return None;
            }
            "GET /api/version" => {
                line.json(200, &json!({ "version": "0.33.0" }));
                return None;
            }
            "GET /api/tags" | "GET /api/ps" => {
                let named: Vec<String> = models.iter().map(|model| format!("{model}:latest")).collect();
                line.json(200, &listed(&named.iter().map(String::as_str).collect::<Vec<_>>()));
                return None;
            }
            // The model's own file fixes no answer.
            "POST /api/show" => {
                line.json(200, &json!({ "parameters": "", "model_info": {}, "capabilities": ["completion"] }));
                return None;
            }
            _ => {
                line.json(404, &json!({ "error": "not found" }));
                return None;
            }
        };
        let body = asked.json();
        let model = body["model"].as_str().unwrap_or_default().trim_end_matches(":latest").to_owned();
        let streamed = body["stream"].as_bool().unwrap_or(wire == Wire::Ollama);
        let last = body["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
        let prefill = (last["role"] == "assistant").then(|| last["content"].as_str().unwrap_or_default().to_owned());
        // A model that continues an answer writes what is missing.
        let begun = prefill.as_deref().map_or(0, |begun| if TEXT.starts_with(begun) { begun.len() } else { 0 });
        let is_missing = !models.contains(&&*model);
        let mut speaker = Self {
            line,
            wire,
            model,
            streamed,
            usage: body["stream_options"]["include_usage"] == true,
            seed: body["seed"].as_i64().or(body["options"]["seed"].as_i64()),
            prefill,
            pieces: Vec::new(),
            tokens_each,
            text: String::new(),
            garbled: false,
        };
        if is_missing {
            speaker.refuses(404, "model not found", "model_not_found", None);
            return None;
        }
        speaker.says(&TEXT[begun..]);
        Some(speaker)
    }

    /// Sets the words of the answer.
    pub(crate) fn says(&mut self, text: &str) {
        let tokens: Vec<&str> = text.split_inclusive(' ').collect();
        self.pieces = tokens.chunks(self.tokens_each).map(<[_]>::concat).collect();
    }

    pub(crate) fn answers(&mut self) {
        self.begin();
        self.say(0..self.pieces.len());
        self.end(true);
    }

    pub(crate) fn refuses(&mut self, status: u16, says: &str, code: &str, pause: Option<u64>) {
        let body = match self.wire {
            Wire::Ollama => json!({ "error": says }),
            Wire::OpenAi => json!({ "error": { "message": says, "type": "error", "param": null, "code": code } }),
        };
        let (body, pause) = (body.to_string(), pause.map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n")));
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{pause}content-length: {}\r\n\r\n", body.len());
        self.line.send(head + &body);
    }

    /// Sends the head. The length of an answer that is not streamed is known before its end.
    pub(crate) fn begin(&mut self) {
        if self.streamed {
            return self.line.head(if self.wire == Wire::Ollama { "application/x-ndjson" } else { "text/event-stream" });
        }
        let length = self.whole(&self.pieces.concat()).len();
        self.line.send(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"));
    }

    pub(crate) fn say(&mut self, which: std::ops::Range<usize>) {
        for number in which {
            let piece = self.pieces[number].clone();
            if self.streamed {
                let piece = self.piece(&piece, None);
                self.line.piece(piece);
            } else {
                self.text += &piece;
            }
        }
    }

    /// Sends a part of an answer that is not streamed.
    pub(crate) fn flush(&mut self) {
        if !self.streamed {
            let begun = self.whole(&self.text);
            self.line.send(&begun[..begun.len() / 2]);
        }
    }

    /// Sends what is no JSON.
    pub(crate) fn garble(&mut self) {
        self.garbled = true;
        match (self.streamed, self.wire) {
            (true, Wire::Ollama) => self.line.piece("{\"model\":\"m\",\"message\":{\"role\":\n"),
            (true, Wire::OpenAi) => self.line.piece("data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":\n\n"),
            (false, _) => {}
        }
    }

    /// Ends the answer, with or without the last sign of OpenAI's protocol.
    pub(crate) fn end(&mut self, sentinel: bool) {
        if !self.streamed {
            let mut whole = self.whole(&self.text);
            if self.garbled {
                let half = whole.len() / 2;
                whole.replace_range(half.., &"?".repeat(whole.len() - half));
            }
            return self.line.send(whole);
        }
        let last = self.piece("", Some("stop"));
        self.line.piece(last);
        if self.wire == Wire::OpenAi {
            if self.usage {
                let usage = json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": self.model,
                    "choices": [], "usage": usage() });
                self.line.piece(format!("data: {usage}\n\n"));
            }
            if sentinel {
                self.line.piece("data: [DONE]\n\n");
            }
        }
        self.line.end();
    }

    fn piece(&self, text: &str, finish: Option<&str>) -> String {
        match self.wire {
            Wire::Ollama => format!("{}\n", self.ollamas(text, finish)),
            Wire::OpenAi => {
                let choice = json!({ "index": 0, "delta": { "role": "assistant", "content": text }, "finish_reason": finish });
                let chunk = json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": self.model, "choices": [choice] });
                format!("data: {chunk}\n\n")
            }
        }
    }

    fn ollamas(&self, text: &str, finish: Option<&str>) -> Value {
        let message = json!({ "role": "assistant", "content": text });
        let mut line = json!({ "model": self.model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": finish.is_some() });
        if let Some(reason) = finish {
            line["done_reason"] = reason.into();
            line["prompt_eval_count"] = 20.into();
            line["eval_count"] = 60.into();
        }
        line
    }

    fn whole(&self, text: &str) -> String {
        match self.wire {
            Wire::Ollama => self.ollamas(text, Some("stop")).to_string(),
            Wire::OpenAi => {
                let choice = json!({ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" });
                json!({ "id": "x", "object": "chat.completion", "created": 1, "model": self.model, "choices": [choice], "usage": usage() })
                    .to_string()
            }
        }
    }

    /// Waits for this time at most. Returns whether the client hung up.
    pub(crate) fn is_left_within(&mut self, time: Duration) -> bool {
        let _ = self.line.stream.set_read_timeout(Some(time));
        let is_left = match self.line.stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => ![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
        };
        let _ = self.line.stream.set_read_timeout(None);
        is_left
    }
}

fn usage() -> Value {
    json!({ "prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80 })
}
