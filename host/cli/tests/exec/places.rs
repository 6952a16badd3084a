//! Runs `upright exec` with and without a terminal; Python creates the session or the pseudo-terminal.

use crate::children::id;
use crate::scratch::Scratch;
use tokio::process::{Child, Command};
use upright_test_kit::command::{Ran, connect, end};
use upright_test_kit::wait::until;

/// In a session without a terminal, with default signals.
const WITHOUT_TERMINAL: &str = "
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
for name in sys.argv[1].split():
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.setsid()
os.execvp(sys.argv[2], sys.argv[2:])
";

/// On a terminal connected to our standard input and output. Waits for the processes in the files `child` and
/// `grandchild`, which the terminal's end would kill.
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
pub(crate) enum Place {
    WithoutTerminal,
    OnTerminal,
}

pub(crate) const BOTH: [Place; 2] = [Place::WithoutTerminal, Place::OnTerminal];

/// The signals in `ignored` are ignored from the start.
pub(crate) fn exec(scratch: &Scratch, place: Place, ignored: &str, flags: &[&str], script: &str) -> Command {
    let starter = if place == Place::OnTerminal { ON_TERMINAL } else { WITHOUT_TERMINAL };
    let own = scratch.sh(flags, script);
    let own = own.as_std();
    let mut command = scratch.place(Command::new("python3"));
    command.args(["-c", starter, ignored]).arg(own.get_program()).args(own.get_args());
    connect(&mut command);
    command
}

pub(crate) async fn program(scratch: &Scratch, place: Place, child: &Child) -> u32 {
    if place == Place::WithoutTerminal {
        return id(child);
    }
    until("the program has started", async || scratch.find_number("program").is_some()).await;
    scratch.number("program")
}

/// Waits until the script is ready.
pub(crate) async fn start(scratch: &Scratch, place: Place, flags: &[&str], script: &str) -> (Child, u32) {
    let child = exec(scratch, place, "", flags, script).spawn().unwrap();
    scratch.wait_for_lines("ready", 1).await;
    let number = program(scratch, place, &child).await;
    (child, number)
}

/// Keeps the terminal open until the end.
pub(crate) async fn ends(mut child: Child, code: i32) -> Ran {
    // Closing its standard input would not close the terminal.
    let keys = child.stdin.take();
    let ran = end(child).await.ends_with(code);
    drop(keys);
    ran
}

/// The limit grows until the script got far enough, for slow machines.
pub(crate) async fn under_a_limit(
    place: Place,
    flag: &str,
    flags: &[&str],
    script: impl Fn(&Scratch) -> String,
    code: i32,
) -> (Scratch, String) {
    for limit in ["0.2", "1", "5", "25"] {
        let scratch = Scratch::new();
        let flags = [&[flag, limit], flags].concat();
        let child = exec(&scratch, place, "", &flags, &script(&scratch)).spawn().unwrap();
        let ran = ends(child, code).await;
        if scratch.lines("ready") > 0 {
            return (scratch, ran.out + &ran.err);
        }
    }
    panic!("the script did not begin within 25 s");
}
