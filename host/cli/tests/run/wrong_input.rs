//! Wrong input is refused in one line that names the value found and the value expected.

use crate::common::command;
use upright_test_kit::command::finish;

/// Not a component.
const TEXT_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Arguments, the value found, the value expected.
const WRONG: &[(&[&str], &str, &str)] = &[
    (&[], "command", "expected one of: run"),
    (&["bogus"], "\"bogus\"", "expected one of: run, "),
    (&["--bogus"], "--bogus", "upright --help"),
    (&["--color", "purple", "health"], "\"purple\"", "expected one of: auto, always, never"),
    (&["run"], "<MODEL>", "expected: upright run"),
    (&["run", "", "hi"], "<MODEL>", "expected a model's name"),
    (&["run", "two words", "hi"], "\"two words\"", "expected a model's name"),
    (&["run", "m", ""], "PROMPT", "expected some text"),
    (&["run", "m"], "standard input", "expected one prompt per line"),
    (&["run", "m", "hi", "--modle", "x"], "--modle", "upright run --help"),
    (&["run", "m", "hi", "--fallback", " "], "--fallback", "expected a model's name"),
    (&["run", "m", "hi", "--fallbak", "x"], "--fallbak", "--fallback"),
    (&["run", "m", "hi", "--retries"], "--retries", "expected one value"),
    (&["run", "m", "hi", "--retries", "-1"], "\"-1\"", "expected a whole number from 0 to 1000"),
    (&["run", "m", "hi", "--retries", "many"], "\"many\"", "expected a whole number from 0 to 1000"),
    (&["run", "m", "hi", "--deadline", "0"], "--deadline", "expected a number of seconds above 0"),
    (&["run", "m", "hi", "--deadline", "nan"], "\"nan\"", "expected a number of seconds above 0"),
    (&["run", "m", "hi", "--base-delay", "inf"], "\"inf\"", "expected a number of seconds above 0"),
    (&["run", "m", "hi", "--load-timeout", "-2"], "\"-2\"", "expected a number of seconds above 0"),
    (&["run", "m", "hi", "--first-token-timeout", "5s"], "\"5s\"", "expected a number of seconds above 0"),
    (&["run", "m", "hi", "--max-age", "1e400"], "\"1e400\"", "expected a number of seconds above 0"),
    (&["run", "m", "hi", "--temperature", "hot"], "\"hot\"", "expected a number from 0 to 100"),
    (&["run", "m", "hi", "--quiet=yes"], "\"yes\"", "expected none"),
    (&["run", "m", "hi", "--stream", "--json"], "--stream", "expected only one of them"),
    (&["run", "m", "hi", "--host", "ftp://x"], "\"ftp://x\"", "must be http or https"),
    (&["run", "m", "hi", "--host", "x:0"], "\"x:0\"", "from 1 to 65535"),
    (&["run", "m", "hi", "--policy", "/no/such.wasm"], "/no/such.wasm", "expected a WebAssembly component"),
    (&["demo", "--seed", "x"], "\"x\"", "expected a whole number"),
    (&["demo", "--home", "x"], "--home", "expected"),
    (&["demo", "--stay", "--home", "x", "--trust", "/no/such.pub"], "/no/such.pub", "expected a key's file"),
    (&["policy", "keygen", "/no/such/folder/key"], "/no/such/folder/key", "expected a file that is not there yet"),
    (&["policy", "keygen", TEXT_FILE], TEXT_FILE, "expected a file that is not there yet"),
    (&["policy", "sign", TEXT_FILE, "--key", TEXT_FILE, "--revision", "1"], TEXT_FILE, "expected `upright-secret-key:`"),
    (&["policy", "sign", TEXT_FILE, "--key", "/dev/zero", "--revision", "1"], "/dev/zero", "expected one of at most"),
    (&["policy", "sign", TEXT_FILE, "--key", "k", "--revision", "x"], "\"x\"", "expected a whole number"),
    (&["policy", "verify", TEXT_FILE, "--trust", TEXT_FILE], TEXT_FILE, "expected a WebAssembly component"),
    (&["policy", "verify", TEXT_FILE], "--trust", "expected"),
    (&["policy", "swap", TEXT_FILE], "--home", "expected"),
    (&["policy", "swap", TEXT_FILE, "--home", "/no/such"], "/no/such", "expected the folder that a running program"),
    (&["policy", "swap", "x", "--home", "y", "--sample", "0.5"], "--shadow", "expected"),
    (&["policy", "swap", "x", "--home", "y", "--shadow", "--sample", "2"], "\"2\"", "expected a share above 0"),
    (&["policy", "swap", "x", "--home", "y", "--shadow", "--promote-after", "0"], "\"0\"", "expected"),
    (&["policy", "swap", "x", "--home", "y", "--probation", "nan"], "\"nan\"", "expected a number of seconds"),
    (&["policy", "shadow", "--home", "y", "--promote", "--end"], "--end", "expected only one of them"),
    (&["policy", "history", "--home", "/no/such"], "/no/such", "expected the folder that a running program"),
    (&["policy", "rollback", "--home", "/no/such"], "/no/such", "expected the folder that a running program"),
    (&["run", "m", "hi", "--policy", "/dev/zero"], "/dev/zero", "expected a WebAssembly component"),
    (&["run", "m", "hi", "--host", "11434"], "11434", "must be"),
    (&["run", "m", "hi", "--policy", TEXT_FILE], TEXT_FILE, "expected a WebAssembly component"),
    #[cfg(unix)]
    (&["exec"], "<COMMAND>", "expected: upright exec"),
    #[cfg(unix)]
    (&["exec", ""], "<COMMAND>", "expected a command"),
    #[cfg(unix)]
    (&["exec", "--retrys", "3", "true"], "--retrys", "--retries"),
    #[cfg(unix)]
    (&["exec", "--json", "true"], "--json", "expected no --json"),
    #[cfg(unix)]
    (&["exec", "--retries", "-1", "true"], "\"-1\"", "expected a whole number from 0 to 1000"),
    #[cfg(unix)]
    (&["exec", "--base-delay", "-1", "true"], "\"-1\"", "expected a number of seconds from 0"),
    #[cfg(unix)]
    (&["exec", "--max-delay", "nan", "true"], "\"nan\"", "expected a number of seconds from 0"),
    #[cfg(unix)]
    (&["exec", "--deadline", "0", "true"], "--deadline", "expected a number of seconds above 0"),
    #[cfg(unix)]
    (&["exec", "--attempt-timeout", "5s", "true"], "\"5s\"", "expected a number of seconds above 0"),
    #[cfg(unix)]
    (&["exec", "--retry-on", "1,0", "true"], "\"0\"", "expected a whole number from 1 to 255"),
    #[cfg(unix)]
    (&["exec", "--fallback", " ", "true"], "--fallback", "expected a command for sh"),
    #[cfg(unix)]
    (&["exec", "--breaker", "", "true"], "--breaker", "expected a name of 1 to 64 bytes"),
    #[cfg(unix)]
    (&["exec", "--breaker", "x", "--failure-threshold", "0", "true"], "\"0\"", "expected a whole number from 1"),
    #[cfg(unix)]
    (&["exec", "--breaker", "x", "--recovery-timeout", "0", "true"], "--recovery-timeout", "expected a number of seconds above 0"),
    #[cfg(unix)]
    (&["exec", "--failure-threshold", "3", "true"], "--breaker", "expected: upright exec"),
    #[cfg(unix)]
    (&["exec", "--recovery-timeout", "3", "true"], "--breaker", "expected: upright exec"),
    #[cfg(unix)]
    (&["exec", "--state", "x", "true"], "--breaker", "expected: upright exec"),
    #[cfg(unix)]
    (&["exec", "--breaker", "x", "--state", TEXT_FILE, "true"], TEXT_FILE, "name another file"),
    (&["health", "--interval", "1"], "--watch", "expected: upright health --watch"),
    (&["health", "--watch", "--interval", "0"], "--interval", "expected a number of seconds above 0"),
    (&["health", "--timeout", "x"], "\"x\"", "expected a number of seconds above 0"),
    (&["health", "--model", ""], "--model", "expected a model's name"),
    (&["health", "extra"], "extra", "upright health --help"),
    (&["classify"], "<MESSAGE>", "expected: upright classify"),
    (&["classify", "--status", "99", "x"], "\"99\"", "expected a whole number from 100 to 599"),
    (&["classify", "--status", "600", "x"], "\"600\"", "expected a whole number from 100 to 599"),
    (&["classify", "--status", "9\n9", "x"], "\"9\\n9\"", "expected a whole number from 100 to 599"),
    (&["classify", "--kind", "weird", "x"], "\"weird\"", "expected one of: connection_refused"),
    (&["classify", "--endpoint", "weird", "x"], "\"weird\"", "expected one of: chat, generate"),
    (&["classify", "--errno", "0", "x"], "\"0\"", "expected a whole number from 1 to 4095"),
    (&["classify", "--retry-after", "-1", "x"], "\"-1\"", "expected a number of seconds from 0"),
    (&["policy"], "command", "expected one of: inspect, eval, new, build, test, bench, diff"),
    (&["policy", "bogus"], "\"bogus\"", "expected one of: inspect, eval, new, build, test, bench, diff"),
    (&["policy", "inspect", "/no/such.wasm"], "/no/such.wasm", "expected a WebAssembly component"),
    (&["policy", "inspect", TEXT_FILE], TEXT_FILE, "expected a WebAssembly component"),
    (&["policy", "inspect", env!("CARGO_MANIFEST_DIR")], env!("CARGO_MANIFEST_DIR"), "expected a WebAssembly component"),
    (&["policy", "eval"], "<FUNCTION>", "expected: upright policy eval"),
    (&["policy", "eval", "no.such"], "\"no.such\"", "expected one of: metadata.describe"),
    (&["policy", "eval", "recovery.decide", "--policy", "/no/such.wasm"], "/no/such.wasm", "expected a WebAssembly component"),
    (&["completions"], "<SHELL>", "expected: upright completions"),
    (&["completions", "tcsh"], "\"tcsh\"", "expected one of: bash"),
];

