//! Writes text or JSON to standard output, and messages to standard error.

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    // Doc comments would make `--help` very long.
    Auto,
    Always,
    Never,
}

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NOTABLE: Style = AnsiColor::Yellow.on_default();
pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) terminal: bool,
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

    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    pub(crate) fn line(&self, text: impl Display) -> io::Result<()> {
        self.print(&format!("{text}\n"))
    }

    pub(crate) fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    pub(crate) fn mark(&self, good: bool) -> String {
        match (self.colour, good) {
            (true, true) => self.paint(GOOD, "✓"),
            (true, false) => self.paint(BAD, "✗"),
            (false, true) => "ok  ".to_owned(),
            (false, false) => "FAIL".to_owned(),
        }
    }
}

/// Always one line.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "upright: {}", one_line(&text.to_string()));
}

/// Writes an excerpt of a file below its complaint.
pub(crate) fn quote(excerpt: &str) {
    let mut error = io::stderr().lock();
    for line in excerpt.lines() {
        let _ = writeln!(error, "{}", printable(line));
    }
}

/// Without control characters: a server's text could steer the terminal.
pub(crate) fn one_line(text: &str) -> String {
    /// Maximum length, characters.
    const LONGEST: usize = 2000;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().filter(|character| !character.is_control()).take(LONGEST).collect();
    if words.len() > LONGEST && words.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

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
    fn durations_are_printed_in_milliseconds_or_seconds_by_their_size() {
        let shown = [0.004, 0.25, 1.0, 75.2].map(|seconds| span(Duration::from_secs_f64(seconds)));
        assert_eq!(shown, ["4 ms", "0.2 s", "1.0 s", "75 s"]);
    }
}
