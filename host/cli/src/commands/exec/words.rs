//! Decides whether standard error confirms the exit code or names another cause.
//!
//! A usage text lists options (`--timeout SECONDS`), and a shell names the missing command (`timeout: not found`). Such
//! texts confirm the exit code, and other words in them do not count.

use upright::types::FaultKind::{self, *};

/// Phrases that confirm a kind; lower case.
const CONFIRMING: &[(FaultKind, &[&str])] = &[
    (NotFound, &[": not found", "command not found", "no such file or directory"]),
    (PermissionDenied, &["permission denied", "operation not permitted", "exec format error", "cannot execute", "is a directory"]),
];

/// Messages of getopt, argparse, click, clap, cobra, Go's `flag` and coreutils; lower case.
const WRONG_USAGE: &[&str] = &[
    "invalid option",
    "illegal option",
    "unknown option",
    "unrecognized option",
    "unrecognised option",
    "no such option",
    "ambiguous option",
    "requires an argument",
    "requires a value",
    "a value is required for",
    "unknown flag",
    "unknown shorthand flag",
    "flag provided but not defined",
    "flag needs an argument",
    "unknown argument",
    "unrecognized argument",
    "unexpected argument",
    "unexpected extra argument",
    "arguments are required",
    "arguments were not provided",
    "missing argument",
    "missing operand",
    "extra operand",
    "too many arguments",
    "too few arguments",
    "invalid choice",
    "unknown command",
    "unknown subcommand",
    "unrecognized subcommand",
    "unrecognized command",
];

/// Ends of lines about a file; lower case.
const ABOUT_A_FILE: &[&str] = &["no such file or directory", "no such file", "is a directory", "not a directory", "file exists"];

/// Phrases of a start that may work later; lower case.
const NOT_YET_STARTED: &[&str] = &["text file busy", "resource temporarily unavailable", "cannot fork"];

/// Minimum number of option descriptions in a usage text.
const DESCRIPTIONS: usize = 3;

pub(super) fn tell_of(kind: FaultKind, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    CONFIRMING.iter().filter(|(known, _)| *known == kind).any(|(_, phrases)| phrases.iter().any(|phrase| text.contains(phrase)))
}

pub(super) fn tell_of_a_start_too_early(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NOT_YET_STARTED.iter().any(|phrase| text.contains(phrase))
}

pub(super) fn tell_of_wrong_usage(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // A program may warn about an option and go on.
    let mut lines = text.lines().filter(|line| !line.contains("warn") && !line.contains("ignor"));
    let described = text.lines().filter(|line| describes_an_option(line)).count();
    described >= DESCRIPTIONS
        || lines.any(|line| {
            let is_usage = line.trim_start().starts_with("usage:") || line.contains(": usage:");
            is_usage || WRONG_USAGE.iter().any(|phrase| line.contains(phrase))
        })
}

/// Removes file names such as `timeout.log`, which say nothing about the failure.
pub(super) fn without_names(text: &str) -> String {
    let is_about_a_file = |line: &str| {
        let line = line.trim_end().to_ascii_lowercase();
        ABOUT_A_FILE.iter().any(|end| line.ends_with(end))
    };
    let lines = text.split_inclusive('\n');
    lines.map(|line| if is_about_a_file(line) { without_names_in(line) } else { line.to_owned() }).collect()
}

fn without_names_in(line: &str) -> String {
    const QUOTES: &[char] = &['\'', '"', '`', '‘', '’', '“', '”'];
    let tokens: Vec<&str> = line.split_whitespace().collect();
    let mut quoted = false;
    let mut kept = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let bare = token.trim_end_matches([':', ',', '.', ')']);
        let opens = bare.starts_with(QUOTES);
        let is_quoted = quoted || opens;
        // A single quote character only opens.
        let closes = bare.ends_with(QUOTES) && (quoted || bare.chars().nth(1).is_some());
        quoted = is_quoted && !closes;
        let is_path = bare.contains(['/', '.']);
        let is_alone = token.ends_with(':') && at > 0 && tokens[at - 1].ends_with(':');
        if !is_quoted && !is_path && !is_alone {
            kept.push(*token);
        }
    }
    kept.join(" ") + "\n"
}

