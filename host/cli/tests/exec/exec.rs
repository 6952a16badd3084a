//! `upright exec` with real processes.

use crate::children::{expect, is_alive, output};
use crate::scratch::Scratch;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use upright_test_kit::command::{end, finish, give};

/// Fails like a busy service before this attempt.
fn until(attempt: u32) -> String {
    format!("echo attempt $UPRIGHT_ATTEMPT >&2; echo x >> runs; [ $UPRIGHT_ATTEMPT -ge {attempt} ] || exit 75")
}

#[tokio::test]
async fn a_command_that_succeeds_is_run_once_and_nothing_is_added() {
    let scratch = Scratch::new();
    let ran = scratch.exec(&[], "echo out; echo err >&2; echo x >> runs").await.ends_with(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str(), scratch.runs()), ("out\n", "err\n", 1));
}

#[tokio::test]
async fn a_command_is_tried_again_until_it_succeeds() {
    let scratch = Scratch::new();
    let ran = scratch.exec(&[], &until(3)).await.ends_with(0);
    assert_eq!(scratch.runs(), 3);
    let message = "upright: sh failed (exit code 75, temporary failure; transient); trying again\n";
    assert_eq!(ran.err, format!("attempt 1\n{message}attempt 2\n{message}attempt 3\n"));
}

#[tokio::test]
async fn the_exit_code_is_the_last_attempts() {
    let scratch = Scratch::new();
    let script = "echo x >> runs; echo 'Connection refused' >&2; exit $((40 + UPRIGHT_ATTEMPT))";
    let ran = scratch.exec(&["--retries", "2"], script).await.ends_with(43);
    assert_eq!(scratch.runs(), 3);
    let last = ran.err.lines().last().unwrap();
    assert_eq!(last, "upright: sh failed after 3 attempts (exit code 43): no retries are left");
}

#[tokio::test]
async fn exec_does_not_retry_a_permanent_failure() {
    for (script, code, word) in [
        ("exit 64", 64, "wrong usage"),
        ("exit 77", 77, "permission denied"),
        ("no-such-command-anywhere", 127, "not found"),
        ("exit 1", 1, "--retry-on 1"),
        ("echo 'No space left on device' >&2; exit 1", 1, "exit code 1"),
        ("kill -KILL $$", 137, "SIGKILL"),
        ("kill -SEGV $$", 139, "SIGSEGV"),
        ("kill -TERM $$", 143, "it was cancelled"),
    ] {
        let scratch = Scratch::new();
        let ran = scratch.exec(&[], &format!("echo x >> runs; {script}")).await.ends_with(code);
        assert_eq!(scratch.runs(), 1, "{script}");
        assert!(ran.err.lines().last().unwrap().starts_with("upright: sh failed after 1 attempt (") && ran.err.contains(word), "{ran:?}");
    }
}

#[tokio::test]
async fn the_caller_may_want_any_exit_code_tried_again() {
    let scratch = Scratch::new();
    let script = "echo x >> runs; [ $UPRIGHT_ATTEMPT = 3 ] || exit $UPRIGHT_ATTEMPT";
    scratch.exec(&["--retry-on", "1,2"], script).await.ends_with(0);
    assert_eq!(scratch.runs(), 3);
}

#[tokio::test]
async fn standard_error_decides_where_the_code_says_nothing_even_after_much_of_it() {
    let scratch = Scratch::new();
    let script =
        "echo x >> runs; head -c 300000 /dev/zero | tr '\\0' 'a' >&2; echo ' Could not resolve host: x' >&2; [ $UPRIGHT_ATTEMPT = 2 ]";
    scratch.exec(&["--quiet"], script).await.ends_with(0);
    assert_eq!(scratch.runs(), 2);
}

