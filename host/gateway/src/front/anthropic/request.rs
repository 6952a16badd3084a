//! Reads a request for `/v1/messages`, and writes it for `/api/chat`.

use super::chat::{Called, Function, Message, Request, Stop, Tool, ToolCall};
use super::writer::Messages;
use crate::front::fields::Fields;
use crate::front::{Stamp, Translated};
use serde_json::{Map, Value};

/// Levels of `output_config.effort` that Ollama honours.
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

const BLOCK: &str = "anthropic.ContentBlock";

pub(super) fn read(client: &Fields<'_>, stamp: Stamp) -> Result<Translated, Stop> {
    let mut chat = Request::new(client)?;
    let length = client.whole("max_tokens")?.filter(|length| *length > 0);
    if length.is_none() {
        return Err("max_tokens is required and must be positive".to_owned().into());
    }
    chat.option("num_predict", length);
    chat.option("temperature", client.number("temperature", "float64")?);
    chat.option("top_p", client.number("top_p", "float64")?);
    chat.option("top_k", client.whole("top_k")?);
    chat.option("stop", stops(client)?);
    chat.think = think(client)?;
    for said in client.objects("messages", "anthropic.MessageParam")?.iter().flatten() {
        message(said, &mut chat.messages)?;
    }
    // Ollama would only load the model.
    if chat.messages.is_empty() {
        return Err("messages is missing or says nothing; send a text, an image or a tool's result".to_owned().into());
    }
    if let Some(system) = system(client)? {
        chat.messages.insert(0, system);
    }
    for declared in client.objects("tools", "anthropic.Tool")?.iter().flatten() {
        chat.tools.push(tool(declared)?);
    }
    let writer = Messages::new(stamp.id, &chat);
    chat.translated(writer)
}

fn stops(client: &Fields<'_>) -> Result<Option<Vec<Value>>, Stop> {
    let stops = client.list("stop_sequences", "[]string")?.filter(|stops| !stops.is_empty());
    if stops.iter().flatten().all(Value::is_string) {
        Ok(stops)
    } else {
        Err("stop_sequences has an element that is no string".to_owned().into())
    }
}

/// Ollama lets a model think that can, unless a request says no. So `enabled` is the default, and a model that cannot
/// think answers, too. A level would be an error there, so it is not translated.
fn think(client: &Fields<'_>) -> Result<Option<Value>, Stop> {
    let thinking = client.object("thinking", "anthropic.ThinkingConfig")?;
    let thinking = thinking.map(|thinking| thinking.text("type")).transpose()?.flatten();
    let output = client.object("output_config", "anthropic.OutputConfig")?;
    let effort = output.map(|output| output.text("effort")).transpose()?.flatten().unwrap_or_default();
    match thinking.as_deref() {
        Some("disabled") => Ok(Some(Value::Bool(false))),
        Some("enabled") => Ok(None),
        _ if EFFORTS.contains(&effort.trim().to_ascii_lowercase().as_str()) => Err(Stop::Untranslatable("output_config.effort")),
        _ => Ok(None),
    }
}

/// Ollama ignores what is neither a text nor a list of texts.
fn system(client: &Fields<'_>) -> Result<Option<Message>, Stop> {
    let text = match client.any("system")? {
        Some(Value::String(text)) => text,
        Some(Value::Array(blocks)) => {
            blocks.iter().filter(|block| block["type"] == "text").filter_map(|block| block["text"].as_str()).collect()
        }
        _ => String::new(),
    };
    Ok(Some(text).filter(|text| !text.is_empty()).map(|text| Message::new("system", text)))
}

/// One message can become several: Ollama has a message for each result of a tool.
fn message(client: &Fields<'_>, messages: &mut Vec<Message>) -> Result<(), Stop> {
    let role = client.text("role")?.unwrap_or_default().to_lowercase();
    let mut said = Message::new(role, String::new());
    let mut results = Vec::new();
    match client.text("content") {
        Ok(Some(text)) => said.content = text,
        Ok(None) => return Err("content of a message is missing; send a string or a list of blocks".to_owned().into()),
        Err(_) => {
            for content in client.objects("content", BLOCK)?.iter().flatten() {
                block(content, &mut said, &mut results)?;
            }
        }
    }
    let results_first = said.role == "user";
    let said = Some(said).filter(|said| !said.is_empty());
    if results_first {
        messages.extend(results.into_iter().chain(said));
    } else {
        messages.extend(said.into_iter().chain(results));
    }
    Ok(())
}

fn block(block: &Fields<'_>, said: &mut Message, results: &mut Vec<Message>) -> Result<(), Stop> {
    let text = |name| block.text(name).map(Option::unwrap_or_default);
    match text("type")?.as_str() {
        "text" => said.content.push_str(&text("text")?),
        "thinking" => said.thinking = text("thinking")?,
        "image" => said.images.push(image(block)?),
        "tool_use" => {
            let (id, name) = (text("id")?, text("name")?);
            if id.is_empty() || name.is_empty() {
                return Err("a tool_use block lacks its id or its name; send both".to_owned().into());
            }
            said.tool_calls.push(ToolCall { id, function: Called { name, arguments: input(block)? } });
        }
        "tool_result" => results.push(result(block)?),
        // Ollama searches the web itself.
        "server_tool_use" | "web_search_tool_result" => return Err(Stop::Untranslatable("messages.web_search")),
        // Ollama ignores the others.
        _ => {}
    }
    Ok(())
}

fn input(block: &Fields<'_>) -> Result<Map<String, Value>, Stop> {
    match block.any("input")? {
        None => Ok(Map::new()),
        Some(Value::Object(input)) => Ok(input),
        Some(_) => Err("input of a tool_use block is no object".to_owned().into()),
    }
}

fn result(block: &Fields<'_>) -> Result<Message, Stop> {
    let id = block.text("tool_use_id")?.unwrap_or_default();
    let mut result = Message { tool_call_id: id, ..Message::new("tool", String::new()) };
    match block.text("content") {
        Ok(text) => result.content = text.unwrap_or_default(),
        Err(_) => {
            for part in block.objects("content", BLOCK)?.iter().flatten() {
                match part.text("type")?.as_deref() {
                    Some("text") => result.content.push_str(&part.text("text")?.unwrap_or_default()),
                    Some("image") => result.images.push(image(part)?),
                    _ => {}
                }
            }
        }
    }
    Ok(result)
}

fn image(block: &Fields<'_>) -> Result<String, Stop> {
    let source =
        block.object("source", "anthropic.ImageSource")?.ok_or_else(|| "an image lacks its source; send it in Base64".to_owned())?;
    match source.text("type")?.as_deref() {
        Some("base64") => Ok(source.text("data")?.unwrap_or_default()),
        other => Err(format!("an image's source has the type {:?}; send the image in Base64", other.unwrap_or_default()).into()),
    }
}

fn tool(declared: &Fields<'_>) -> Result<Tool, Stop> {
    // Ollama searches the web itself.
    if declared.text("type")?.is_some_and(|kind| kind.starts_with("web_search")) {
        return Err(Stop::Untranslatable("tools.web_search"));
    }
    let text = |name| declared.text(name).map(Option::unwrap_or_default);
    let function = Function { name: text("name")?, description: text("description")?, parameters: declared.any("input_schema")? };
    Ok(Tool { kind: "function".to_owned(), function })
}
