//! Reads `input`, a list of items, and writes it as Ollama's messages. Items of one answer share a message there.

use crate::front::anthropic::chat::{Called, Message, Stop, ToolCall};
use crate::front::fields::Fields;
use serde_json::{Map, Value};

/// Beginnings of an image's address.
const IMAGES: [&str; 5] =
    ["data:;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,", "data:image/png;base64,", "data:image/webp;base64,"];

pub(super) fn read(client: &Fields<'_>) -> Result<Vec<Message>, Stop> {
    let missing = || Stop::from("input is missing or empty; send a string or a list of items".to_owned());
    let mut conversation = Conversation::default();
    let instructions = client.text("instructions")?.filter(|text| !text.is_empty());
    conversation.messages.extend(instructions.map(|text| Message::new("system", text)));
    match client.text("input") {
        Ok(Some(text)) => conversation.messages.extend(Some(text).filter(|text| !text.is_empty()).map(|text| Message::new("user", text))),
        Ok(None) => return Err(missing()),
        Err(_) => {
            let items = client.objects("input", "openai.ResponsesInputItem")?.unwrap_or_default();
            for (index, item) in items.iter().enumerate() {
                conversation.take(item, items.get(index + 1))?;
            }
        }
    }
    let Conversation { mut messages, thinking } = conversation;
    if !thinking.is_empty() {
        messages.push(Message { thinking, ..Message::new("assistant", String::new()) });
    }
    if messages.is_empty() { Err(missing()) } else { Ok(messages) }
}

#[derive(Default)]
struct Conversation {
    messages: Vec<Message>,
    /// Belongs to the assistant's next message.
    thinking: String,
}

impl Conversation {
    fn take(&mut self, item: &Fields<'_>, next: Option<&Fields<'_>>) -> Result<(), Stop> {
        let text = |name| item.text(name).map(Option::unwrap_or_default);
        match kind(item)?.as_str() {
            "message" => {
                let mut said = Message::new(text("role")?, String::new());
                fill(&mut said, item, "content")?;
                self.say(said, next)
            }
            "reasoning" => {
                self.thinking = text("encrypted_content")?;
                Ok(())
            }
            "function_call" => {
                let arguments = arguments(&text("arguments")?)?;
                self.call(ToolCall { id: text("call_id")?, function: Called { name: text("name")?, arguments } });
                Ok(())
            }
            "function_call_output" => {
                let mut result = Message { tool_call_id: text("call_id")?, ..Message::new("tool", String::new()) };
                fill(&mut result, item, "output")?;
                self.messages.push(result);
                Ok(())
            }
            // The message after it has what was found.
            "web_search_call" => Ok(()),
            other => Err(format!("an item of input has the type {other:?}, which is not known").into()),
        }
    }

    /// A text between a call and its result joins the call, or the result would not follow it.
    fn say(&mut self, mut said: Message, next: Option<&Fields<'_>>) -> Result<(), Stop> {
        if said.role != "assistant" {
            self.messages.push(said);
            return Ok(());
        }
        said.thinking = std::mem::take(&mut self.thinking);
        let answered = match next {
            Some(next) if kind(next)? == "function_call_output" => next.text("call_id")?.filter(|id| !id.is_empty()),
            _ => None,
        };
        let calls = |message: &&mut Message| message.tool_calls.iter().any(|call| Some(&call.id) == answered.as_ref());
        match self.messages.last_mut().filter(calls) {
            Some(call) => {
                if !call.content.is_empty() && !said.content.is_empty() {
                    call.content.push('\n');
                }
                call.content.push_str(&said.content);
                call.images.append(&mut said.images);
                if !said.thinking.is_empty() {
                    call.thinking = said.thinking;
                }
            }
            None => self.messages.push(said),
        }
        Ok(())
    }

    fn call(&mut self, call: ToolCall) {
        if self.messages.last().is_none_or(|last| last.role != "assistant") {
            self.messages.push(Message::new("assistant", String::new()));
        }
        if let Some(last) = self.messages.last_mut() {
            last.tool_calls.push(call);
            if !self.thinking.is_empty() {
                last.thinking = std::mem::take(&mut self.thinking);
            }
        }
    }
}

/// An item without a type is a message, if it has a role.
fn kind(item: &Fields<'_>) -> Result<String, Stop> {
    let kind = item.text("type")?.unwrap_or_default();
    let role = item.text("role")?.unwrap_or_default();
    Ok(if kind.is_empty() && !role.is_empty() { "message".to_owned() } else { kind })
}

fn arguments(json: &str) -> Result<Map<String, Value>, Stop> {
    if json.is_empty() {
        return Ok(Map::new());
    }
    let arguments: Option<Map<String, Value>> =
        serde_json::from_str(json).map_err(|error| format!("arguments of a function_call are no JSON object: {error}"))?;
    Ok(arguments.unwrap_or_default())
}

/// Reads a string or a list of parts.
fn fill(message: &mut Message, item: &Fields<'_>, name: &str) -> Result<(), Stop> {
    if let Ok(text) = item.text(name) {
        message.content = text.unwrap_or_default();
        return Ok(());
    }
    for part in item.objects(name, "openai.ResponsesContent")?.iter().flatten() {
        match part.text("type")?.unwrap_or_default().as_str() {
            "input_text" | "output_text" => message.content.push_str(&part.text("text")?.unwrap_or_default()),
            // Ollama ignores an image that is only named by its file.
            "input_image" => {
                let url = part.text("image_url")?.filter(|url| !url.is_empty());
                message.images.extend(url.as_deref().map(image).transpose()?);
            }
            "input_file" => return Err("an input_file is not supported; send its text as input_text".to_owned().into()),
            other => return Err(format!("a part of {name} has the type {other:?}, which is not known").into()),
        }
    }
    Ok(())
}

fn image(url: &str) -> Result<String, Stop> {
    let data = IMAGES.iter().find_map(|beginning| url.strip_prefix(beginning));
    data.map(str::to_owned).ok_or_else(|| {
        let beginning: String = url.chars().take(30).collect();
        Stop::Invalid(format!("an image_url begins with {beginning:?}; send the image in Base64, as data:image/png;base64,…"))
    })
}