#[tokio::test]
async fn standard_error_is_believed_over_an_exit_code_that_is_anybodys() {
    for code in [2, 64, 78, 126, 127] {
        let scratch = Scratch::new();
        let script =
            format!("[ $UPRIGHT_ATTEMPT = 2 ] || {{ echo 'psql: error: connection failed: Connection refused' >&2; exit {code}; }}");
        let ran = scratch.exec(&[], &script).await.ends_with(0);
        assert_eq!(ran.err.lines().last().unwrap(), format!("upright: sh failed (exit code {code}; connection); trying again"));
    }
}

#[tokio::test]
async fn a_text_on_usage_is_about_usage_whatever_it_mentions() {
    for code in [1, 2, 64] {
        let scratch = Scratch::new();
        let text = "Usage: x [OPTIONS]\n\n  --timeout SECONDS  how long until connection timeout\n";
        let ran = scratch.exec(&[], &format!("echo x >> runs; printf '{text}' >&2; exit {code}")).await.ends_with(code);
        assert_eq!(scratch.runs(), 1, "{ran:?}");
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_started_ends_as_a_shell_tells_it() {
    let scratch = Scratch::new();
    scratch.write("plain", "no program");
    for (program, code) in [("./missing", 127), ("./plain", 126), ("no-such-command-anywhere", 127), (".", 126)] {
        let ran = finish(scratch.command(&[], &[program]), "").await.ends_with(code);
        assert!(ran.err.contains("be started") && ran.err.lines().all(|line| line.starts_with("upright: ")), "{ran:?}");
    }
}

#[tokio::test]
async fn arguments_reach_the_command_as_they_are() {
    let scratch = Scratch::new();
    let words = ["sh", "-c", "printf '[%s]' \"$@\"", "x", "", "a b", "--retries", "-1", "*"];
    let expected = "[][a b][--retries][-1][*]";
    for flags in [&["--"][..], &[]] {
        assert_eq!(finish(scratch.command(flags, &words), "").await.ends_with(0).out, expected);
    }
}

#[tokio::test]
async fn bytes_pass_through_untouched_both_ways() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    scratch.write("bytes", &bytes);
    let command = scratch.command(&["--"], &["sh", "-c", "cat bytes; cat bytes >&2"]);
    let ended = output(command, b"").await;
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stdout == bytes && ended.stderr == bytes);
    let ended = output(scratch.command(&["--"], &["cat"]), &bytes).await;
    assert!(ended.stdout == bytes && ended.stderr.is_empty());
}

#[tokio::test]
async fn output_comes_at_once_and_not_at_the_end() {
    let scratch = Scratch::new();
    let mut child = scratch.sh(&[], "echo out; echo err >&2; read line; echo $line").spawn().unwrap();
    expect(child.stdout.as_mut().unwrap(), b"out\n").await;
    expect(child.stderr.as_mut().unwrap(), b"err\n").await;
    give(&mut child, "now\n").await;
    assert_eq!(end(child).await.ends_with(0).out, "now\n");
}

#[tokio::test]
async fn every_attempt_reads_the_same_standard_input() {
    let script = format!("head -c 3; echo; [ $UPRIGHT_ATTEMPT = 1 ] || cat; {}", until(3));
    let expected = "abc\nabc\ndef\nabc\ndef\n";
    let scratch = Scratch::new();
    assert_eq!(finish(scratch.sh(&[], &script), "abcdef\n").await.ends_with(0).out, expected);
    let scratch = Scratch::new();
    scratch.write("input", "0123abcdef\n");
    let mut file = std::fs::File::open(scratch.path("input")).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(4)).unwrap();
    let mut command = scratch.sh(&[], &script);
    command.stdin(file);
    assert_eq!(end(command.spawn().unwrap()).await.ends_with(0).out, expected);
}

#[tokio::test]
async fn a_command_that_reads_nothing_does_not_wait_for_a_pipe_that_stays_open() {
    let scratch = Scratch::new();
    let mut child = scratch.sh(&[], &until(2)).spawn().unwrap();
    let stdin = child.stdin.take();
    end(child).await.ends_with(0);
    drop(stdin);
}

