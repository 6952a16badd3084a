//! Tables of what exit codes and signals mean.
//!
//! Sources: `sysexits.h` (64 to 78); POSIX for shells (126, 127, 128 plus a signal's number); GNU `timeout`'s manual
//! (124, 125); the manual pages of curl, wget, rsync and ssh (255).
//!
//! Standard error decides for 1, which most programs use for everything. It also overrides codes that many programs
//! share: psql exits with 2 when its server is down.

use std::ffi::OsStr;
use std::path::Path;
use upright::types::FaultKind::{self, *};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Certain, whatever standard error says.
    Plainly(FaultKind),
    /// Unless standard error says something known.
    Perhaps(FaultKind),
    /// Temporary, like an HTTP 503; known words are more exact.
    Busy,
    Nothing,
}
use Says::{Busy, Nothing, Perhaps, Plainly};

type Row = (u8, Says, &'static str);

struct Program {
    names: &'static [&'static str],
    /// Whether all codes are its own. ssh, for example, passes on any command's.
    own_codes: bool,
    /// Phrases that the classifier does not know; lower case.
    phrases: &'static [(&'static str, FaultKind)],
    codes: &'static [Row],
}

/// None is certain: any program may use these codes.
const GENERAL: &[Row] = &[
    (2, Perhaps(InvalidInput), "wrong usage"),
    // sysexits.h
    (64, Perhaps(InvalidInput), "wrong usage"),
    (65, Perhaps(InvalidInput), "wrong input"),
    (66, Perhaps(NotFound), "no such input"),
    (67, Perhaps(InvalidInput), "no such user"),
    (68, Perhaps(Dns), "no such host"),
    (69, Busy, "service unavailable"),
    (70, Perhaps(Panicked), "internal error"),
    (71, Busy, "operating system error"),
    (72, Perhaps(NotFound), "a system file is missing"),
    (73, Perhaps(PermissionDenied), "cannot create its output"),
    (74, Nothing, "input or output error"),
    (75, Busy, "temporary failure"),
    (76, Perhaps(InvalidAnswer), "protocol error"),
    (77, Perhaps(PermissionDenied), "permission denied"),
    (78, Perhaps(InvalidInput), "wrong configuration"),
    // timeout(1)
    (124, Perhaps(Timeout), "timed out"),
    (125, Nothing, "could not be run"),
    // Shells
    (126, Perhaps(PermissionDenied), "cannot be executed"),
    (127, Perhaps(NotFound), "not found"),
];