/// Variable, value, the value found, the value expected.
const WRONG_ENVIRONMENT: &[(&str, &str, &str, &str)] = &[
    ("OLLAMA_HOST", "x:99999", "\"99999\"", "from 1 to 65535"),
    ("OLLAMA_HOST", "ftp://x", "OLLAMA_HOST", "http or https"),
    ("RUST_LOG", "x=[", "\"x=[\"", "expected directives such as"),
];

async fn is_refused_in_one_line(command: tokio::process::Command, case: &str, wrong: &str, right: &str) {
    let ran = finish(command, "").await.ends_with(2);
    assert_eq!(ran.out, "", "{case}");
    assert_eq!(ran.err.lines().count(), 1, "{case}: {ran:?}");
    assert!(ran.err.starts_with("upright: ") && ran.err.contains(wrong) && ran.err.contains(right), "{case}: {ran:?}");
}

#[tokio::test]
async fn every_wrong_input_is_one_line_with_exit_code_2() {
    for (arguments, wrong, right) in WRONG {
        is_refused_in_one_line(command(None, arguments), &format!("{arguments:?}"), wrong, right).await;
    }
    for (variable, value, wrong, right) in WRONG_ENVIRONMENT {
        let mut command = command(None, &["health"]);
        command.env(variable, value);
        is_refused_in_one_line(command, &format!("{variable}={value}"), wrong, right).await;
    }
}

#[tokio::test]
async fn a_password_in_an_address_is_not_repeated() {
    for by_flag in [true, false] {
        let mut command = if by_flag { command(None, &["health", "--host", "http://me:secret@x"]) } else { command(None, &["health"]) };
        command.env("OLLAMA_HOST", "http://me:secret@x");
        let ran = finish(command, "").await.ends_with(2);
        assert!(!ran.err.contains("secret") && ran.err.contains("host[:port]"), "{ran:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = command(None, &["classify"]);
    command.arg(std::ffi::OsStr::from_bytes(&[0xff]));
    is_refused_in_one_line(command, "not UTF-8", "UTF-8", "expected text").await;
}
