//! Sums up the demo, and checks its promises.

use super::screen::Screen;
use super::stage::Stage;
use crate::output::{BAD, GOOD};
use serde_json::json;
use std::sync::PoisonError;

/// Returns the promises that were not kept.
pub(super) fn show(stage: &Stage, screen: &Screen<'_>) -> anyhow::Result<Vec<&'static str>> {
    let tally = *stage.tally.lock().unwrap_or_else(PoisonError::into_inner);
    let (seen, counts) = (screen.seen, stage.manager.policy().counts());
    let resumed = stage.resumed_at.unwrap_or_default();
    let promised = [
        ("a retry after a delay", seen.retries > 0),
        ("a breaker that opens", seen.opened > 0),
        ("a breaker that closes again", seen.closed > 0),
        ("a fallback to another model", seen.switches > 0),
        // A real model may need minutes for it.
        ("a question too long for the window, answered whole", seen.enlarged > 0 || stage.simulated().is_none()),
        ("a cached answer", tally.cached > 0),
        ("a policy swap", seen.swaps > 0),
        ("a gateway whose other host answers", tally.by_other_host > 0 || stage.simulated().is_none()),
        ("a cut sentence that is finished", tally.finished > 0 || stage.simulated().is_none()),
        ("no chat lost", tally.failed == 0),
        ("a checkpoint restored", resumed > 0),
    ];
    let missing: Vec<_> = promised.iter().filter(|(_, shown)| !shown).map(|(promise, _)| *promise).collect();
    let seconds = screen.elapsed().as_secs_f64();
    if screen.output().json {
        screen.output().json_line(&json!({ "summary": {
            "chats": tally.asked, "live": tally.live, "by_other_model": tally.by_other_model, "cached": tally.cached, "by_fallback": tally.by_fallback, "lost": tally.failed,
            "attempts": tally.attempts, "failed_attempts": seen.failed_attempts, "retries": seen.retries,
            "breaker_opened": seen.opened, "breaker_half_opened": seen.half_opened, "breaker_closed": seen.closed,
            "calls_rejected": seen.rejections, "model_switches": seen.switches, "windows_enlarged": seen.enlarged, "policy_swaps": counts.swaps,
            "by_gateway": tally.by_gateway, "by_other_host": tally.by_other_host, "finished": tally.finished,
            "decisions": counts.decisions, "safe_mode": counts.safe_mode, "resumed_at": resumed, "seconds": seconds, "missing": missing,
        } }))?;
        return Ok(missing);
    }
    let rows = [
        ("chats", tally.asked.to_string()),
        ("  answered live", format!("{}, {} of them by another model", tally.live, tally.by_other_model)),
        ("  answered from the cache", tally.cached.to_string()),
        ("  answered by the fallback", tally.by_fallback.to_string()),
        ("  lost", tally.failed.to_string()),
        ("attempts", format!("{}, {} failed", tally.attempts, seen.failed_attempts)),
        ("retries", seen.retries.to_string()),
        ("larger windows", seen.enlarged.to_string()),
        ("breaker", format!("opened {}, half-open {}, closed {}", seen.opened, seen.half_opened, seen.closed)),
        ("  calls rejected", seen.rejections.to_string()),
        ("policy swaps", counts.swaps.to_string()),
        (
            "gateway",
            format!("{} chats, {} answered by the other host, {} finished by it", tally.by_gateway, tally.by_other_host, tally.finished),
        ),
        ("decisions", format!("{}, {} of them in safe mode", counts.decisions, counts.safe_mode)),
        ("checkpoint", format!("resumed at item {resumed}")),
        ("time", format!("{seconds:.1} s")),
    ];
    screen.say("\nSummary")?;
    for (name, value) in rows {
        screen.say(&format!("  {name:<28}{value}"))?;
    }
    let verdict = if missing.is_empty() {
        screen.output().paint(GOOD, "Everything was shown, and no chat was lost.")
    } else {
        screen.output().paint(BAD, format_args!("Not shown: {}.", missing.join(", ")))
    };
    screen.say(&format!("\n{verdict}"))?;
    Ok(missing)
}