const PROGRAMS: &[Program] = &[
    Program {
        names: &["curl"],
        own_codes: true,
        phrases: &[],
        codes: &[
            (1, Perhaps(InvalidInput), "protocol not supported"),
            (2, Plainly(InvalidInput), "could not initialise"),
            (3, Plainly(InvalidInput), "malformed address"),
            (4, Plainly(InvalidInput), "feature not built in"),
            (5, Plainly(Dns), "proxy's name not resolved"),
            (6, Plainly(Dns), "name not resolved"),
            (7, Plainly(ConnectionRefused), "could not connect"),
            (8, Plainly(InvalidAnswer), "unexpected answer"),
            (9, Plainly(PermissionDenied), "access denied"),
            (16, Plainly(ConnectionReset), "HTTP/2 failed"),
            (18, Plainly(ConnectionReset), "partial transfer"),
            // Standard error holds the status.
            (22, Nothing, "HTTP error"),
            (23, Perhaps(PermissionDenied), "could not write"),
            (26, Plainly(NotFound), "could not read"),
            (27, Plainly(OutOfMemory), "out of memory"),
            (28, Plainly(Timeout), "timed out"),
            (33, Plainly(InvalidInput), "ranges not supported"),
            (35, Perhaps(Tls), "TLS handshake failed"),
            (36, Plainly(InvalidInput), "cannot resume at this offset"),
            (37, Plainly(NotFound), "file not readable"),
            (42, Plainly(Cancelled), "aborted"),
            (43, Plainly(InvalidInput), "internal error"),
            (45, Plainly(InvalidInput), "interface not usable"),
            (47, Perhaps(InvalidInput), "too many redirects"),
            (48, Plainly(InvalidInput), "unknown option"),
            (51, Plainly(Tls), "certificate not accepted"),
            (52, Plainly(ConnectionReset), "empty answer"),
            (53, Plainly(InvalidInput), "crypto engine missing"),
            (54, Plainly(InvalidInput), "crypto engine not usable"),
            (55, Plainly(ConnectionReset), "sending failed"),
            (56, Perhaps(ConnectionReset), "receiving failed"),
            (58, Plainly(InvalidInput), "client certificate not usable"),
            (59, Plainly(Tls), "cipher not usable"),
            (60, Plainly(Tls), "certificate not accepted"),
            (61, Plainly(InvalidAnswer), "unknown encoding"),
            (63, Plainly(InvalidInput), "file too large"),
            (66, Plainly(InvalidInput), "crypto engine failed"),
            (67, Perhaps(PermissionDenied), "login denied"),
            (77, Plainly(NotFound), "certificates not readable"),
            (78, Plainly(NotFound), "no such file"),
            (79, Perhaps(ConnectionReset), "SSH failed"),
            (83, Plainly(Tls), "issuer not accepted"),
            (90, Plainly(Tls), "pinned key does not match"),
            (91, Plainly(Tls), "certificate's status not valid"),
            (92, Plainly(ConnectionReset), "HTTP/2 stream failed"),
            (94, Plainly(PermissionDenied), "authentication failed"),
            (95, Plainly(ConnectionReset), "HTTP/3 failed"),
            (96, Plainly(ConnectionReset), "QUIC could not connect"),
            (97, Plainly(ConnectionRefused), "proxy could not connect"),
        ],
    },
    Program {
        names: &["wget", "wget2"],
        own_codes: true,
        phrases: &[("unable to resolve host address", Dns)],
        codes: &[
            (2, Plainly(InvalidInput), "wrong usage"),
            (3, Perhaps(PermissionDenied), "file error"),
            (4, Perhaps(Unreachable), "network failure"),
            (5, Plainly(Tls), "certificate not accepted"),
            (6, Perhaps(PermissionDenied), "login denied"),
            (7, Perhaps(InvalidAnswer), "protocol error"),
            // Standard error holds the status.
            (8, Nothing, "HTTP error"),
        ],
    },
    Program {
        names: &["rsync"],
        own_codes: true,
        phrases: SSH_PHRASES,
        codes: &[
            (1, Perhaps(InvalidInput), "wrong usage"),
            (2, Plainly(InvalidInput), "protocols do not match"),
            (3, Plainly(NotFound), "files could not be selected"),
            (4, Plainly(InvalidInput), "not supported"),
            (5, Perhaps(ConnectionReset), "protocol could not start"),
            (6, Plainly(PermissionDenied), "daemon could not log"),
            (10, Perhaps(ConnectionReset), "socket error"),
            (11, Perhaps(PermissionDenied), "file error"),
            (12, Perhaps(ConnectionReset), "data stream broke off"),
            (13, Perhaps(ConnectionReset), "diagnostics failed"),
            (20, Plainly(Cancelled), "interrupted"),
            (22, Plainly(OutOfMemory), "out of memory"),
            (23, Nothing, "partial transfer"),
            // The next run sees the current files.
            (24, Plainly(IncompleteAnswer), "source files vanished"),
            (25, Plainly(InvalidInput), "too many deletions"),
            (30, Plainly(Timeout), "timed out"),
            (35, Plainly(Timeout), "timed out connecting"),
            (255, Perhaps(ConnectionReset), "connection failed"),
        ],
    },
    Program {
        names: &["pg_isready"],
        own_codes: true,
        phrases: &[],
        codes: &[
            (1, Busy, "the server rejects connections"),
            (2, Perhaps(ConnectionRefused), "no answer from the server"),
            (3, Plainly(InvalidInput), "wrong parameters"),
        ],
    },
    Program {
        names: &["ssh", "scp", "sftp", "ssh-copy-id"],
        own_codes: false,
        phrases: SSH_PHRASES,
        codes: &[(255, Perhaps(ConnectionReset), "connection failed")],
    },
];

