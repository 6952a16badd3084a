//! What standard error says of an exit code: that it means what it usually does, or why it came about.
//!
//! Where a code is a general one, known words are believed. But a text may mention what it is not about: one that explains how a program is to be used names its
//! options (`--timeout SECONDS`), and a shell names the command that it did not find (`timeout: not found`). What is said in such words is what the code says, and nothing else in them counts.

use upright::types::FaultKind::{self, *};

/// Words that a failure of this kind is told in, whatever else they mention; in lower case.
const TOLD: &[(FaultKind, &[&str])] = &[
    (NotFound, &[": not found", "command not found", "no such file or directory"]),
    (PermissionDenied, &["permission denied", "operation not permitted", "exec format error", "cannot execute", "is a directory"]),
];

/// Words about wrong usage, of getopt, argparse, click, clap, cobra, Go's `flag` and coreutils; in lower case.
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

/// Words of a shell, or of a system, that could not start a process and soon may; in lower case.
const NOT_YET_STARTED: &[&str] = &["text file busy", "resource temporarily unavailable", "cannot fork"];

/// So many lines that describe an option are a text on usage, of which the beginning may be cut off.
const DESCRIPTIONS: usize = 3;

/// Whether this is how a failure of this kind is told.
pub(super) fn tell_of(kind: FaultKind, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    TOLD.iter().filter(|(known, _)| *known == kind).any(|(_, phrases)| phrases.iter().any(|phrase| text.contains(phrase)))
}

/// Whether a process could not be started, but soon may be.
pub(super) fn tell_of_a_start_too_early(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NOT_YET_STARTED.iter().any(|phrase| text.contains(phrase))
}

/// Whether this explains how the program is to be used.
pub(super) fn tell_of_wrong_usage(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // A program that was given an option too many may say so and go on.
    let mut lines = text.lines().filter(|line| !line.contains("warn") && !line.contains("ignor"));
    let described = text.lines().filter(|line| describes_an_option(line)).count();
    described >= DESCRIPTIONS
        || lines.any(|line| {
            let is_usage = line.trim_start().starts_with("usage:") || line.contains(": usage:");
            is_usage || WRONG_USAGE.iter().any(|phrase| line.contains(phrase))
        })
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
    fn what_only_looks_like_usage_is_not_taken_for_it() {
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
    fn a_missing_command_is_told_of_whatever_it_is_called() {
        for text in ["sh: 1: timeout: not found", "bash: line 1: timeout: command not found", "env: 'timeout': No such file or directory"] {
            assert!(tell_of(NotFound, text) && !tell_of(PermissionDenied, text), "{text}");
        }
        assert!(tell_of(PermissionDenied, "sh: 1: ./timeout: Exec format error") && !tell_of(Dns, "permission denied"));
    }
}
