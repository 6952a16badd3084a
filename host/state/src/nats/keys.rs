//! Spells keys as NATS subjects, one to one.
//!
//! A subject has non-empty tokens between dots. `/` becomes a dot; every byte but letters, digits, `-` and `_` becomes
//! `=XX`. An empty token becomes `=`. So `a//b.c` is `a.=.b=2Ec`. Servers filter by token, so listing a prefix reads
//! only keys below its last slash.

use std::fmt::Write as _;

/// 1 to 1,536 bytes for a key of up to 512.
pub(super) fn encode(key: &str) -> String {
    let mut subject = String::with_capacity(key.len() + 8);
    for (index, token) in key.split('/').enumerate() {
        if index > 0 {
            subject.push('.');
        }
        if token.is_empty() {
            subject.push('=');
        }
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
                subject.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(subject, "={byte:02X}");
            }
        }
    }
    subject
}

/// `None` for spellings that `encode` does not produce.
pub(super) fn decode(subject: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(subject.len());
    for (index, token) in subject.split('.').enumerate() {
        if index > 0 {
            bytes.push(b'/');
        }
        if token == "=" {
            continue;
        }
        let mut rest = token.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(if byte == b'=' { digit(rest.next()?)? << 4 | digit(rest.next()?)? } else { byte });
        }
    }
    let key = String::from_utf8(bytes).ok()?;
    (encode(&key) == subject).then_some(key)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Narrowest wildcard that covers all keys with this prefix.
pub(super) fn filter(prefix: &str) -> String {
    match prefix.rsplit_once('/') {
        Some((above, _)) => encode(above) + ".>",
        None => ">".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: [&str; 22] = [
        "a",
        "policy/active",
        "breaker/qwen3:30b",
        "a.b",
        ".",
        "..",
        ".a.",
        "/",
        "//",
        "/a",
        "a/",
        "a//b",
        "=",
        "=2E",
        "a=b",
        "*",
        "a/*/>",
        "ü/ß/日本",
        "\u{0}\n\r\t ",
        "a b",
        "$KV",
        "🦀",
    ];

    #[test]
    fn every_key_has_one_spelling_that_leads_back_to_it() {
        for key in ODD {
            assert_eq!(decode(&encode(key)).as_deref(), Some(key));
        }
        assert_eq!(encode("policy/active"), "policy.active");
        assert_eq!(encode("a//b.c"), "a.=.b=2Ec");
    }

    #[test]
    fn a_spelling_is_a_subject_whatever_the_key() {
        for key in ODD {
            let subject = encode(key);
            assert!(subject.split('.').all(|token| !token.is_empty()), "{subject}");
            assert!(subject.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte)), "{subject}");
        }
    }

    #[test]
    fn a_nats_subject_that_encodes_no_key_decodes_to_none() {
        for subject in ["a..b", "", "a=", "a=2", "a=2e", "a=41", "=FF", "a.==", "a/b", "a b"] {
            assert_eq!(decode(subject), None, "{subject}");
        }
    }

    #[test]
    fn a_filter_covers_every_key_with_the_prefix() {
        for key in ODD {
            for (end, _) in key.char_indices().chain([(key.len(), ' ')]) {
                let filter = filter(&key[..end]);
                let above = filter.strip_suffix('>').unwrap();
                assert!(encode(key).starts_with(above), "{key:?} under {filter}");
            }
        }
        assert_eq!(filter("checkpoint/"), "checkpoint.>");
        assert_eq!(filter("checkpoint"), ">");
    }
}
