//! Processes started by an attempt of `upright exec` end before the next one, and survive success. A unique duration of
//! sleep identifies them.

use crate::common::command;
use crate::places::{BOTH, Place, ends, exec, start, under_a_limit};
use crate::scratch::Scratch;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::process::Command;
use upright_test_kit::command::{end, give};
use upright_test_kit::wait::until;

/// Seconds; its processes are killed on drop.
struct Length(String);

impl Length {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(5000);
        Self(format!("{}.{}", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id()))
    }

    fn sleepers(&self) -> Vec<i32> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let has_it = |number: &i32| {
            let arguments = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|argument| argument == self.0.as_bytes())
        };
        numbers.filter(has_it).collect()
    }
}

impl Drop for Length {
    fn drop(&mut self) {
        for number in self.sleepers() {
            let _ = std::process::Command::new("kill").args(["-KILL", &number.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// Starts processes that leave the group, the session or their parent, and a stopped one. They ignore SIGHUP, and keep
/// no terminal or pipe open. Each writes its number to `left`.
fn scatter(scratch: &Scratch, length: &Length) -> String {
    scratch.write("sleeper", "echo $$ >> left\nexec sleep $1\n");
    let sleeper = format!("sh sleeper {}", length.0);
    format!(
        "trap '' HUP
        exec < /dev/null > /dev/null
        {sleeper} &
        setsid {sleeper} &
        setsid -f {sleeper}
        timeout 9000 {sleeper} &
        nohup setsid {sleeper} > /dev/null 2>&1 &
        ( ( {sleeper} & ) & )
        sh -c '{sleeper} & exec setsid -f {sleeper}'
        sh -c 'kill -STOP $$; exec sleep $0' {} &
        while [ $(cat left | wc -l) -lt 8 ]; do sleep 0.01; done
        ",
        length.0
    )
}

/// Writes to `seen` the numbers of `left` that are alive.
const LOOK_FOR_THEM: &str = "for number in $(cat left); do ! kill -0 $number 2>/dev/null || echo $number >> seen; done\n";

#[tokio::test]
async fn nothing_is_left_of_an_attempt_that_took_too_long() {
    for place in BOTH {
        for (flag, code) in [("--attempt-timeout", 124), ("--deadline", 4)] {
            // With and without SIGTERM.
            for deaf in ["", "trap '' TERM\n"] {
                let length = Length::new();
                let script = |scratch: &Scratch| format!("{deaf}{}echo > ready; sleep {}", scatter(scratch, &length), length.0);
                let (_scratch, message) = under_a_limit(place, flag, &["--retries", "0"], script, code).await;
                assert_eq!(length.sleepers(), [0; 0], "{place:?} {flag} {deaf} {message}");
            }
        }
    }
}

#[tokio::test]
async fn the_next_attempt_does_not_meet_what_the_failed_one_has_started() {
    for place in BOTH {
        let (scratch, length) = (Scratch::new(), Length::new());
        let script = format!("if [ $UPRIGHT_ATTEMPT = 2 ]; then {LOOK_FOR_THEM} exit 0; fi\n{} exit 75", scatter(&scratch, &length));
        ends(exec(&scratch, place, "", &[], &script).spawn().unwrap(), 0).await;
        assert_eq!((scratch.lines("left"), scratch.lines("seen"), length.sleepers()), (8, 0, vec![]), "{place:?}");
    }
}

#[tokio::test]
async fn the_fallback_does_not_meet_what_the_command_has_started() {
    let (scratch, length) = (Scratch::new(), Length::new());
    let script = format!("{} exit 75", scatter(&scratch, &length));
    ends(exec(&scratch, Place::WithoutTerminal, "", &["--retries", "0", "--fallback", LOOK_FOR_THEM], &script).spawn().unwrap(), 0).await;
    assert_eq!((scratch.lines("left"), scratch.lines("seen"), length.sleepers()), (8, 0, vec![]));
}

#[tokio::test]
async fn a_thousand_processes_that_were_forgotten_are_ended() {
    let (scratch, length) = (Scratch::new(), Length::new());
    let script = format!(
        "[ $UPRIGHT_ATTEMPT = 1 ] || exit 0
        i=0; while [ $i -lt 1000 ]; do sleep {} & i=$((i+1)); done; exit 75",
        length.0
    );
    ends(exec(&scratch, Place::WithoutTerminal, "", &[], &script).spawn().unwrap(), 0).await;
    assert_eq!(length.sleepers(), [0; 0]);
}

#[tokio::test]
async fn a_process_that_is_another_each_moment_is_ended() {
    // Ignores SIGTERM; ends by itself after 50 s.
    let script = "
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 50
open('ready', 'w').write('x\\n')
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
";
    for place in BOTH {
        let (scratch, length) = (Scratch::new(), Length::new());
        scratch.write("hop.py", script);
        let script = format!(
            "[ $UPRIGHT_ATTEMPT = 1 ] || exit 0
            trap '' HUP
            python3 hop.py {} < /dev/null > /dev/null & while [ ! -e ready ]; do sleep 0.01; done; exit 75",
            length.0
        );
        let ran = ends(exec(&scratch, place, "", &["--quiet"], &script).spawn().unwrap(), 0).await;
        assert_eq!((length.sleepers(), ran.out + &ran.err), (vec![], String::new()), "{place:?}");
    }
}

#[tokio::test]
async fn what_a_successful_attempt_leaves_running_lives_on_and_may_go_on_speaking() {
    for place in BOTH {
        for flags in [&[][..], &["--attempt-timeout", "500", "--deadline", "500"]] {
            let (scratch, length) = (Scratch::new(), Length::new());
            // Inherits the attempt's standard error.
            let speaker = "trap '' HUP; echo > speaks; while [ ! -e go ]; do sleep 0.01; done; echo late >&2; echo > spoke; exec sleep $0";
            scratch.write("speaker", speaker);
            let script = format!(
                "[ $UPRIGHT_ATTEMPT = 2 ] || exit 75
                {} sh -c \"$(cat speaker)\" {} & while [ ! -e speaks ]; do sleep 0.01; done",
                scatter(&scratch, &length),
                length.0
            );
            ends(exec(&scratch, place, "", flags, &script).spawn().unwrap(), 0).await;
            scratch.write("go", "");
            scratch.wait_for_lines("spoke", 1).await;
            // `timeout` and the stopped process carry it too.
            until("all are there", async || length.sleepers().len() == 8 + 2 + 1).await;
        }
    }
}

#[tokio::test]
async fn the_listener_on_standard_error_ends_with_the_last_writer() {
    let scratch = Scratch::new();
    let mut child = scratch.place(command(None, &["__listen"])).spawn().unwrap();
    give(&mut child, "words").await;
    assert_eq!(end(child).await.ends_with(0).out, "");
}

#[tokio::test]
async fn orphans_that_have_ended_are_buried_while_the_command_runs() {
    let scratch = Scratch::new();
    let script = "
        for i in 1 2 3 4 5 6 7 8 9; do ( sh -c 'echo $$ >> orphans' & ); done
        while [ $(cat orphans | wc -l) -lt 9 ]; do sleep 0.01; done
        echo > ready; exec sleep 600";
    let (mut child, _) = start(&scratch, Place::WithoutTerminal, &[], script).await;
    let numbers = fs::read_to_string(scratch.path("orphans")).unwrap();
    until("all are buried", async || numbers.lines().all(|number| !scratch.path(&format!("/proc/{number}")).exists())).await;
    child.kill().await.unwrap();
}

#[tokio::test]
async fn exec_does_not_end_processes_older_than_itself() {
    let (scratch, length) = (Scratch::new(), Length::new());
    let own = scratch.sh(&[], "[ $UPRIGHT_ATTEMPT = 2 ] || exit 75");
    let mut command = scratch.place(Command::new("sh"));
    // A child of the shell that becomes this program, and a later orphan.
    let before =
        "sleep $0 & sh -c 'while [ ! -e go ]; do sleep 0.01; done; setsid -f sleep $0; echo > went; exec sleep $0' $0 & exec \"$@\"";
    command.args(["-c", before, &length.0]).arg(own.as_std().get_program()).args(["exec", "--base-delay", "0", "--", "sh", "-c"]);
    command.arg(": > go; while [ ! -e went ]; do sleep 0.01; done; [ $UPRIGHT_ATTEMPT = 3 ] || exit 75");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().await.unwrap().success());
    assert_eq!(length.sleepers().len(), 3);
}

#[tokio::test]
async fn a_process_that_exec_may_not_end_is_reported_once_and_waited_for_once() {
    let (scratch, length) = (Scratch::new(), Length::new());
    let own = scratch.sh(&[], "");
    // It must change its user first.
    let script = format!(
        "[ $UPRIGHT_ATTEMPT = 3 ] && exit 0
        setpriv --reuid 65534 --clear-groups sleep {} > /dev/null &
        until [ $(cat /proc/$!/comm) = sleep ]; do sleep 0.01; done; exit 75",
        length.0
    );
    // Only root can start it; without CAP_KILL it cannot be ended.
    let mut command = scratch.place(Command::new("setpriv"));
    command.args(["--bounding-set", "-kill"]).arg(own.as_std().get_program());
    command.args(["exec", "--base-delay", "0", "--quiet", "--", "sh", "-c", &script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if !may_change_users().await {
        eprintln!("skipped: not root, or without setpriv");
        return;
    }
    let ran = end(command.spawn().unwrap()).await.ends_with(0);
    let left = length.sleepers();
    assert_eq!((left.len(), ran.err.lines().count()), (2, 2), "{ran:?}");
    for number in left {
        let named = format!("upright: processes of the attempt could not be ended and keep running: sleep ({number})");
        assert!(ran.err.lines().any(|line| line == named), "{named} {ran:?}");
    }
}

async fn may_change_users() -> bool {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-kill", "setpriv", "--reuid", "65534", "--clear-groups", "true"]).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_program_that_is_still_being_written_is_tried_again() {
    for words in [&["./busy"][..], &["sh", "-c", "./busy"]] {
        let scratch = Scratch::new();
        fs::copy("/bin/true", scratch.path("busy")).unwrap();
        let writer = fs::File::options().append(true).open(scratch.path("busy")).unwrap();
        let refused = std::process::Command::new(scratch.path("busy")).status();
        if refused.is_ok() {
            eprintln!("skipped: this system starts what is being written");
            return;
        }
        let flags = ["--retries", "1000", "--base-delay", "0.1", "--max-delay", "0.1", "--"];
        let mut child = scratch.command(&flags, words).stdin(Stdio::null()).spawn().unwrap();
        let mut message = String::new();
        let mut stderr = child.stderr.take().unwrap();
        while !message.contains("trying again") {
            let mut some = [0; 100];
            let count = tokio::io::AsyncReadExt::read(&mut stderr, &mut some).await.unwrap();
            assert!(count > 0, "{message}");
            message.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        drop(writer);
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stderr, &mut rest).await.unwrap();
        end(child).await.ends_with(0);
        assert!(message.contains("Text file busy") && message.contains("failed (exit code 126; transient)"), "{message}");
    }
}
