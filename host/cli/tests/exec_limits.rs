//! `upright exec` under limits of time and signals, with a terminal and without.
//!
//! Whether there is a terminal depends on where tests are run, so both are made: a session without one, and a pseudo-terminal. Python does that.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::scratch::{Scratch, id, is_gone, output, send, until};
use common::{Ran, end};
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// Starts a program with the signals as a shell leaves them, in a session without a terminal.
const WITHOUT_TERMINAL: &str = "
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
for name in sys.argv[1].split():
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.setsid()
os.execvp(sys.argv[2], sys.argv[2:])
";

/// Starts a program on a terminal of its own, whose keys are our standard input, and whose output is our standard output. Ends as it does, once the
/// processes in the files `child` and `grandchild` have ended too: the end of a terminal would end them.
const ON_TERMINAL: &str = "
import os, pty, select, signal, sys, time
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
for number in ENDING:
    signal.signal(number, signal.SIG_DFL)

def is_alive(name):
    try:
        with open(name) as file, open('/proc/%d/stat' % int(file.read())) as stat:
            return stat.read().rpartition(')')[2].split()[0] != 'Z'
    except (OSError, ValueError):
        return False

def lead():
    program = os.fork()
    if program == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    with open('program.new', 'w') as file:
        file.write('%d\\n' % program)
    os.rename('program.new', 'program')
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    patience = time.monotonic() + 30
    while is_alive('child') or is_alive('grandchild'):
        if time.monotonic() > patience:
            os._exit(99)
        time.sleep(0.01)
    os._exit(code if code >= 0 else 98)

child, terminal = pty.fork()
if child == 0:
    lead()
sources = [0, terminal]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b''
        if not data:
            sources.remove(source)
        elif source == 0:
            os.write(terminal, data)
        else:
            os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    WithoutTerminal,
    OnTerminal,
}

const BOTH: [Place; 2] = [Place::WithoutTerminal, Place::OnTerminal];

/// `upright exec` for a script, in a place; these signals are ignored from the beginning.
fn exec(scratch: &Scratch, place: Place, ignored: &str, flags: &[&str], script: &str) -> Command {
    let starter = if place == Place::OnTerminal { ON_TERMINAL } else { WITHOUT_TERMINAL };
    let own = scratch.sh(flags, script);
    let own = own.as_std();
    let mut command = scratch.place(Command::new("python3"));
    command.args(["-c", starter, ignored]).arg(own.get_program()).args(own.get_args());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The number of `upright` itself.
async fn program(scratch: &Scratch, place: Place, child: &Child) -> u32 {
    if place == Place::WithoutTerminal {
        return id(child);
    }
    until("the program has started", async || scratch.find_number("program").is_some()).await;
    scratch.number("program")
}

async fn start(scratch: &Scratch, place: Place, flags: &[&str], script: &str) -> (Child, u32) {
    let child = exec(scratch, place, "", flags, script).spawn().unwrap();
    scratch.wait_for_lines("ready", 1).await;
    let number = program(scratch, place, &child).await;
    (child, number)
}

/// Ends with the code, whose terminal may still be open.
async fn ends(mut child: Child, code: i32) -> Ran {
    // Its standard input is the terminal's keyboard; closing it would say nothing.
    let keys = child.stdin.take();
    let ran = end(child).await.ends_with(code);
    drop(keys);
    ran
}

/// Runs a script that hangs under a limit that is raised until the script came to its point, so that no slow machine makes a difference.
async fn under_a_limit(place: Place, flag: &str, flags: &[&str], script: &str, code: i32) -> (Scratch, String) {
    for limit in ["0.2", "1", "5", "25"] {
        let scratch = Scratch::new();
        let flags = [&[flag, limit], flags].concat();
        let child = exec(&scratch, place, "", &flags, script).spawn().unwrap();
        let ran = ends(child, code).await;
        if scratch.lines("ready") > 0 {
            return (scratch, ran.out + &ran.err);
        }
    }
    panic!("the script did not begin within 25 s");
}

/// A command and what it has started, of which neither ends by itself nor by SIGTERM.
const STUBBORN: &str = "
trap '' TERM
echo $$ > child
sh -c 'trap \"\" TERM; echo $$ > grandchild; echo > ready; while :; do sleep 600; done' &
while :; do wait; done
";

#[tokio::test]
async fn the_deadline_ends_a_command_that_hangs_and_all_that_it_has_started() {
    for place in BOTH {
        let (scratch, told) = under_a_limit(place, "--deadline", &[], STUBBORN, 4).await;
        assert!(told.contains("upright: sh failed after 1 attempt (it took longer than"), "{told}");
        assert!(told.contains("allow more time with --deadline"), "{told}");
        is_gone(scratch.number("child")).await;
        is_gone(scratch.number("grandchild")).await;
    }
}

#[tokio::test]
async fn sigterm_is_enough_for_those_who_hear_it() {
    for place in BOTH {
        let script = "trap 'echo >> heard; exit 5' TERM; sleep 600 & echo $! > grandchild; echo > ready; wait";
        let (scratch, _) = under_a_limit(place, "--deadline", &[], script, 4).await;
        assert_eq!(scratch.lines("heard"), 1);
        is_gone(scratch.number("grandchild")).await;
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_ended_and_made_again() {
    let script = "echo > ready; [ $UPRIGHT_ATTEMPT = 1 ] || exit 0; sleep 600";
    let told = async {
        // The second attempt must come to its end within the limit.
        for limit in ["0.2", "1", "5", "25"] {
            let scratch = Scratch::new();
            let ran = output(exec(&scratch, Place::WithoutTerminal, "", &["--attempt-timeout", limit], script), b"").await;
            if ran.status.code() == Some(0) {
                return String::from_utf8(ran.stderr).unwrap();
            }
        }
        panic!("no second attempt came to its end within 25 s");
    };
    assert!(told.await.starts_with("upright: sh failed (it took longer than"));
}

#[tokio::test]
async fn the_exit_code_for_the_last_attempts_time_is_that_of_timeout() {
    let flags = ["--retries", "1"];
    let (_scratch, told) = under_a_limit(Place::WithoutTerminal, "--attempt-timeout", &flags, "echo > ready; exec sleep 600", 124).await;
    assert!(told.contains("failed after 2 attempts") && told.contains("no retries are left"), "{told}");
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
async fn the_command_ends_in_its_own_way_and_is_not_run_again() {
    let scratch = Scratch::new();
    let script = "trap 'echo >> heard; exit 75' TERM; echo > ready; while :; do read line; done";
    let (child, number) = start(&scratch, Place::WithoutTerminal, &["--fallback", "echo never"], script).await;
    send("TERM", number).await;
    assert_eq!(ends(child, 75).await.out, "");
    assert_eq!(scratch.lines("heard"), 1);
}

#[tokio::test]
async fn a_second_ctrl_c_kills() {
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
    let mut told = vec![0; 1];
    child.stderr.as_mut().unwrap().read_exact(&mut told).await.unwrap();
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
