//! Finds where a streamed answer may be cut into frames.
//!
//! While nothing was forwarded, the gateway can still recover unseen, so it forwards only whole lines or events. Their
//! content is judged by `upright_protocol::Reader`.

use memchr::{memrchr, memrchr_iter};

/// Length of the longest prefix of whole lines.
pub fn whole_lines(received: &[u8]) -> usize {
    memrchr(b'\n', received).map_or(0, |end| end + 1)
}

/// Length of the longest prefix of whole server-sent events. A blank line ends an event; lines end by `\n` or `\r\n`.
pub fn whole_events(received: &[u8]) -> usize {
    let ends_event = |end: &usize| {
        let line = &received[..*end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.is_empty() || line.ends_with(b"\n")
    };
    memrchr_iter(b'\n', received).find(ends_event).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_up_to_the_last_line_end() {
        for (received, whole) in [
            ("", ""),
            ("{\"done\"", ""),
            ("{}\n", "{}\n"),
            ("{}\n{\"done\"", "{}\n"),
            ("{}\r\n{}\n\n", "{}\r\n{}\n\n"),
            ("{\"content\":\"a\\nb\"", ""),
        ] {
            assert_eq!(whole_lines(received.as_bytes()), whole.len(), "{received:?}");
        }
    }

    #[test]
    fn events_are_whole_up_to_the_last_blank_line() {
        for (received, whole) in [
            ("", ""),
            ("data: {}\n", ""),
            ("data: {}\n\n", "data: {}\n\n"),
            ("data: {}\r\n\r\n", "data: {}\r\n\r\n"),
            ("data: {}\r\n\r", ""),
            ("data: {}\n\r\n", "data: {}\n\r\n"),
            ("event: a\ndata: {}\n\nevent: b\ndata", "event: a\ndata: {}\n\n"),
            (": waiting\n\ndata: [DONE]\n", ": waiting\n\n"),
            ("\n", "\n"),
        ] {
            assert_eq!(whole_events(received.as_bytes()), whole.len(), "{received:?}");
        }
    }
}
