//! Shows a workflow to the policy and applies its edits to a copy.

use crate::types::{WorkflowChange, WorkflowEdit, WorkflowEntry, WorkflowValue};
use serde_json::{Map, Number, Value};

const TEXT_SHOWN: usize = 256;
const ENTRIES_SHOWN: usize = 1024;
/// Below this every whole number has its own `f64`.
const WHOLE_NUMBERS: f64 = 9_007_199_254_740_992.0;

pub(super) fn entries(workflow: &Map<String, Value>) -> Vec<WorkflowEntry> {
    let entry = |(key, value): (&String, &Value)| WorkflowEntry { key: shown(key), value: seen(value) };
    workflow.iter().take(ENTRIES_SHOWN).map(entry).collect()
}

fn seen(value: &Value) -> WorkflowValue {
    match value {
        Value::Null => WorkflowValue::Null,
        Value::Bool(truth) => WorkflowValue::Boolean(*truth),
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()).map_or(WorkflowValue::Nested, WorkflowValue::Number),
        Value::String(text) => WorkflowValue::Text(shown(text)),
        Value::Array(items) => WorkflowValue::Items(u32::try_from(items.len()).unwrap_or(u32::MAX)),
        Value::Object(_) => WorkflowValue::Nested,
    }
}

fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_SHOWN)].to_owned()
}

pub(super) fn edited(workflow: &Map<String, Value>, edits: &[WorkflowEdit]) -> Map<String, Value> {
    let mut entries: Vec<_> = workflow.clone().into_iter().map(Some).collect();
    for edit in edits {
        let Some(entry) = entries.get_mut(edit.entry as usize) else { continue };
        match (edit.change, entry.as_mut().map(|(_, value)| value)) {
            (WorkflowChange::Drop, Some(_)) => *entry = None,
            (WorkflowChange::Set(number), Some(Value::Number(current))) => {
                if let Some(number) = in_kind(number, current) {
                    *current = number;
                }
            }
            (WorkflowChange::Truncate(limit), Some(Value::Array(items))) => items.truncate(limit as usize),
            _ => {}
        }
    }
    entries.into_iter().flatten().collect()
}

/// Keeps integers integers: programs that want one refuse 3.0.
fn in_kind(number: f64, current: &Number) -> Option<Number> {
    let whole = number.fract() == 0.0 && number.abs() <= WHOLE_NUMBERS;
    if whole && (current.is_i64() || current.is_u64()) { Some(Number::from(number as i64)) } else { Number::from_f64(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    fn set(entry: u32, number: f64) -> WorkflowEdit {
        WorkflowEdit { entry, change: WorkflowChange::Set(number) }
    }

    fn truncate(entry: u32, limit: u32) -> WorkflowEdit {
        WorkflowEdit { entry, change: WorkflowChange::Truncate(limit) }
    }

    fn drop_entry(entry: u32) -> WorkflowEdit {
        WorkflowEdit { entry, change: WorkflowChange::Drop }
    }

    fn text(workflow: Value, edits: &[WorkflowEdit]) -> String {
        serde_json::to_string(&edited(&object(workflow), edits)).unwrap()
    }

    #[test]
    fn integers_stay_integers_and_the_order_stays() {
        let workflow = json!({ "z": 10, "tools": [1, 2, 3], "b": 0.7, "gone": 1, "a": 1, "float": 10.0 });
        let edits = [drop_entry(3), set(0, 3.0), truncate(1, 2), set(2, 0.3), set(4, 0.5), set(5, 3.0)];
        assert_eq!(text(workflow, &edits), r#"{"z":3,"tools":[1,2],"b":0.3,"a":0.5,"float":3.0}"#);
    }

    #[test]
    fn unedited_numbers_of_a_workflow_keep_all_digits() {
        let workflow = r#"{"seed":18446744073709551615,"big":9007199254740993,"small":-9223372036854775808,"n":1}"#;
        let edited = text(serde_json::from_str(workflow).unwrap(), &[set(3, 2.0)]);
        assert_eq!(edited, workflow.replace(r#""n":1"#, r#""n":2"#));
    }

    #[test]
    fn edits_that_do_not_fit_are_left_out() {
        let workflow = json!({ "text": "a,b,c,d", "null": null, "number": 5, "list": [1], "object": { "a": 1 } });
        let edits = [
            truncate(0, 1),
            set(0, 1.0),
            set(1, 3.0),
            truncate(2, 1),
            set(2, f64::NAN),
            set(2, f64::INFINITY),
            truncate(3, 9),
            set(4, 1.0),
            drop_entry(5),
            set(u32::MAX, 1.0),
        ];
        assert_eq!(Value::Object(edited(&object(workflow.clone()), &edits)), workflow);
    }

    #[test]
    fn an_edit_of_a_dropped_workflow_entry_is_ignored() {
        assert_eq!(text(json!({ "a": 1, "b": 2 }), &[drop_entry(0), set(0, 3.0), drop_entry(0)]), r#"{"b":2}"#);
    }

    #[test]
    fn the_copy_shares_no_nested_data() {
        let original = object(json!({ "tools": [{ "name": "search" }], "nested": { "list": [1, 2] } }));
        let before = original.clone();
        let mut copy = edited(&original, &[]);
        copy["tools"][0]["name"] = json!("changed");
        copy["nested"]["list"][0] = json!(99);
        assert_eq!(original, before);
    }

    #[test]
    fn a_policy_sees_kinds_and_sizes_but_no_long_texts() {
        let long = "ü".repeat(1 << 20);
        let seen = entries(&object(json!({ "n": null, "b": true, "f": 0.5, "i": -3, "list": [1, 2], "o": {}, "t": long })));
        let values: Vec<_> = seen.iter().map(|entry| &entry.value).collect();
        use WorkflowValue::{Boolean, Items, Nested, Null, Number};
        assert_eq!(values[..6], [&Null, &Boolean(true), &Number(0.5), &Number(-3.0), &Items(2), &Nested]);
        assert_eq!(*values[6], WorkflowValue::Text("ü".repeat(128)));
    }
}