const SSH_PHRASES: &[(&str, FaultKind)] = &[
    ("host key verification failed", PermissionDenied),
    ("too many authentication failures", PermissionDenied),
    ("bad owner or permissions", PermissionDenied),
    ("bad configuration option", InvalidInput),
    ("could not resolve hostname", Dns),
];

pub(super) const SIGNALS: &[(i32, &str, Says, &str)] = {
    use signal_hook::consts::*;
    &[
        (SIGHUP, "SIGHUP", Plainly(Cancelled), ""),
        (SIGINT, "SIGINT", Plainly(Cancelled), ""),
        (SIGQUIT, "SIGQUIT", Plainly(Cancelled), ""),
        (SIGILL, "SIGILL", Plainly(Panicked), "crashed"),
        (SIGTRAP, "SIGTRAP", Plainly(Panicked), "crashed"),
        // Some abort when memory runs out, and say so.
        (SIGABRT, "SIGABRT", Perhaps(Panicked), "crashed"),
        (SIGBUS, "SIGBUS", Plainly(Panicked), "crashed"),
        (SIGFPE, "SIGFPE", Plainly(Panicked), "crashed"),
        (SIGKILL, "SIGKILL", Plainly(OutOfMemory), "possibly out of memory"),
        (SIGSEGV, "SIGSEGV", Plainly(Panicked), "crashed"),
        // The reader of its output has gone.
        (SIGPIPE, "SIGPIPE", Plainly(Cancelled), ""),
        (SIGALRM, "SIGALRM", Plainly(Timeout), "timed out"),
        (SIGTERM, "SIGTERM", Plainly(Cancelled), ""),
        (SIGSYS, "SIGSYS", Plainly(Panicked), "crashed"),
        (SIGXCPU, "SIGXCPU", Plainly(Timeout), "processor time limit exceeded"),
        (SIGXFSZ, "SIGXFSZ", Plainly(DiskFull), "file size limit exceeded"),
    ]
};

pub(super) fn of_signal(number: i32) -> (Says, &'static str) {
    SIGNALS.iter().find(|(known, ..)| *known == number).map_or((Nothing, ""), |(.., says, words)| (*says, words))
}

pub(super) fn of_code(program: &OsStr, code: u8) -> (Says, &'static str) {
    /// From here on a code may come from a shell or `timeout`.
    const RUNNERS: u8 = 124;
    let (own, all) = of_program(program).map_or((&[][..], false), |program| (program.codes, program.own_codes));
    let general = GENERAL.iter().filter(|_| !all || code >= RUNNERS);
    match own.iter().chain(general).find(|(known, ..)| *known == code) {
        Some((_, says, words)) => (*says, words),
        None if code > 128 => of_signal(i32::from(code) - 128),
        None => (Nothing, ""),
    }
}

pub(super) fn phrases_of(program: &OsStr) -> &'static [(&'static str, FaultKind)] {
    of_program(program).map_or(&[], |program| program.phrases)
}

fn of_program(program: &OsStr) -> Option<&'static Program> {
    let name = Path::new(program).file_name()?;
    PROGRAMS.iter().find(|program| program.names.iter().any(|known| *known == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_exit_code_and_signal_occurs_once_in_its_table() {
        for codes in PROGRAMS.iter().map(|program| program.codes).chain([GENERAL]) {
            let distinct: HashSet<u8> = codes.iter().map(|(code, ..)| *code).collect();
            assert_eq!(distinct.len(), codes.len());
        }
        let numbers: HashSet<i32> = SIGNALS.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers.len(), SIGNALS.len());
    }
}
