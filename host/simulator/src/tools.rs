//! The simulated model calls the first tool offered once, and answers when it has the result.

use crate::asked::Asked;
use serde_json::{Map, Value, json};

pub(crate) fn calls(asked: &Asked) -> Option<Value> {
    let function = asked.body.get("tools")?.get(0)?.get("function")?;
    let last = asked.body.get("messages")?.as_array()?.last()?;
    if last.get("role")? != "user" {
        return None;
    }
    let prompt = asked.prompt();
    let word = prompt.split_whitespace().last().unwrap_or_default().trim_matches(|letter: char| !letter.is_alphanumeric());
    let properties = function.pointer("/parameters/properties").and_then(Value::as_object);
    let arguments: Map<String, Value> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), if schema.get("type").is_some_and(|kind| kind == "string") { json!(word) } else { json!(1) }))
        .collect();
    Some(json!([{"function": {"name": function.get("name")?, "arguments": arguments}}]))
}
