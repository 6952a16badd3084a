//! A careful client of OpenAI's protocol.

use crate::hosts::{TEXT, other_text};
use serde_json::{Value, json};
use std::time::Duration;

/// An answer as a client sees it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// The error that the client raises, if any.
    pub(crate) error: Option<String>,
    /// Name of the model in the answer.
    pub(crate) model: String,
    /// Whether the answer counts its tokens.
    pub(crate) usage: bool,
    /// Whether it did not end within its limit.
    pub(crate) hangs: bool,
}

/// Asks for a chat. It fixes no seed, as the public list's own client does not.
pub(crate) async fn ask(address: &str, model: &str, streamed: bool, limit: Duration) -> Answer {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "Who counts the boats?" }] });
    if streamed {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    let mut answer = Answer::default();
    match tokio::time::timeout(limit, read(address, &body, &mut answer)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => answer.error = Some(error),
        Err(_) => answer.hangs = true,
    }
    answer
}

async fn read(address: &str, body: &Value, answer: &mut Answer) -> Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = client.post(format!("{address}/v1/chat/completions")).json(body).send().await;
    let mut response = sent.map_err(|error| format!("no answer: {error}"))?;
    let status = response.status();
    if !status.is_success() || body["stream"] != true {
        let text = response.text().await.map_err(|error| format!("the body breaks: {error}"))?;
        if !status.is_success() {
            return Err(format!("{} {text}", status.as_u16()));
        }
        return answer.take(&text, "message");
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| format!("the stream breaks: {error}"))? {
        bytes.extend_from_slice(&chunk);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            let line = std::str::from_utf8(&line).map_err(|error| error.to_string())?.trim_end();
            match line.strip_prefix("data:").map(str::trim_start) {
                Some("[DONE]") => return Ok(()),
                Some(data) => answer.take(data, "delta")?,
                None => {}
            }
        }
    }
    Ok(())
}

impl Answer {
    /// Whether it is all that one host would say, and taken for that.
    pub(crate) fn is_whole(&self) -> bool {
        self.error.is_none() && !self.hangs && (self.text == TEXT || self.text == other_text())
    }

    /// Takes an event's data, or a whole answer.
    fn take(&mut self, data: &str, part: &str) -> Result<(), String> {
        let json: Value = serde_json::from_str(data).map_err(|error| format!("unreadable: {error}"))?;
        if !json["error"].is_null() {
            return Err(json["error"].to_string());
        }
        if let Some(model) = json["model"].as_str() {
            model.clone_into(&mut self.model);
        }
        self.usage |= json["usage"]["completion_tokens"].as_u64() > Some(0);
        self.text += json["choices"][0][part]["content"].as_str().unwrap_or_default();
        Ok(())
    }
}
