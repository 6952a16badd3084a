//! An agent on Ollama: a bounded loop in which a model may call a tool, each step guarded.
//!
//! ```console
//! $ cargo run --package upright-examples --bin integration_agent -- "How many letters has strawberry?"
//! ```
//!
//! A failed step is retried, with the next model if that helps. The conversation is kept, so the loop resumes at that
//! step. The model sees the tool's errors and can correct itself.

use serde_json::{Value, json};
use std::time::Duration;
use upright::RecoveryManager;
use upright::ollama::{ChatRequest, Message, OllamaClient, OllamaError, Timeouts};
use upright::types::RetryConfig;
use upright_examples::{Arguments, narrated, ollama};

const MODELS: [&str; 2] = ["qwen3:8b", "qwen3:4b"];
const MAX_STEPS: usize = 6;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let ollama = ollama(Timeouts::default())?;
    let base_delay = arguments.span(Duration::from_secs(2)).as_secs_f64();
    let manager = RecoveryManager::builder().retry(RetryConfig { base_delay, ..RetryConfig::default() }).build()?;

    let models = arguments.models_or(&MODELS);
    let mut conversation = vec![Message::new("user", arguments.text_or("How many letters has the word strawberry?"))];
    println!("User: {}", conversation[0].content);
    for step in 1..=MAX_STEPS {
        let next = manager.operation("agent step").models(&models).run(|attempt| {
            let model = attempt.model();
            next_message(&ollama, model.to_string(), conversation.clone())
        });
        let said = narrated(&manager, next).await?;
        let message = said.value;
        let calls = message.tool_calls().to_vec();
        if calls.is_empty() {
            println!("Agent (steps: {step}), by {}: {}", said.model.unwrap_or_default(), message.content.trim());
            return Ok(());
        }
        conversation.push(message);
        for call in &calls {
            let (name, result) = call_tool(call);
            println!("Tool {name}: {result}");
            let mut message = Message::new("tool", result);
            message.extra.insert("tool_name".into(), name.into());
            conversation.push(message);
        }
    }
    anyhow::bail!("no answer within {MAX_STEPS} steps")
}

async fn next_message(ollama: &OllamaClient, model: String, messages: Vec<Message>) -> Result<Message, OllamaError> {
    let tools = Some(json!([{ "type": "function", "function": {
        "name": "count_letters",
        "description": "Counts the letters of a word",
        "parameters": { "type": "object", "required": ["word"], "properties": { "word": { "type": "string" } } },
    } }]));
    Ok(ollama.chat(ChatRequest { model, messages, tools, ..ChatRequest::default() }).await?.message)
}

fn call_tool(call: &Value) -> (String, String) {
    let function = &call["function"];
    let name = function["name"].as_str().unwrap_or("(unnamed)");
    let result = match (name, function["arguments"]["word"].as_str()) {
        ("count_letters", Some(word)) => format!("{word} has {} letters", word.chars().filter(|letter| letter.is_alphabetic()).count()),
        ("count_letters", None) => "the argument \"word\" is missing; it must be a text".to_owned(),
        _ => format!("there is no tool {name}; there is count_letters"),
    };
    (name.to_owned(), result)
}
