//! Writes the classifier's rules as data, for policies in other languages. A hand-made copy would go stale.

use crate::field;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use upright_logic::classifier::rules::{Meaning, RULES, Retries, Rule, Said, UNKNOWN};
use upright_logic::classifier::{kind_of_errno, text};

/// Largest error number of Linux.
const LARGEST_ERRNO: i32 = 4095;

/// Page with a table of the rules, from the workspace root.
pub const PAGE: &str = "docs/patterns/error-classification.md";
const MARKS: [&str; 2] = ["<!-- kinds: written by `cargo xtask vectors` -->\n", "<!-- end of kinds -->"];

/// Names, from the workspace root, and contents of the files with the table. `committed` is the text of [`PAGE`].
///
/// # Panics
/// If the page has lost its marks.
pub fn files(committed: &str) -> [(&'static str, String); 3] {
    let table = format!("{:#}\n", table());
    let module = format!("// Written by `cargo xtask vectors` from the default policy's own table.\nexport default {table}");
    [("guest/examples/python/rules.json", table), ("guest/examples/js/rules.js", module), (PAGE, page(committed))]
}

/// The page with the current kinds of failures.
fn page(committed: &str) -> String {
    let [begin, end] = MARKS;
    let parts = committed.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("{PAGE}: no {} before {end}", begin.trim_end()));
    format!("{before}{begin}{}{}{end}{after}", kinds(), look_alikes())
}

/// One line for all rules with one meaning, with the corpus programs that show it.
fn kinds() -> String {
    let rows = field::rows();
    let mut lines: Vec<(&Meaning, Vec<&str>)> = Vec::new();
    for rule in RULES.iter().chain([&UNKNOWN]) {
        match lines.iter_mut().find(|(meaning, _)| answer(meaning) == answer(&rule.meaning)) {
            Some((_, names)) => names.push(rule.name),
            None => lines.push((&rule.meaning, vec![rule.name])),
        }
    }
    let mut table = "\n| it means | Upright | rules | said by |\n|---|---|---|---|\n".to_owned();
    for (meaning, names) in lines {
        let mut programs: Vec<&str> = rows.iter().filter(|row| row.right == answer(meaning)).map(|row| row.program.as_str()).collect();
        programs.sort_unstable();
        programs.dedup();
        let (shown, more) = programs.split_at(programs.len().min(SHOWN));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {}: {} | {} | {names} | {}{more} |",
            meaning.category,
            meaning.action.text(),
            doing(meaning),
            shown.join(", ")
        );
    }
    table + "\n"
}

fn look_alikes() -> String {
    let rows: Vec<field::Row> = field::rows().into_iter().chain(field::later()).collect();
    let shown = |name: &str| {
        rows.iter().find(|row| row.id == name).map_or_else(
            || panic!("no row {name}"),
            |row| {
                let text = row.text().split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('`', "'");
                let cut: String = text.chars().take(LONGEST).collect();
                let more = if cut.len() < text.len() { "…" } else { "" };
                let status = row.status.map_or_else(String::new, |status| format!("{status} "));
                format!("{}: {status}`{cut}{more}` is `{}`", row.program, row.means)
            },
        )
    };
    let mut table = "| this | and what looks like it |\n|---|---|\n".to_owned();
    for (one, other) in field::LOOK_ALIKES {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {} | {} |", shown(one), shown(other));
    }
    table + "\n"
}

const LONGEST: usize = 120;

const SHOWN: usize = 6;

fn doing(meaning: &Meaning) -> String {
    let again = match meaning.retries {
        Retries::Never => "does not ask again".to_owned(),
        Retries::AtMost(0) => "does not ask the same again".to_owned(),
        Retries::AtMost(limit) => format!("asks again, at most {limit} times"),
        Retries::Allowed => "asks again".to_owned(),
    };
    let elsewhere = match (meaning.model_specific, meaning.host_specific) {
        (true, true) => "; another model or host may do",
        (true, false) => "; another model may do",
        (false, true) => "; another host may do",
        (false, false) => "",
    };
    format!("{again}{elsewhere}; {}", if meaning.counted { "a breaker counts it" } else { "no breaker counts it" })
}

fn answer(meaning: &Meaning) -> field::Answer {
    field::Answer {
        category: meaning.category,
        retryable: meaning.retries != Retries::Never,
        retry_limit: match meaning.retries {
            Retries::AtMost(limit) => Some(limit.into()),
            _ => None,
        },
        counted: meaning.counted,
        model_specific: meaning.model_specific,
        host_specific: meaning.host_specific,
        action: meaning.action,
    }
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
        for (path, wanted) in files(&std::fs::read_to_string(root.join(PAGE)).unwrap()) {
            let committed = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert_eq!(committed.lines().collect::<Vec<_>>(), wanted.lines().collect::<Vec<_>>(), "{path}: run `cargo xtask vectors`");
        }
    }
}
