//! Command-line arguments of the examples.

use std::time::Duration;
use upright::clock::{SharedClock, SystemClock};
use upright::testing::DrivenClock;
use upright::types::ResourceSnapshot;

const GIB: u64 = 1 << 30;
const PRETENDED: u64 = 16 * GIB;

/// `[--quick] [--memory-percent N] [--model NAME]... [WORD...]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// Shortens waits to a thousandth.
    pub quick: bool,
    /// Percentage of 16 GiB simulated as in use.
    pub memory_percent: Option<f64>,
    /// Models in place of the program's own, best first.
    pub models: Vec<String>,
    /// Other words: a question.
    pub words: Vec<String>,
}

impl Arguments {
    /// Reads the program's arguments.
    ///
    /// # Errors
    /// Names the argument at fault.
    pub fn read() -> anyhow::Result<Self> {
        Self::parse(std::env::args().skip(1))
    }

    /// Parses a list.
    ///
    /// # Errors
    /// Names the argument at fault.
    pub fn parse(mut list: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut arguments = Self::default();
        while let Some(argument) = list.next() {
            match argument.as_str() {
                "--quick" => arguments.quick = true,
                "--memory-percent" => {
                    let value = list.next().unwrap_or_default();
                    let percent = value.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
                    arguments.memory_percent =
                        Some(percent.ok_or_else(|| anyhow::anyhow!("--memory-percent takes a number from 0 to 100, not {value:?}"))?);
                }
                "--model" => arguments.models.push(list.next().ok_or_else(|| anyhow::anyhow!("--model takes the name of a model"))?),
                flag if flag.starts_with("--") => anyhow::bail!("there is no {flag}; there are --quick, --memory-percent and --model"),
                _ => arguments.words.push(argument),
            }
        }
        Ok(arguments)
    }

    /// The time, or with `--quick` a thousandth of it.
    pub fn span(&self, whole: Duration) -> Duration {
        if self.quick { whole / 1000 } else { whole }
    }

    /// The machine's clock, or with `--quick` one that skips waits, on which time limits end at once.
    pub fn clock(&self) -> SharedClock {
        if self.quick { DrivenClock::skipping().shared() } else { SystemClock::shared() }
    }

    /// The named models, or these.
    pub fn models_or(&self, default: &[&str]) -> Vec<String> {
        if self.models.is_empty() { default.iter().map(|model| (*model).to_owned()).collect() } else { self.models.clone() }
    }

    /// The first named model, or this one.
    pub fn model_or(&self, default: &str) -> String {
        self.models.first().cloned().unwrap_or_else(|| default.to_owned())
    }

    /// All words as one text, or this.
    pub fn text_or(&self, default: &str) -> String {
        if self.words.is_empty() { default.to_owned() } else { self.words.join(" ") }
    }

    /// The machine that `--memory-percent` simulates.
    pub fn pretended_memory(&self) -> Option<ResourceSnapshot> {
        let free = 100.0 - self.memory_percent?;
        Some(ResourceSnapshot {
            memory_total_bytes: PRETENDED,
            memory_available_bytes: (PRETENDED as f64 * free / 100.0) as u64,
            disk_total_bytes: 1024 * GIB,
            disk_available_bytes: 512 * GIB,
            cpu_percent: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &[&str]) -> anyhow::Result<Arguments> {
        Arguments::parse(list.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn flags_and_words_may_stand_in_any_order() {
        let arguments = parsed(&["why", "--model", "a", "--quick", "not", "--model", "b", "--memory-percent", "90"]);
        let (models, words) = (vec!["a".into(), "b".into()], vec!["why".into(), "not".into()]);
        assert_eq!(arguments.ok(), Some(Arguments { quick: true, memory_percent: Some(90.0), models, words }));
    }

    #[test]
    fn an_unknown_argument_is_named_in_the_error() {
        for (list, word) in
            [(&["--fast"][..], "--fast"), (&["--memory-percent"], "\"\""), (&["--memory-percent", "101"], "101"), (&["--model"], "--model")]
        {
            assert!(parsed(list).is_err_and(|error| error.to_string().contains(word)), "{list:?}");
        }
    }

    #[test]
    fn a_pretended_machine_has_the_share_of_memory_in_use_that_was_asked_for() {
        let arguments = Arguments { memory_percent: Some(75.0), ..Arguments::default() };
        assert_eq!(arguments.pretended_memory().and_then(|snapshot| snapshot.memory_percent()), Some(75.0));
        assert_eq!(Arguments::default().pretended_memory(), None);
    }
}