#[tokio::test]
async fn input_that_is_too_long_to_be_kept_is_handed_on_and_ends_the_attempts() {
    let long = vec![b'x'; (16 << 20) + 1];
    let scratch = Scratch::new();
    let ended = output(scratch.sh(&[], "echo x >> runs; wc -c; exit 75"), &long).await;
    assert_eq!((ended.status.code(), String::from_utf8(ended.stdout).unwrap().trim()), (Some(75), "16777217"));
    assert_eq!(scratch.runs(), 1);
    let message = String::from_utf8(ended.stderr).unwrap();
    assert!(message.starts_with("upright: sh failed after 1 attempt") && message.contains("longer than 16 MiB"), "{message}");
    // The largest input that is kept.
    let scratch = Scratch::new();
    let ended = output(scratch.sh(&["--quiet"], &format!("wc -c; {}", until(2))), &long[1..]).await;
    assert_eq!(ended.status.code(), Some(0));
    let counted = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(counted.split_whitespace().collect::<Vec<_>>(), ["16777216", "16777216"]);
}

#[tokio::test]
async fn exec_quiet_prints_only_one_line_at_the_end() {
    let scratch = Scratch::new();
    assert_eq!(scratch.exec(&["--quiet"], "[ $UPRIGHT_ATTEMPT = 2 ] || exit 75").await.ends_with(0).err, "");
    assert_eq!(scratch.exec(&["--quiet", "--retries", "1"], "exit 75").await.ends_with(75).err.lines().count(), 1);
}

#[tokio::test]
async fn exec_neither_waits_for_nor_ends_a_background_process_of_the_command() {
    let scratch = Scratch::new();
    // The background process keeps standard error open until its own input ends.
    let script = "exec 3<&0; cat <&3 >/dev/null & echo $! > left; echo said >&2; exit 75";
    let mut child = scratch.sh(&["--retries", "0"], script).spawn().unwrap();
    let stdin = child.stdin.take();
    let ran = end(child).await.ends_with(75);
    assert!(ran.err.starts_with("said\nupright: sh failed"), "{ran:?}");
    assert!(is_alive(scratch.number("left")));
    drop(stdin);
}

#[tokio::test]
async fn a_reader_that_left_ends_the_attempts() {
    let scratch = Scratch::new();
    let mut child = scratch.sh(&[], "echo x >> runs; exec yes").stdin(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = end(child).await.ends_with(141);
    assert_eq!(scratch.runs(), 1, "{ran:?}");
}

#[tokio::test]
async fn the_exec_fallback_sets_the_exit_code_and_learns_the_reason() {
    let scratch = Scratch::new();
    let fallback = "cat; echo $UPRIGHT_EXIT_CODE $UPRIGHT_REASON; echo x >> fallbacks; exit 9";
    let flags = ["--retries", "1", "--fallback", fallback];
    let ran = finish(scratch.sh(&flags, "cat >/dev/null; exit 75"), "input\n").await.ends_with(9);
    assert_eq!(ran.out, "input\n75 attempts_exhausted\n");
    assert!(ran.err.lines().last().unwrap().ends_with("running the fallback"), "{ran:?}");
    let ran = scratch.exec(&["--quiet", "--fallback", "echo $UPRIGHT_REASON"], "exit 64").await.ends_with(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("not_retryable\n", ""));
    scratch.exec(&flags, "true").await.ends_with(0);
    assert_eq!(scratch.lines("fallbacks"), 1);
}

#[tokio::test]
async fn a_signal_that_ends_the_fallback_is_its_exit_code() {
    let scratch = Scratch::new();
    scratch.exec(&["--fallback", "kill -USR1 $$"], "exit 1").await.ends_with(128 + 10);
}

#[tokio::test]
async fn a_signal_that_kills_the_command_does_not_kill_exec() {
    let scratch = Scratch::new();
    let ended = output(scratch.sh(&[], "kill -ABRT $$"), b"").await;
    assert_eq!((ended.status.code(), ended.status.signal()), (Some(134), None));
}
