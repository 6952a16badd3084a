//! Where commands write to, and in what form.

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    // Documentation comments would make `--help` spread over pages.
    Auto,
    Always,
    Never,
}

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Standard output and standard error, as this call of the program shall use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Data is printed as JSON, one object a line.
    pub(crate) json: bool,
    /// Standard output is a terminal: somebody watches.
    pub(crate) terminal: bool,
    /// Standard output takes colours.
    pub(crate) colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool, color: ColorWhen) -> Self {
        let colour = match color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        };
        Self { json, terminal: io::stdout().is_terminal(), colour: colour && !json }
    }

    /// Prints text as it is, at once.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints a line.
    pub(crate) fn line(&self, text: impl Display) -> io::Result<()> {
        self.print(&format!("{text}\n"))
    }

    /// Prints a value as one line of JSON.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// Text in a style, where standard output takes colours.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// Whether something is as it should be: a mark in colour, a word without.
    pub(crate) fn mark(&self, good: bool) -> String {
        match (self.colour, good) {
            (true, true) => self.paint(GOOD, "✓"),
            (true, false) => self.paint(BAD, "✗"),
            (false, true) => "ok  ".to_owned(),
            (false, false) => "FAIL".to_owned(),
        }
    }
}

/// Says something on standard error, in one line whatever the text holds.
pub(crate) fn complain(text: impl Display) {
    // Where nobody listens there is nobody to tell that to.
    let _ = writeln!(io::stderr().lock(), "upright: {}", one_line(&text.to_string()));
}

/// The text on one line, without characters that steer a terminal; servers may say anything.
pub(crate) fn one_line(text: &str) -> String {
    /// Longer than any sentence; an error may hold a whole page.
    const LONGEST: usize = 2000;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().filter(|character| !character.is_control()).take(LONGEST).collect();
    if words.len() > LONGEST && words.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// The text without characters that steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// A span for people.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        10.0.. => format!("{seconds:.0} s"),
        0.1.. => format!("{seconds:.1} s"),
        _ => format!("{:.0} ms", seconds * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_server_says_becomes_one_line_that_steers_no_terminal() {
        assert_eq!(one_line("  no\r\n\tway \u{1b}[2Jout\u{7} "), "no way [2Jout");
        assert_eq!(one_line(&"é".repeat(5000)).chars().count(), 2001);
    }

    #[test]
    fn marks_are_words_where_there_are_no_colours() {
        let plain = Output { json: false, terminal: false, colour: false };
        assert_eq!((plain.mark(true).trim(), plain.mark(false).trim()), ("ok", "FAIL"));
        let coloured = Output { colour: true, ..plain };
        assert!(coloured.mark(true).contains('✓') && coloured.mark(false).contains("\u{1b}["));
    }

    #[test]
    fn spans_are_told_in_a_unit_that_shows_them() {
        let told = [0.004, 0.25, 1.0, 75.2].map(|seconds| span(Duration::from_secs_f64(seconds)));
        assert_eq!(told, ["4 ms", "0.2 s", "1.0 s", "75 s"]);
    }
}
