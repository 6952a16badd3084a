//! `upright exec` under time limits and signals, with and without a terminal.

use crate::children::{id, is_gone, output};
use crate::places::{BOTH, Place, ends, exec, start, under_a_limit};
use crate::scratch::Scratch;
use tokio::io::AsyncReadExt;
use upright_test_kit::command::{end, send};

/// A command and its child that ignore SIGTERM and never end.
const STUBBORN: &str = "
trap '' TERM
echo $$ > child
sh -c 'trap \"\" TERM; echo $$ > grandchild; echo > ready; while :; do sleep 600; done' &
while :; do wait; done
";

#[tokio::test]
async fn the_deadline_ends_a_command_that_hangs_and_all_that_it_has_started() {
    for place in BOTH {
        let (scratch, message) = under_a_limit(place, "--deadline", &[], |_| STUBBORN.into(), 4).await;
        assert!(message.contains("upright: sh failed after 1 attempt (it took longer than"), "{message}");
        assert!(message.contains("allow more time with --deadline"), "{message}");
        is_gone(scratch.number("child")).await;
        is_gone(scratch.number("grandchild")).await;
    }
}

#[tokio::test]
async fn a_command_that_handles_sigterm_at_its_deadline_is_not_killed() {
    for place in BOTH {
        let script = "trap 'echo >> heard; exit 5' TERM; sleep 600 & echo $! > grandchild; echo > ready; wait";
        let (scratch, _) = under_a_limit(place, "--deadline", &[], |_| script.into(), 4).await;
        assert_eq!(scratch.lines("heard"), 1);
        is_gone(scratch.number("grandchild")).await;
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_ended_and_made_again() {
    let script = "echo > ready; [ $UPRIGHT_ATTEMPT = 1 ] || exit 0; sleep 600";
    let message = async {
        for limit in ["0.2", "1", "5", "25"] {
            let scratch = Scratch::new();
            let ran = output(exec(&scratch, Place::WithoutTerminal, "", &["--attempt-timeout", limit], script), b"").await;
            if ran.status.code() == Some(0) {
                return String::from_utf8(ran.stderr).unwrap();
            }
        }
        panic!("no second attempt came to its end within 25 s");
    };
    assert!(message.await.starts_with("upright: sh failed (it took longer than"));
}

#[tokio::test]
async fn the_exit_code_for_the_last_attempts_time_is_that_of_timeout() {
    let flags = ["--retries", "1"];
    let (_scratch, message) =
        under_a_limit(Place::WithoutTerminal, "--attempt-timeout", &flags, |_| "echo > ready; exec sleep 600".into(), 124).await;
    assert!(message.contains("failed after 2 attempts") && message.contains("no retries are left"), "{message}");
}

#[tokio::test]
async fn a_wait_that_the_deadline_does_not_leave_is_not_begun() {
    let scratch = Scratch::new();
    let flags = ["--base-delay", "500", "--max-delay", "500", "--deadline", "100"];
    let ran = output(exec(&scratch, Place::WithoutTerminal, "", &flags, "exit 75"), b"").await;
    assert_eq!(ran.status.code(), Some(4));
}

#[tokio::test]
async fn a_signal_reaches_the_command_and_ends_the_attempts() {
    for place in BOTH {
        for (signal, code) in [("HUP", 129), ("INT", 130), ("QUIT", 131), ("TERM", 143)] {
            let scratch = Scratch::new();
            let (child, number) =
                start(&scratch, place, &["--retry-on", "129,130,131,143"], "echo x >> runs; echo > ready; exec sleep 600").await;
            send(signal, number).await;
            let ran = ends(child, code).await;
            assert_eq!((scratch.runs(), ran.out.contains("upright:"), ran.err.as_str()), (1, false, ""), "{place:?} {signal}");
        }
    }
}

#[tokio::test]
async fn a_command_that_handles_sigterm_with_its_own_exit_code_is_not_run_again() {
    let scratch = Scratch::new();
    let script = "trap 'echo >> heard; exit 75' TERM; echo > ready; while :; do read line; done";
    let (child, number) = start(&scratch, Place::WithoutTerminal, &["--fallback", "echo never"], script).await;
    send("TERM", number).await;
    assert_eq!(ends(child, 75).await.out, "");
    assert_eq!(scratch.lines("heard"), 1);
}

#[tokio::test]
async fn a_second_ctrl_c_kills_the_exec_command() {
    for place in BOTH {
        let scratch = Scratch::new();
        let script = "trap 'echo >> heard' INT; echo > ready; while :; do sleep 600 & echo $! > grandchild; wait; done";
        let (child, number) = start(&scratch, place, &[], script).await;
        send("INT", number).await;
        scratch.wait_for_lines("heard", 1).await;
        send("INT", number).await;
        ends(child, 137).await;
        is_gone(scratch.number("grandchild")).await;
    }
}

#[tokio::test]
async fn a_signal_between_attempts_ends_the_wait() {
    let scratch = Scratch::new();
    let mut child = exec(&scratch, Place::WithoutTerminal, "", &["--base-delay", "600", "--max-delay", "600"], "exit 75").spawn().unwrap();
    let mut message = vec![0; 1];
    child.stderr.as_mut().unwrap().read_exact(&mut message).await.unwrap();
    send("INT", id(&child)).await;
    ends(child, 130).await;
}

#[tokio::test]
async fn a_signal_that_was_ignored_from_the_beginning_stays_ignored() {
    let scratch = Scratch::new();
    let script = "echo > ready; exec sleep 600";
    let child = exec(&scratch, Place::WithoutTerminal, "SIGINT SIGHUP", &[], script).spawn().unwrap();
    scratch.wait_for_lines("ready", 1).await;
    for signal in ["INT", "HUP", "TERM"] {
        send(signal, id(&child)).await;
    }
    ends(child, 143).await;
}

#[tokio::test]
async fn a_command_on_a_terminal_can_read_it() {
    let scratch = Scratch::new();
    let (mut child, _) = start(&scratch, Place::OnTerminal, &[], "echo > ready; read word < /dev/tty; echo got $word; exit 7").await;
    let mut keys = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut keys, b"hello\n").await.unwrap();
    let ran = end(child).await.ends_with(7);
    assert!(ran.out.contains("got hello"), "{ran:?}");
}

#[tokio::test]
async fn ctrl_c_on_a_terminal_reaches_the_command_once() {
    let scratch = Scratch::new();
    let script = "
import os, signal, time
count = 0
def heard(*_):
    global count
    count += 1
    open('heard', 'a').write('x\\n')
signal.signal(signal.SIGINT, heard)
def end(*_):
    os._exit(count)
signal.signal(signal.SIGTERM, end)
open('ready', 'w').write('x\\n')
while True:
    signal.pause()
";
    scratch.write("count.py", script);
    let (mut child, number) = start(&scratch, Place::OnTerminal, &[], "exec python3 count.py").await;
    let mut keys = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut keys, b"\x03").await.unwrap();
    scratch.wait_for_lines("heard", 1).await;
    send("TERM", number).await;
    let ran = end(child).await.ends_with(1);
    assert_eq!(scratch.lines("heard"), 1, "{ran:?}");
}

#[tokio::test]
async fn a_command_does_not_outlive_this_program() {
    for (place, code) in [(Place::WithoutTerminal, None), (Place::OnTerminal, Some(98))] {
        let scratch = Scratch::new();
        let (child, number) = start(&scratch, place, &[], "echo $$ > child; echo > ready; exec sleep 600").await;
        send("KILL", number).await;
        is_gone(scratch.number("child")).await;
        assert_eq!(end(child).await.code, code);
    }
}
