//! The classifier's rules as data, for policies that are written anew in another language.
//!
//! A classifier is its table. Copied by hand, it would go stale; so it is written out from `upright-logic`'s own, and whoever interprets it classifies as
//! the default policy does.

use serde_json::{Map, Value, json};
use upright_logic::classifier::rules::{RULES, Retries, Rule, Said, UNKNOWN};
use upright_logic::classifier::{kind_of_errno, text};

/// Linux has no larger error number.
const LARGEST_ERRNO: i32 = 4095;

/// The files that hold the table, from the root of the workspace, and their contents.
pub fn files() -> [(&'static str, String); 2] {
    let table = format!("{:#}\n", table());
    let module = format!("// Written by `cargo xtask vectors` from the default policy's own table.\nexport default {table}");
    [("guest/examples/python/rules.json", table), ("guest/examples/js/rules.js", module)]
}

fn table() -> Value {
    let errno_kinds: Map<String, Value> =
        (1..=LARGEST_ERRNO).filter_map(|errno| kind_of_errno(errno).map(|kind| (errno.to_string(), json!(kind)))).collect();
    json!({
        "rules": RULES.iter().map(rule).collect::<Vec<_>>(),
        "unknown": rule(&UNKNOWN),
        "errno_kinds": errno_kinds,
        "status_words": text::STATUS_WORDS,
        "status_reasons": text::STATUS_REASONS,
    })
}

fn rule(rule: &Rule) -> Value {
    let meaning = &rule.meaning;
    let ranges =
        |ranges: &[std::ops::RangeInclusive<u16>]| ranges.iter().map(|range| json!([range.start(), range.end()])).collect::<Vec<_>>();
    json!({
        "name": rule.name,
        "kinds": rule.kinds,
        "statuses": rule.statuses.map(ranges),
        "endpoints": rule.endpoints,
        "blank": matches!(rule.said, Said::Nothing),
        "points": rule.points,
        "phrases": match rule.said { Said::Any(phrases) => Some(phrases), _ => None },
        "also": rule.also,
        "unless": rule.unless,
        "meaning": {
            "category": meaning.category,
            "severity": meaning.severity,
            "retryable": meaning.retries != Retries::Never,
            "retry_limit": match meaning.retries { Retries::AtMost(limit) => Some(limit), _ => None },
            "counted": meaning.counted,
            "model_specific": meaning.model_specific,
            "host_specific": meaning.host_specific,
            "action": meaning.action,
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_rule_is_in_the_table_by_its_name() {
        let table = table();
        let names: Vec<_> = table["rules"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
        assert_eq!(names, RULES.iter().map(|rule| rule.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_committed_tables_are_what_the_rules_give() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, wanted) in files() {
            let committed = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert_eq!(committed.lines().collect::<Vec<_>>(), wanted.lines().collect::<Vec<_>>(), "{path}: run `cargo xtask vectors`");
        }
    }
}
