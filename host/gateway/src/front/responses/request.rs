//! Reads a request for `/v1/responses`, and writes it for `/api/chat`.

use super::conversation;
use super::writer::Responses;
use crate::front::anthropic::chat::{Function, Request, Stop, Tool};
use crate::front::fields::Fields;
use crate::front::{Stamp, Translated};
use serde_json::{Value, json};

/// Members that refer to earlier answers.
const STATE: [&str; 2] = ["previous_response_id", "conversation"];

/// Values of `reasoning.effort` with Ollama's `think`.
const EFFORTS: [(&str, Option<&str>); 8] = [
    ("none", None),
    ("minimal", Some("low")),
    ("low", Some("low")),
    ("medium", Some("medium")),
    ("high", Some("high")),
    ("xhigh", Some("max")),
    ("ultra", Some("max")),
    ("max", Some("max")),
];

const TEXT: &str = "openai.ResponsesText";
const TOOL: &str = "openai.ResponsesTool";

pub(super) fn read(client: &Fields<'_>, stamp: Stamp) -> Result<Translated, Stop> {
    let mut chat = Request::new(client)?;
    for name in STATE {
        if client.any(name)?.is_some() {
            return Err(format!("{name} is not supported, because no answers are kept; send the whole conversation as input").into());
        }
    }
    let response = response(client, stamp, &chat.model)?;
    chat.messages = conversation::read(client)?;
    chat.option("num_predict", client.whole("max_output_tokens")?);
    // OpenAI's default, whatever the model's own is. For `top_p` Ollama keeps the model's own.
    chat.option("temperature", number(client, "temperature")?.or(Some(json!(1))));
    chat.option("top_p", number(client, "top_p")?);
    chat.think = think(client)?;
    chat.format = format(client)?;
    for declared in client.objects("tools", TOOL)?.iter().flatten() {
        // Ollama searches the web itself.
        if declared.text("type")?.as_deref() == Some("web_search") {
            return Err(Stop::Untranslatable("tools.web_search"));
        }
        tools(declared, &mut chat.tools)?;
    }
    chat.translated(Responses::new(stamp, response))
}

/// The number as the client wrote it.
fn number(client: &Fields<'_>, name: &str) -> Result<Option<Value>, Stop> {
    client.number(name, "float64")?;
    Ok(client.any(name)?)
}

fn think(client: &Fields<'_>) -> Result<Option<Value>, Stop> {
    let reasoning = client.object("reasoning", "openai.ResponsesReasoning")?;
    let effort = reasoning.map(|reasoning| reasoning.text("effort")).transpose()?.flatten();
    let Some(effort) = effort.filter(|effort| !effort.is_empty()) else { return Ok(None) };
    match EFFORTS.iter().find(|(known, _)| *known == effort) {
        Some((_, think)) => Ok(Some(think.map_or(Value::Bool(false), Value::from))),
        None => {
            let known = EFFORTS.map(|(known, _)| known).join(", ");
            Err(format!("reasoning.effort is {effort:?}; it can be one of {known}").into())
        }
    }
}

/// The schema of the answer, if the client gives one.
fn format(client: &Fields<'_>) -> Result<Option<Value>, Stop> {
    let Some(text) = client.object("text", TEXT)? else { return Ok(None) };
    let Some(format) = text.object("format", "openai.ResponsesTextFormat")? else { return Ok(None) };
    Ok(if format.text("type")?.as_deref() == Some("json_schema") { format.any("schema")? } else { None })
}

/// A namespace is a list of tools, whose names begin with its own.
fn tools(declared: &Fields<'_>, tools: &mut Vec<Tool>) -> Result<(), Stop> {
    let text = |name| declared.text(name).map(Option::unwrap_or_default);
    let (kind, name, description) = (text("type")?, text("name")?, text("description")?);
    if kind != "namespace" {
        tools.push(Tool { kind, function: Function { name, description, parameters: declared.any("parameters")? } });
        return Ok(());
    }
    let first = tools.len();
    for member in declared.objects("tools", TOOL)?.iter().flatten() {
        self::tools(member, tools)?;
    }
    let prefix = format!("{name}.");
    for Tool { function, .. } in &mut tools[first..] {
        if !name.is_empty() && !function.name.starts_with(&prefix) {
            function.name.insert_str(0, &prefix);
        }
    }
    Ok(())
}

/// The response without an answer. It repeats the request.
fn response(client: &Fields<'_>, stamp: Stamp, model: &str) -> Result<Value, Stop> {
    // Reading it as a value also bounds how deep namespaces are nested.
    let tools = client.list("tools", "[]openai.ResponsesTool")?.unwrap_or_default();
    let tools: Vec<Value> = tools.iter().map(tool).collect();
    let format = client.object("text", TEXT)?.map(|text| text.any("format")).transpose()?.flatten();
    Ok(json!({
        "id": format!("resp_{}", stamp.id),
        "object": "response",
        "created_at": stamp.created,
        "completed_at": null,
        "status": "in_progress",
        "incomplete_details": null,
        "model": model,
        "previous_response_id": null,
        "instructions": client.text("instructions")?.filter(|text| !text.is_empty()),
        "output": [],
        "error": null,
        "tools": tools,
        "tool_choice": "auto",
        "truncation": client.text("truncation")?.unwrap_or_else(|| "disabled".to_owned()),
        "parallel_tool_calls": true,
        "text": {"format": format.unwrap_or_else(|| json!({"type": "text"}))},
        "top_p": number(client, "top_p")?.unwrap_or(json!(1)),
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "temperature": number(client, "temperature")?.unwrap_or(json!(1)),
        "reasoning": reasoning(client)?,
        "usage": null,
        "max_output_tokens": client.whole("max_output_tokens")?,
        "max_tool_calls": null,
        "store": false,
        "background": client.truth("background")?.unwrap_or_default(),
        "service_tier": "default",
        "metadata": {},
        "safety_identifier": null,
        "prompt_cache_key": null,
    }))
}

fn tool(declared: &Value) -> Value {
    let [kind, description, strict, parameters] = ["type", "description", "strict", "parameters"].map(|name| &declared[name]);
    let name = declared["name"].as_str().unwrap_or_default();
    json!({"type": kind, "name": name, "description": description, "strict": strict, "parameters": parameters})
}

fn reasoning(client: &Fields<'_>) -> Result<Value, Stop> {
    let Some(reasoning) = client.object("reasoning", "openai.ResponsesReasoning")? else { return Ok(Value::Null) };
    let text = |name| reasoning.text(name).map(|text| text.filter(|text| !text.is_empty()));
    let (effort, summary) = (text("effort")?, text("summary")?);
    let given = effort.is_some() || summary.is_some();
    Ok(if given { json!({"effort": effort, "summary": summary}) } else { Value::Null })
}
