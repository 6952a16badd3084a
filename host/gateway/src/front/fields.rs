//! Reads a client's JSON by the rules of Go's `encoding/json`, with which Ollama reads it.
//!
//! Keys match in any case, and the last of equal keys wins. Unknown keys, `null` and text after the JSON are ignored.
//! Broken UTF-8 and half surrogate pairs are replaced. A value of a wrong type is refused in Ollama's own words.

use memchr::memchr;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Returns a body as text without broken UTF-8 and half surrogate pairs.
pub(crate) fn readable(body: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(body);
    for at in halves(text.as_bytes()) {
        text.to_mut().replace_range(at..at + 6, "\\ufffd");
    }
    text
}

/// Places of escapes that are half a surrogate pair.
fn halves(json: &[u8]) -> Vec<usize> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut at, mut found) = (0, Vec::new());
    while let Some(offset) = json.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += offset;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                found.push(at);
                6
            }
            _ => 2,
        };
    }
    found
}

/// An object of a request.
pub(crate) struct Fields<'a> {
    members: Vec<(String, &'a RawValue)>,
    /// Go's name of the type.
    kind: &'static str,
    /// Path to the object, with a dot at its end.
    path: String,
}

impl<'a> Fields<'a> {
    /// Reads a request of Go's type `kind`, such as `openai.EmbedRequest`. Fails with the message for the client.
    pub(crate) fn read(text: &'a str, kind: &'static str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let request = <&RawValue>::deserialize(&mut json).map_err(|error| match error.is_eof() {
            true if text.trim_ascii().is_empty() => "EOF".to_owned(),
            true => "unexpected EOF".to_owned(),
            false => format!("invalid JSON in line {}, column {}", error.line(), error.column()),
        })?;
        Self::of(request, kind, String::new())
            .ok_or_else(|| format!("json: cannot unmarshal {} into Go value of type {kind}", found(request, kind)))
    }

    /// An object, or `null`, which has no members.
    fn of(raw: &'a RawValue, kind: &'static str, path: String) -> Option<Self> {
        let members = match raw.get() {
            "null" => Vec::new(),
            json => serde_json::from_str::<Members<'_>>(json).ok()?.0,
        };
        Some(Self { members, kind, path })
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let named = |(key, value): &&(String, &RawValue)| key.eq_ignore_ascii_case(name) && value.get() != "null";
        self.members.iter().rev().find(named).map(|(_, value)| *value)
    }

    fn misfit(&self, raw: &RawValue, name: &str, kind: &str) -> String {
        // A type without a name has none here, either.
        let structure = self.kind.rsplit_once('.').map_or("", |(_, name)| name);
        format!("json: cannot unmarshal {} into Go struct field {structure}.{}{name} of type {kind}", found(raw, kind), self.path)
    }

    fn parsed<T: DeserializeOwned>(&self, name: &str, kind: &str) -> Result<Option<T>, String> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| self.misfit(raw, name, kind))
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, String> {
        self.parsed(name, "string")
    }

    /// `true` or `false`.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, String> {
        self.parsed(name, "bool")
    }

    /// A number of Go's type `kind`, `float32` or `float64`.
    pub(crate) fn number(&self, name: &str, kind: &str) -> Result<Option<f64>, String> {
        self.parsed(name, kind)
    }

    /// A whole number.
    pub(crate) fn whole(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        raw.get().parse().map(Some).map_err(|_| self.misfit(raw, name, "int"))
    }

    /// A list of Go's type `kind`.
    pub(crate) fn list(&self, name: &str, kind: &str) -> Result<Option<Vec<Value>>, String> {
        self.parsed(name, kind)
    }

    /// Any value.
    pub(crate) fn any(&self, name: &str) -> Result<Option<Value>, String> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| format!("the value of {}{name} is nested too deeply or too large", self.path))
    }

    /// An object of Go's type `kind`.
    pub(crate) fn object(&self, name: &str, kind: &'static str) -> Result<Option<Self>, String> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        Self::of(raw, kind, format!("{}{name}.", self.path)).map(Some).ok_or_else(|| self.misfit(raw, name, kind))
    }

    /// A list of objects of Go's type `kind`.
    pub(crate) fn objects(&self, name: &str, kind: &'static str) -> Result<Option<Vec<Self>>, String> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| self.misfit(raw, name, &format!("[]{kind}")))?;
        let object = |item| Self::of(item, kind, format!("{}{name}.", self.path)).ok_or_else(|| self.misfit(item, name, kind));
        items.into_iter().map(object).collect::<Result<_, _>>().map(Some)
    }
}

/// Go's words for a value that is not of type `expected`.
fn found(raw: &RawValue, expected: &str) -> Cow<'static, str> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => "string".into(),
        Some(b'{') => "object".into(),
        Some(b'[') => "array".into(),
        Some(b't' | b'f') => "bool".into(),
        _ if expected.starts_with("int") || expected.starts_with("float") => format!("number {json}").into(),
        _ => "number".into(),
    }
}

