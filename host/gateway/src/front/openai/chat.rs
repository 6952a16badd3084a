//! A request for `/v1/chat/completions` becomes one for `/api/chat`.

use super::chat_answer::ChatWriter;
use super::{go_type, includes_usage, put, put_extras, put_text};
use crate::front::fields::Fields;
use crate::front::{Stamp, Translated};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use upright_protocol::Route;

/// Reads Base64 as Go does.
static BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Beginnings of a picture's address.
const PICTURES: [&str; 5] =
    ["data:;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,", "data:image/png;base64,", "data:image/webp;base64,"];

/// Values of `reasoning_effort` with Ollama's `think`; an empty one is the model's choice.
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

pub(super) fn read(fields: &Fields<'_>, stamp: Stamp) -> Result<Translated, String> {
    let model = fields.text("model")?.unwrap_or_default();
    let messages = fields.objects("messages", "openai.Message")?.unwrap_or_default();
    let messages = messages.iter().map(Message::read).collect::<Result<Vec<_>, _>>()?;
    let streamed = fields.truth("stream")?.unwrap_or_default();
    let usage = includes_usage(fields)?;
    let mut options = options(fields)?;
    if messages.is_empty() {
        return Err("[] is too short - 'messages'".to_owned());
    }
    let mut body = Map::new();
    put(&mut body, "model", Some(model.clone()));
    put(&mut body, "messages", Some(native(messages)?));
    put(&mut body, "stream", Some(streamed));
    put(&mut body, "format", format(fields)?);
    put(&mut body, "tools", fields.list("tools", "[]api.Tool")?.filter(|tools| !tools.is_empty()));
    put(&mut body, "think", think(fields)?);
    put(&mut body, "logprobs", fields.truth("logprobs")?.filter(|wanted| *wanted));
    put(&mut body, "top_logprobs", fields.whole("top_logprobs")?.filter(|count| *count != 0));
    put_extras(fields, &mut body, &mut options);
    put(&mut body, "options", Some(options));
    Ok(Translated {
        route: Route::Chat,
        path: Route::Chat.path(),
        body: Value::Object(body).to_string().into_bytes(),
        model,
        writer: Box::new(ChatWriter::new(stamp, usage)),
    })
}

/// On `/v1` temperature and `top_p` are 1 where the client has none, whatever the model's own settings are.
fn options(fields: &Fields<'_>) -> Result<Map<String, Value>, String> {
    let mut options = Map::new();
    let stops: Vec<Value> = match fields.any("stop")? {
        Some(Value::String(stop)) => vec![stop.into()],
        Some(Value::Array(stops)) => stops.into_iter().filter(Value::is_string).collect(),
        _ => Vec::new(),
    };
    put(&mut options, "stop", Some(stops).filter(|stops| !stops.is_empty()));
    let newer = fields.whole("max_completion_tokens").ok().flatten();
    put(&mut options, "num_predict", fields.whole("max_tokens")?.or(newer));
    put(&mut options, "temperature", fields.number("temperature", "float64")?.or(Some(1.0)));
    put(&mut options, "seed", fields.whole("seed")?);
    put(&mut options, "frequency_penalty", fields.number("frequency_penalty", "float64")?);
    put(&mut options, "presence_penalty", fields.number("presence_penalty", "float64")?);
    put(&mut options, "top_p", fields.number("top_p", "float64")?.or(Some(1.0)));
    Ok(options)
}

fn format(fields: &Fields<'_>) -> Result<Option<Value>, String> {
    let Some(wanted) = fields.object("response_format", "openai.ResponseFormat")? else { return Ok(None) };
    let schema = wanted.object("json_schema", "openai.JsonSchema")?;
    Ok(match wanted.text("type")?.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "json_object" => Some("json".into()),
        "json_schema" => schema.map(|schema| schema.any("schema")).transpose()?.flatten(),
        _ => None,
    })
}

fn think(fields: &Fields<'_>) -> Result<Option<Value>, String> {
    let nested = fields.object("reasoning", "openai.Reasoning")?;
    let flat = fields.text("reasoning_effort")?;
    let effort = match nested {
        Some(reasoning) => reasoning.text("effort")?,
        None => flat,
    };
    let Some(effort) = effort.filter(|effort| !effort.is_empty()) else { return Ok(None) };
    match EFFORTS.iter().find(|(known, _)| *known == effort) {
        Some((_, think)) => Ok(Some(think.map_or(Value::Bool(false), Value::from))),
        None => Err(format!(
            r#"invalid reasoning value: {effort:?} (must be "minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none")"#
        )),
    }
}

struct Message {
    role: String,
    content: Option<Value>,
    reasoning: String,
    calls: Option<Vec<Call>>,
    name: String,
    call_id: String,
}

struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Message {
    fn read(fields: &Fields<'_>) -> Result<Self, String> {
        let calls = fields.objects("tool_calls", "openai.ToolCall")?;
        Ok(Self {
            role: fields.text("role")?.unwrap_or_default(),
            content: fields.any("content")?,
            reasoning: fields.text("reasoning")?.unwrap_or_default(),
            calls: calls.map(|calls| calls.iter().map(Call::read).collect::<Result<_, _>>()).transpose()?,
            name: fields.text("name")?.unwrap_or_default(),
            call_id: fields.text("tool_call_id")?.unwrap_or_default(),
        })
    }

    /// Appends Ollama's messages: one for each part of the content, calls and thinking with the last.
    fn write(self, called: &HashMap<String, String>, native: &mut Vec<Map<String, Value>>) -> Result<(), String> {
        let Self { role, content, reasoning, calls, name, call_id } = self;
        let has_calls = calls.is_some();
        let calls = calls.iter().flatten().map(Call::native).collect::<Result<Vec<_>, _>>()?;
        match content {
            Some(Value::String(text)) => native.push(said(&role, text)),
            Some(Value::Array(parts)) => {
                for part in &parts {
                    native.push(said_part(&role, part)?);
                }
                if calls.is_empty() {
                    return Ok(());
                }
            }
            _ if has_calls => native.push(said(&role, String::new())),
            other => return Err(format!("invalid message content type: {}", go_type(other.as_ref()))),
        }
        let tool = match role.eq_ignore_ascii_case("tool") {
            true if name.is_empty() && !call_id.is_empty() => called.get(&call_id).cloned().unwrap_or_default(),
            true => name,
            false => String::new(),
        };
        if let Some(last) = native.last_mut() {
            put_text(last, "thinking", reasoning);
            put(last, "tool_calls", Some(calls).filter(|calls| !calls.is_empty()));
            put_text(last, "tool_name", tool);
            put_text(last, "tool_call_id", call_id);
        }
        Ok(())
    }
}

impl Call {
    fn read(fields: &Fields<'_>) -> Result<Self, String> {
        fields.whole("index")?;
        fields.text("type")?;
        let function = fields.object("function", r#"struct { Name string "json:\"name\""; Arguments string "json:\"arguments\"" }"#)?;
        let text = |name| function.as_ref().map(|function| function.text(name)).transpose();
        Ok(Self {
            id: fields.text("id")?.unwrap_or_default(),
            name: text("name")?.flatten().unwrap_or_default(),
            arguments: text("arguments")?.flatten().unwrap_or_default(),
        })
    }

    fn native(&self) -> Result<Value, String> {
        let arguments: Option<Map<String, Value>> =
            serde_json::from_str(&self.arguments).map_err(|_| "invalid tool call arguments".to_owned())?;
        let mut call = Map::new();
        put_text(&mut call, "id", self.id.clone());
        put(&mut call, "function", Some(json!({ "index": 0, "name": self.name, "arguments": arguments.unwrap_or_default() })));
        Ok(Value::Object(call))
    }
}

fn native(messages: Vec<Message>) -> Result<Vec<Map<String, Value>>, String> {
    let calls = messages.iter().flat_map(|message| message.calls.iter().flatten());
    let called = calls.map(|call| (call.id.clone(), call.name.clone())).collect();
    let mut native = Vec::with_capacity(messages.len());
    for message in messages {
        message.write(&called, &mut native)?;
    }
    Ok(native)
}

fn said(role: &str, content: String) -> Map<String, Value> {
    Map::from_iter([("role".to_owned(), role.into()), ("content".to_owned(), content.into())])
}

fn said_part(role: &str, part: &Value) -> Result<Map<String, Value>, String> {
    const INVALID: &str = "invalid message format";
    let image = |data: &str| {
        let mut message = said(role, String::new());
        put(&mut message, "images", Some(vec![data]));
        message
    };
    match part.get("type").and_then(Value::as_str) {
        Some("text") => part.get("text").and_then(Value::as_str).map(|text| said(role, text.to_owned())).ok_or(INVALID.to_owned()),
        Some("image_url") => {
            let url = match part.get("image_url") {
                Some(Value::Object(image)) => image.get("url"),
                other => other,
            };
            picture(url.and_then(Value::as_str).ok_or(INVALID)?).map(image).map_err(str::to_owned)
        }
        Some("input_audio") => {
            let audio = part.get("input_audio").filter(|audio| audio.is_object()).ok_or("invalid input_audio format")?;
            let data = audio.get("data").and_then(Value::as_str).ok_or("invalid input_audio format: missing data")?;
            if is_base64(data) { Ok(image(data)) } else { Err("invalid input_audio base64 data".to_owned()) }
        }
        _ => Err(INVALID.to_owned()),
    }
}

fn picture(url: &str) -> Result<&str, &'static str> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Err("image URLs are not currently supported, please use base64 encoded data instead");
    }
    let data = PICTURES.iter().find_map(|beginning| url.strip_prefix(beginning));
    data.filter(|data| is_base64(data)).ok_or("invalid image input")
}

/// Go ignores line ends within Base64.
fn is_base64(text: &str) -> bool {
    match text.contains(['\r', '\n']) {
        true => BASE64.decode(text.replace(['\r', '\n'], "")).is_ok(),
        false => BASE64.decode(text).is_ok(),
    }
}
