//! Derives the facts of a failure from its exit code or start error, and from standard error.

use super::codes::{self, Says};
use super::words;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use upright::PolicySlot;
use upright::types::FaultKind::{InvalidInput, Other};
use upright::types::{ErrorCategory, Fault, FaultKind};

const UNAVAILABLE: u16 = 503;

pub(super) struct Meaning {
    pub(super) fault: Fault,
    /// Standard error contradicts the exit code, whose description is then left out.
    pub(super) contradicted: bool,
}

pub(super) fn meaning(program: &OsStr, says: Says, text: &str, policy: &PolicySlot) -> Meaning {
    let text = &words::without_names(text);
    let by_code = match says {
        Says::Plainly(kind) | Says::Perhaps(kind) => Fault::new(kind, text),
        Says::Busy => unavailable(text),
        Says::Nothing => Fault::new(Other, text),
    };
    let by_text = match says {
        Says::Plainly(_) => None,
        Says::Perhaps(kind) if words::tell_of(kind, text) => None,
        _ => by_text(program, text, policy),
    };
    match by_text {
        None => Meaning { fault: by_code, contradicted: false },
        Some(fault) => Meaning { contradicted: policy.classify(&fault).category != policy.classify(&by_code).category, fault },
    }
}

pub(super) fn start_failed(error: &io::Error) -> Fault {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    let message = error.to_string();
    // From a socket EAGAIN is a timeout; here the process limit is reached.
    if is(Errno::TXTBSY) || is(Errno::AGAIN) {
        return Fault::new(FaultKind::InUse, message);
    }
    Fault { message, ..upright::fault::fault_of(error) }
}

fn unavailable(text: &str) -> Fault {
    Fault { status: Some(UNAVAILABLE), ..Fault::new(Other, text) }
}