/// Members of an object in their order, equal keys included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Option<String>, String> {
        Fields::read(body, "openai.EmbedRequest").and_then(|fields| fields.text("model"))
    }

    #[test]
    fn a_member_is_read_as_go_reads_it() {
        for (body, model) in [
            (r#"{"model":"a"}"#, Some("a")),
            (r#"{"MODEL":"a"}"#, Some("a")),
            (r#"{"model":"a","Model":"b"}"#, Some("b")),
            (r#"{"model":"a","MODEL":"b","model":"c"}"#, Some("c")),
            (r#"{"model":"a","model":null}"#, Some("a")),
            (r#"{"model":"a"} trailing"#, Some("a")),
            (r#"{"mod\u0065l":"\u0061"}"#, Some("a")),
            (r#"{"model":null}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(read(body), Ok(model.map(str::to_owned)), "{body}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_in_ollamas_words() {
        for (body, message) in [
            ("", "EOF"),
            (" \n", "EOF"),
            (r#"{"model":"#, "unexpected EOF"),
            (r#"{"model":"a""#, "unexpected EOF"),
            ("[]", "json: cannot unmarshal array into Go value of type openai.EmbedRequest"),
            (r#""x""#, "json: cannot unmarshal string into Go value of type openai.EmbedRequest"),
            ("5", "json: cannot unmarshal number into Go value of type openai.EmbedRequest"),
        ] {
            assert_eq!(read(body), Err(message.to_owned()), "{body}");
        }
        for body in ["{model}", r#"{"model":"a",}"#, "\u{feff}{}", r#"{"model":01}"#, "{\"model\":\"a\nb\"}"] {
            let message = read(body).unwrap_err();
            assert!(message.starts_with("invalid JSON in line "), "{body}: {message}");
        }
    }

    #[test]
    fn broken_text_is_replaced() {
        let bodies: [(&[u8], &str); 5] = [
            (br#"{"model":"h\ud83di"}"#, "h\u{fffd}i"),
            (br#"{"model":"\udc00\ud83d\ud83d\ude00"}"#, "\u{fffd}\u{fffd}\u{1f600}"),
            (br#"{"model":"\\ud83d"}"#, r"\ud83d"),
            (br#"{"model":"\ud83d\\"}"#, "\u{fffd}\\"),
            (b"{\"model\":\"h\xffi\"}", "h\u{fffd}i"),
        ];
        for (body, expected) in bodies {
            assert_eq!(read(&readable(body)), Ok(Some(expected.to_owned())), "{}", body.escape_ascii());
        }
        assert!(matches!(readable(br#"{"model":"\ud83d\ude00"}"#), Cow::Borrowed(_)));
        assert!(read(&readable(br#"{"model":"\ud83"#)).is_err());
    }

    #[test]
    fn a_nested_misfit_names_its_type_and_its_path() {
        let text = r#"{"outer":{"list":[null,7]}}"#;
        let fields = Fields::read(text, "openai.Outermost").unwrap();
        let outer = fields.object("outer", "openai.Outer").unwrap().unwrap();
        let list = outer.objects("list", "openai.Item").err().unwrap();
        assert_eq!(list, "json: cannot unmarshal number into Go struct field Outer.outer.list of type openai.Item");
        let text = r#"{"outer":{"list":[null,{"n":1.5,"s":{}}]}}"#;
        let fields = Fields::read(text, "openai.Outermost").unwrap();
        let list = fields.object("outer", "openai.Outer").unwrap().unwrap().objects("list", "openai.Item").unwrap().unwrap();
        assert_eq!(list[0].whole("n"), Ok(None));
        assert_eq!(list[1].whole("n").unwrap_err(), "json: cannot unmarshal number 1.5 into Go struct field Item.outer.list.n of type int");
        assert_eq!(list[1].number("n", "float64"), Ok(Some(1.5)));
        assert_eq!(list[1].text("s").unwrap_err(), "json: cannot unmarshal object into Go struct field Item.outer.list.s of type string");
    }

    #[test]
    fn whole_numbers_are_read_as_go_reads_them() {
        for (json, expected) in [("7", Some(7)), ("-0", Some(0)), ("9223372036854775807", Some(i64::MAX))] {
            let text = format!(r#"{{"n":{json}}}"#);
            assert_eq!(Fields::read(&text, "openai.X").unwrap().whole("n"), Ok(expected), "{json}");
        }
        for json in ["1.0", "1e3", "9223372036854775808"] {
            let text = format!(r#"{{"n":{json}}}"#);
            let message = format!("json: cannot unmarshal number {json} into Go struct field X.n of type int");
            assert_eq!(Fields::read(&text, "openai.X").unwrap().whole("n"), Err(message));
        }
    }

    #[test]
    fn nesting_without_end_breaks_nothing() {
        let text = format!(r#"{{"x":{}}}"#, "[".repeat(100_000) + &"]".repeat(100_000));
        let fields = Fields::read(&text, "openai.X").unwrap();
        assert!(fields.any("x").is_err() && fields.list("x", "[]api.Tool").is_err() && fields.text("x").is_err());
        assert!(Fields::read(&"{\"x\":".repeat(100_000), "openai.X").is_err());
    }
}