/// A line such as `  -t, --timeout SECONDS  give up then`.
fn describes_an_option(line: &str) -> bool {
    let Some(option) = line.trim_start().strip_prefix('-') else { return false };
    let name = option.strip_prefix('-').unwrap_or(option);
    let is_option = line.starts_with([' ', '\t']) && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    is_option && (name.trim_end().contains("  ") || name.contains('\t') || name.contains(", --"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_on_usage_are_known_whoever_wrote_them() {
        for text in [
            "usage: x [--timeout SECONDS] [--retry-on 'connection refused']",
            "x: unrecognized option '--foo'\nTry 'x --help' for more information.",
            "x: invalid option -- 'z'",
            "x: missing operand",
            "error: unexpected argument '--timeout' found\n\nUsage: x [OPTIONS]",
            "usage: x [-h]\nx: error: argument --timeout: invalid float value: 'y'",
            "Usage: x [OPTIONS]\n\nError: No such option: --timeout",
            "flag provided but not defined: -timeout\nUsage of x:",
            "Error: unknown flag: --timeout",
            "sh: 1: kill: Usage: kill [-s sigspec]",
            // The beginning is cut off.
            "  -r, --retries N      after connection refused\n  -t, --timeout SECONDS\n      --fail   connect timeout\n",
        ] {
            assert!(tell_of_wrong_usage(text), "{text}");
        }
    }

    #[test]
    fn texts_that_only_resemble_usage_errors_are_not_taken_for_them() {
        for text in [
            "",
            "psql: error: connection to server failed: Connection refused",
            "warning: unknown option --foo\nConnection refused",
            "x: unrecognized option '--foo' ignored\nConnection refused",
            "memory usage: 5 GB",
            "items:\n  - connection\n  - refused\n  - by\n  - peer",
            "cc \\\n  -lfoo \\\n  -lbar \\\n  -lbaz",
            "error: x\n  --> a.rs:1:2\n  --> b.rs:3:4\n  --> c.rs:5:6",
            "-a  b\n-c  d\n-e  f",
        ] {
            assert!(!tell_of_wrong_usage(text), "{text}");
        }
    }

    #[test]
    fn the_names_of_missing_files_are_left_out_and_nothing_else() {
        for (text, left) in [
            ("ls: cannot access 'timeout.log': No such file or directory\n", "ls: cannot access No such file or directory\n"),
            ("ls: cannot access 'a timeout b': No such file or directory", "ls: cannot access No such file or directory\n"),
            ("grep: timeout: No such file or directory", "grep: No such file or directory\n"),
            ("sh: 1: cannot open timeout.log: No such file", "sh: cannot open No such file\n"),
            ("cp: ./timeout/: Is a directory", "cp: Is a directory\n"),
            // Other lines, and ambiguous ones, stay.
            (
                "Could not connect to Redis at /tmp/x: No such file or directory",
                "Could not connect to Redis at No such file or directory\n",
            ),
            ("x: timeout.log\nConnection refused", "x: timeout.log\nConnection refused"),
            ("can't say ' and no more: File exists", "can't say\n"),
            ("", ""),
        ] {
            assert_eq!(without_names(text), left);
        }
    }

    #[test]
    fn a_missing_command_is_recognized_whatever_its_name() {
        for text in ["sh: 1: timeout: not found", "bash: line 1: timeout: command not found", "env: 'timeout': No such file or directory"] {
            assert!(tell_of(NotFound, text) && !tell_of(PermissionDenied, text), "{text}");
        }
        assert!(tell_of(PermissionDenied, "sh: 1: ./timeout: Exec format error") && !tell_of(Dns, "permission denied"));
    }
}
