//! Values that TOML has no type for: times, sizes, an address to listen on, hashes.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;

/// Marks a message about a value that may be a secret, so that no log repeats it.
pub(super) const HIDDEN: &str = "(not shown)";

const SPAN: &str = r#"a number of seconds, or a text such as "30s", "250ms", "5m" or "1h30m""#;
const SIZE: &str = r#"a number of bytes, or a text such as "64 MiB", "512 KiB" or "1 GiB""#;

/// Largest first.
const SPANS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Splits `1h30m` into 1, `h` and `30m`.
fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let (number, rest) = text.split_at(text.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?);
    let rest = rest.trim_start();
    let (unit, rest) = rest.split_at(rest.find(|sign: char| !sign.is_ascii_alphabetic()).unwrap_or(rest.len()));
    Some((number.parse().ok()?, unit, rest.trim_start()))
}

fn read_span(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0.0, text.trim());
    loop {
        let (number, unit, after) = number_and_unit(rest)?;
        let known = SPANS.iter().find(|(name, _)| *name == unit).map(|(_, length)| *length as f64);
        seconds += number * known.or((unit == "ms").then_some(0.001))?;
        if after.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        rest = after;
    }
}

/// The shortest text that reads as this time.
pub(super) fn span_text(span: Duration) -> String {
    if span.subsec_nanos() == 0 {
        in_units(span.as_secs(), &SPANS, "")
    } else if span.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{}ms", span.as_millis())
    } else {
        format!("{}s", span.as_secs_f64())
    }
}

fn read_size(text: &str) -> Option<u64> {
    let (number, unit, rest) = number_and_unit(text.trim())?;
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let bytes = number * *factor as f64;
    // Whole numbers up to here are exact.
    (rest.is_empty() && bytes <= (1_u64 << 53) as f64).then_some(bytes as u64)
}

/// The shortest text that reads as this number of bytes.
pub(super) fn size_text(bytes: u64) -> String {
    in_units(bytes, &SIZES, " ")
}

