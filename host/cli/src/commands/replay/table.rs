//! Formats a replay's report as text.

use crate::output::{BAD, FAINT, GOOD, Output, one_line};
use std::fmt::Write;
use upright_operations::replay::{Change, DifferenceGroup, ReplayReport, Replayed};

pub(super) fn of(report: &ReplayReport, output: &Output) -> String {
    let ReplayReport { policy, against, entries, lost, unreadable, differing, .. } = report;
    let compared_with = against.as_ref().map_or_else(|| "the answers in the journal".to_owned(), name);
    let mut read = entries.to_string();
    if *lost > 0 {
        let _ = write!(read, "; {lost} more are missing in the journal");
    }
    let differ = format!("{differing} ({:.1} %)", percent(*differing, *entries));
    let style = if *differing == 0 { GOOD } else { BAD };
    let mut text = row("policy", &name(policy), output);
    text += &row("compared", &format!("with {compared_with}"), output);
    text += &row("decisions", &read, output);
    if let Some(first) = &unreadable.first {
        let more = if unreadable.lines == 1 { "1 line".to_owned() } else { format!("{} lines, of which the first", unreadable.lines) };
        let shown = format!("{more}: {}: {}", first.place, first.reason);
        text += &row("unreadable", &output.paint(BAD, one_line(&shown)), output);
    }
    text += &row("differ", &output.paint(style, differ), output);
    text.extend(report.differences.iter().map(|group| difference(group, output)));
    text += &row("delay", &change(report.delay, |delay| format!("{:.3} s", delay.as_secs_f64())), output);
    text += &row("retries", &change(report.retries, |retries| retries.to_string()), output);
    text + &row("fuel", &fuel(report.fuel_per_decision), output)
}

fn row(name: &str, value: &str, output: &Output) -> String {
    format!("{}  {value}\n", output.paint(FAINT, format_args!("{name:<10}")))
}

fn name(policy: &Replayed) -> String {
    // A policy chooses its own name.
    one_line(&format!("{} {} ({})", policy.name, policy.version, policy.digest))
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

fn difference(group: &DifferenceGroup, output: &Output) -> String {
    let DifferenceGroup { function, what, before, after, count, share, example, .. } = group;
    let shown = one_line(&format!("{function} {what}: {before} → {after}"));
    let example = output.paint(FAINT, one_line(&format!("(first: {example})")));
    format!("{count:>10}  {:>5.1} %  {shown}  {example}\n", share * 100.0)
}

fn change<T: Copy + PartialEq>(change: Change<T>, shown: impl Fn(T) -> String) -> String {
    if change.before == change.after { shown(change.after) } else { format!("{} → {}", shown(change.before), shown(change.after)) }
}

fn fuel(fuel: Change<Option<f64>>) -> String {
    let shown = |fuel: f64| format!("{fuel:.0}");
    match (fuel.before, fuel.after) {
        (Some(before), Some(after)) => format!("{} → {} instructions a decision", shown(before), shown(after)),
        (None, Some(after)) => format!("{} instructions a decision", shown(after)),
        _ => "nothing was asked".to_owned(),
    }
}