fn by_text(program: &OsStr, text: &str, policy: &PolicySlot) -> Option<Fault> {
    if words::tell_of_wrong_usage(text) {
        return Some(Fault::new(InvalidInput, text));
    }
    let fault = Fault::new(Other, text);
    if policy.classify(&fault).category != ErrorCategory::Unknown {
        return Some(fault);
    }
    let phrases = codes::phrases_of(program);
    let lower = text.to_ascii_lowercase();
    let own = phrases.iter().find(|(phrase, _)| lower.contains(phrase)).map(|(_, kind)| Fault { kind: *kind, ..fault });
    own.or_else(|| words::tell_of_a_start_too_early(text).then(|| Fault::new(FaultKind::InUse, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::exec::codes::of_code;
    use upright::types::ErrorCategory::*;

    fn heard(program: &str, code: u8, text: &str) -> (ErrorCategory, bool) {
        let policy = PolicySlot::native();
        let (program, (says, _)) = (OsStr::new(program), of_code(OsStr::new(program), code));
        let classification = policy.classify(&meaning(program, says, text, &policy).fault);
        (classification.category, classification.retryable)
    }

    #[test]
    fn exit_codes_mean_what_their_sources_say() {
        for (program, codes, expected) in [
            ("x", &[2, 64, 65, 66, 77, 78, 126, 127, 139, 134][..], (Permanent, false)),
            ("x", &[69, 71, 75], (Transient, true)),
            ("x", &[124, 142], (ErrorCategory::Timeout, true)),
            ("x", &[129, 130, 131, 141, 143], (Permanent, false)),
            ("x", &[137], (Resource, false)),
            ("x", &[1, 3, 74, 125, 128, 200, 255], (Unknown, false)),
            ("curl", &[5, 6, 7, 18, 52, 55, 56], (Connection, true)),
            ("/usr/bin/curl", &[28], (ErrorCategory::Timeout, true)),
            ("curl", &[1, 2, 3, 9, 47, 67, 78], (Permanent, false)),
            ("curl", &[35, 60], (Connection, false)),
            // curl gives these numbers other meanings.
            ("curl", &[22, 64, 65, 69, 71, 75], (Unknown, false)),
            ("curl", &[127], (Permanent, false)),
            ("curl", &[137], (Resource, false)),
            ("wget", &[4], (Connection, true)),
            ("rsync", &[10, 12, 255], (Connection, true)),
            ("rsync", &[30, 35], (ErrorCategory::Timeout, true)),
            ("rsync", &[1, 25], (Permanent, false)),
            ("ssh", &[255], (Connection, true)),
            ("ssh", &[75], (Transient, true)),
        ] {
            for code in codes {
                assert_eq!(heard(program, *code, ""), expected, "{program} {code}");
            }
        }
    }

    #[test]
    fn standard_error_decides_where_the_code_says_nothing() {
        for (program, code, text, expected) in [
            ("x", 1, "dial tcp 127.0.0.1:1: Connection refused", (Connection, true)),
            ("x", 1, "HTTP 503 Service Unavailable", (Transient, true)),
            ("x", 1, "Could not resolve host: x", (Connection, true)),
            ("x", 1, "cp: error writing 'x': No space left on device", (Resource, false)),
            ("x", 1, "open: Permission denied", (Permanent, false)),
            ("x", 75, "mail: No space left on device", (Resource, false)),
            ("x", 134, "std::bad_alloc", (Resource, false)),
            ("curl", 22, "curl: (22) The requested URL returned error: 503", (Transient, true)),
            ("curl", 22, "curl: (22) The requested URL returned error: 404", (Permanent, false)),
            ("curl", 35, "curl: (35) Recv failure: Connection reset by peer", (Connection, true)),
            ("wget", 8, "2030-01-01 00:00:00 ERROR 503: Service Unavailable.", (Transient, true)),
            ("wget", 4, "wget: unable to resolve host address 'x'", (Connection, true)),
            ("ssh", 255, "x@y: Permission denied (publickey).", (Permanent, false)),
            ("ssh", 255, "Host key verification failed.", (Connection, false)),
            ("ssh", 255, "kex_exchange_identification: Connection closed by remote host", (Connection, true)),
            // Codes that many programs share.
            ("psql", 2, "psql: error: connection to server at \"127.0.0.1\", port 1 failed: Connection refused", (Connection, true)),
            ("make", 2, "curl: (6) Could not resolve host: x\nmake: *** [Makefile:2: all] Error 6", (Connection, true)),
            ("grep", 2, "grep: x: Permission denied", (Permanent, false)),
            ("git", 128, "fatal: unable to access 'http://x/': Failed to connect to x port 80 after 0 ms", (Connection, true)),
            ("x", 65, "x: Connection reset by peer", (Connection, true)),
            ("x", 78, "x: No space left on device", (Resource, false)),
            ("timeout", 124, "x: No space left on device", (Resource, false)),
            ("sh", 126, "sh: 1: ./busy: Text file busy", (Transient, true)),
            ("bash", 126, "bash: line 1: ./busy: Text file busy", (Transient, true)),
            ("sh", 2, "sh: 1: Cannot fork", (Transient, true)),
            ("bash", 254, "bash: fork: retry: Resource temporarily unavailable", (Transient, true)),
        ] {
            assert_eq!(heard(program, code, text), expected, "{program} {code} {text}");
        }
    }

    #[test]
    fn words_quoted_in_a_usage_error_do_not_change_its_classification() {
        for (program, code, text) in [
            ("x", 2, "usage: x [--timeout SECONDS] [--retry-on 'connection refused']"),
            ("x", 64, "x: unrecognized option '--timeout'"),
            ("x", 1, "Error: unknown flag: --timeout"),
            ("ssh", 255, "unknown option -- z\nusage: ssh [-46AaCf]"),
            ("ls", 2, "ls: cannot access 'timeout.log': No such file or directory"),
            ("grep", 2, "grep: connection-refused.log: No such file or directory"),
            ("sh", 127, "sh: 1: timeout: not found"),
            ("bash", 127, "bash: line 1: timeout: command not found"),
            ("sh", 126, "sh: 1: ./timeout: Exec format error"),
            ("sh", 126, "sh: 1: ./connection: Permission denied"),
        ] {
            assert_eq!(heard(program, code, text), (Permanent, false), "{program} {code} {text}");
        }
    }

    #[test]
    fn an_exit_code_decides_unless_standard_error_contradicts_it() {
        let policy = PolicySlot::native();
        let contradicted = |code, text: &str| {
            let program = OsStr::new("x");
            meaning(program, of_code(program, code).0, text, &policy).contradicted
        };
        for (code, text, expected) in [
            (2, "Connection refused", true),
            (126, "Text file busy", true),
            (2, "usage: x", false),
            (2, "no words that anybody knows", false),
            (77, "Permission denied", false),
            (75, "server busy", false),
            (1, "Connection refused", false),
        ] {
            assert_eq!(contradicted(code, text), expected, "{code} {text}");
        }
    }

    #[test]
    fn a_busy_program_file_is_a_transient_start_failure_and_a_missing_one_permanent() {
        let policy = PolicySlot::native();
        for (errno, expected) in [
            (Errno::TXTBSY, (Transient, true)),
            (Errno::AGAIN, (Transient, true)),
            (Errno::ACCESS, (Permanent, false)),
            (Errno::NOENT, (Permanent, false)),
            (Errno::NOMEM, (Resource, false)),
        ] {
            let fault = start_failed(&errno.into());
            let classification = policy.classify(&fault);
            assert_eq!((classification.category, classification.retryable), expected, "{fault:?}");
        }
    }

    #[test]
    fn words_do_not_overrule_a_code_that_speaks_plainly() {
        assert_eq!(heard("curl", 7, "usage: curl"), (Connection, true));
        assert_eq!(heard("curl", 28, "Permission denied"), (ErrorCategory::Timeout, true));
    }
}