fn in_units(number: u64, units: &[(&str, u64)], between: &str) -> String {
    let fits = |(_, length): &&(&str, u64)| number > 0 && number.is_multiple_of(*length);
    match units.iter().find(fits).or(units.last()) {
        Some((unit, length)) => format!("{}{between}{unit}", number / length),
        None => number.to_string(),
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Duration;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SPAN)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds).map(Duration::from_secs).map_err(|_| E::invalid_value(Unexpected::Signed(seconds), &self))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds).map_err(|_| E::invalid_value(Unexpected::Float(seconds), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        read_span(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SIZE)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        read_size(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Times, for `serde(with)`.
pub(super) mod span {
    use super::{Deserializer, Duration, Serializer, SpanVisitor, span_text};

    pub(in crate::config) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&span_text(*span))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

/// Numbers of tokens that are held back, for `serde(with)`.
pub(crate) mod hold {
    use super::{Deserializer, HoldVisitor, Serializer};
    use upright_protocol::Hold;

    /// Expected value.
    pub(crate) const EXPECTED: &str = r#"a number of tokens, or "all""#;

    /// Reads a text, such as a header.
    pub(crate) fn read(text: &str) -> Option<Hold> {
        match text.trim() {
            "all" => Some(Hold::All),
            number => number.parse().ok().map(of),
        }
    }

    pub(super) fn of(tokens: u32) -> Hold {
        if tokens == 0 { Hold::Nothing } else { Hold::Last(tokens) }
    }

    pub(in crate::config) fn serialize<S: Serializer>(hold: &Hold, serializer: S) -> Result<S::Ok, S::Error> {
        match hold {
            Hold::Nothing => serializer.serialize_u32(0),
            Hold::Last(tokens) => serializer.serialize_u32(*tokens),
            Hold::All => serializer.serialize_str("all"),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hold, D::Error> {
        deserializer.deserialize_any(HoldVisitor)
    }
}

struct HoldVisitor;

impl Visitor<'_> for HoldVisitor {
    type Value = upright_protocol::Hold;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(hold::EXPECTED)
    }

    fn visit_i64<E: Error>(self, tokens: i64) -> Result<Self::Value, E> {
        u32::try_from(tokens).map(hold::of).map_err(|_| E::invalid_value(Unexpected::Signed(tokens), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        hold::read(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Times that may be left out, for `serde(with)`.
pub(super) mod optional_span {
    use super::{Deserializer, Duration, Serializer, span};

    pub(in crate::config) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => span::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        span::deserialize(deserializer).map(Some)
    }
}

/// Sizes in bytes, for `serde(with)`.
pub(super) mod size {
    use super::{Deserializer, Serializer, SizeVisitor, size_text};

    pub(in crate::config) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&size_text(*bytes))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

/// An address to listen on, for `serde(with)`.
pub(super) mod listening {
    use super::{Deserialize as _, Deserializer, Error, Serializer, Unexpected};
    use std::net::{Ipv4Addr, SocketAddr};

    pub(in crate::config) const EXPECTED: &str = "an IP address and a port, such as 127.0.0.1:11444 or [::1]:11444";

    /// `localhost` is the only name: looking up another one could change where the gateway listens.
    pub(in crate::config) fn read(text: &str) -> Option<SocketAddr> {
        let port = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
        port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok())
    }

    pub(in crate::config) fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).ok_or_else(|| Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
    }
}

/// Time for which a server keeps a model loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// This long after the last request.
    For(Duration),
    /// Until it is unloaded on purpose.
    Forever,
}

impl KeepAlive {
    /// Value of `keep_alive` in a request: whole seconds, or -1.
    pub fn seconds(self) -> i64 {
        match self {
            Self::For(span) => i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            Self::Forever => -1,
        }
    }
}

impl Serialize for KeepAlive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(span) => span::serialize(span, serializer),
            Self::Forever => serializer.serialize_str("forever"),
        }
    }
}

struct KeepAliveVisitor;

impl Visitor<'_> for KeepAliveVisitor {
    type Value = KeepAlive;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, r#"{SPAN}, or "forever""#)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<KeepAlive, E> {
        // Below 0 is Ollama's way to say forever.
        Ok(u64::try_from(seconds).map_or(KeepAlive::Forever, |seconds| KeepAlive::For(Duration::from_secs(seconds))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KeepAlive, E> {
        match text {
            "forever" => Ok(KeepAlive::Forever),
            _ => read_span(text).map(KeepAlive::For).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for KeepAlive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeepAliveVisitor)
    }
}

/// SHA-256 of an API key.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key's text.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for KeyHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyHash({self})")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // It may be the key itself.
        let found = format!("a text of {} characters {HIDDEN}", text.chars().count());
        let expected = "the SHA-256 of a key: 64 hexadecimal digits, never the key itself";
        Self::read(&text).ok_or_else(|| Error::invalid_value(Unexpected::Other(&found), &expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, milliseconds, written) in [
            ("30s", 30_000, "30s"),
            ("250ms", 250, "250ms"),
            ("0.5s", 500, "500ms"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("1h30m", 5_400_000, "90m"),
            (" 2 h ", 7_200_000, "2h"),
            ("1d", 86_400_000, "1d"),
            ("0s", 0, "0s"),
        ] {
            let span = read_span(text);
            assert_eq!(span, Some(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(span.map(span_text).as_deref(), Some(written), "{text}");
            assert_eq!(read_span(written), span, "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_time_are_refused() {
        for text in ["", " ", "s", "30", "30 parsecs", "-1s", "1s2", "1..2s", "1e9s", "NaNs", "99999999999999999999d", "30S", "½s"] {
            assert_eq!(read_span(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in [
            ("64 MiB", 64 << 20, "64 MiB"),
            ("64mib", 64 << 20, "64 MiB"),
            ("1.5 KiB", 1536, "1536 B"),
            ("2 GiB", 2 << 30, "2 GiB"),
            ("0 B", 0, "0 B"),
        ] {
            assert_eq!(read_size(text), Some(bytes), "{text}");
            assert_eq!(size_text(bytes), written, "{text}");
            assert_eq!(read_size(written), Some(bytes), "{text}");
        }
        for text in ["", "64", "64 MB", "MiB", "-1 B", "1 KiB 1 B", "99999999999 GiB"] {
            assert_eq!(read_size(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_to_listen_on_is_an_ip_address_or_localhost() {
        for (text, expected) in [
            ("127.0.0.1:11444", Some("127.0.0.1:11444")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("[::1]:0", Some("[::1]:0")),
            ("localhost", None),
            ("127.0.0.1", None),
            ("example.org:80", None),
            (":80", None),
            ("localhost:65536", None),
        ] {
            assert_eq!(listening::read(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_hash_is_sixty_four_hexadecimal_digits() {
        let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(KeyHash::read(text), Some(KeyHash::of(b"test")));
        assert_eq!(KeyHash::read(&text.to_uppercase()), Some(KeyHash::of(b"test")));
        assert_eq!(KeyHash::of(b"test").to_string(), text);
        let (signed, wide) = (format!("+{}", &text[1..]), "é".repeat(32));
        for wrong in ["", &text[1..], &format!("{text}0"), &signed, &wide] {
            assert_eq!(KeyHash::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keeping_a_model_loaded_is_written_in_seconds() {
        assert_eq!(KeepAlive::For(Duration::from_secs(1800)).seconds(), 1800);
        assert_eq!(KeepAlive::For(Duration::MAX).seconds(), i64::MAX);
        assert_eq!(KeepAlive::Forever.seconds(), -1);
    }
}
