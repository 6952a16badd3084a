//! Bodies as Go reads them: a table of oddities, a real server's recordings, and generated bodies.

use super::*;
use serde_json::{Map, Value, json};
use upright_core::random::{Random, SeededRandom};
use upright_protocol::{Asked, Route};
use upright_recordings::{named, recordings};

fn first_value(body: &[u8]) -> Option<Value> {
    serde_json::Deserializer::from_slice(body).into_iter::<Value>().next()?.ok()
}

fn model(body: &[u8], fields: &Fields) -> Option<String> {
    fields.model.as_ref().and_then(|span| text(body, span)).map(Cow::into_owned)
}

#[test]
fn the_table_of_members_is_in_the_order_of_its_keys_and_in_small_letters() {
    for (index, (key, name, _)) in MEMBERS.iter().enumerate() {
        assert_eq!((*key as usize, key.name()), (index, *name));
    }
    for name in MEMBERS.iter().map(|(_, name, _)| *name).chain(OTHERS.iter().copied()) {
        assert_eq!((name, known(name)), (name.to_ascii_lowercase().as_str(), Some(name)));
    }
}

#[test]
fn a_plain_body_gives_its_members() {
    let body = br#" {"model":"a\/b" , "messages": [{"content":"}]\""}], "stream":false,"keep_alive":"5m",
        "options":{"seed":1,"num_ctx":512},"truncate":true,"tools":[{}],"format":"json","think":"high"} trailing"#;
    let fields = scan(body).unwrap();
    assert_eq!(model(body, &fields).as_deref(), Some("a/b"));
    assert_eq!((fields.stream, fields.truncate, fields.num_ctx), (Some(false), Some(true), Some(512)));
    assert_eq!((fields.question, fields.tools, fields.format, fields.think), (true, true, true, true));
    assert_eq!(fields.keep_alive.as_ref().map(|span| &body[span.clone()]), Some(&b"\"5m\""[..]));
    assert_eq!(fields.options.as_ref().map(|span| &body[span.clone()]), Some(&b"{\"seed\":1,\"num_ctx\":512}"[..]));
    assert_eq!(fields.value(Key::Model), fields.model);
    assert!(body[..fields.end].ends_with(b"\"high\"}") && fields.unexpected.is_none());
}

#[test]
fn an_absent_member_and_a_null_or_empty_one_say_nothing() {
    for body in ["{}", " {\n} ", r#"{"model":null,"stream":null,"options":null,"truncate":null,"messages":null,"think":null}"#] {
        let fields = scan(body.as_bytes()).unwrap();
        let said = (fields.model, fields.stream, fields.options, fields.num_ctx, fields.truncate, fields.unexpected);
        assert_eq!(said, (None, None, None, None, None, None), "{body}");
        assert!(!fields.question && !fields.tools && !fields.format && !fields.think, "{body}");
    }
    let fields = scan(br#"{"messages":[ ],"prompt":"","input":[],"tools":[],"format":{ },"think":false}"#).unwrap();
    assert!(!fields.question && !fields.tools && !fields.format && !fields.think);
}

#[test]
fn a_window_is_a_number_of_tokens_without_its_fraction() {
    for (options, window, unexpected) in [
        (r#"{"num_ctx":4096}"#, Some(4096), None),
        (r#"{"num_ctx":4096.9}"#, Some(4096), None),
        (r#"{"num_ctx":4e3}"#, Some(4000), None),
        (r#"{"num_ctx":-5}"#, None, None),
        (r#"{"num_ctx":null}"#, None, None),
        (r#"{"NUM_CTX":4096}"#, None, None),
        (r#"{"nested":{"num_ctx":4096}}"#, None, None),
        (r#"{"num_ctx":"4096"}"#, None, Some(Key::Options)),
        (r#"[{"num_ctx":4096}]"#, None, Some(Key::Options)),
    ] {
        let fields = scan(format!(r#"{{"options":{options}}}"#).as_bytes()).unwrap();
        assert_eq!((fields.num_ctx, fields.unexpected), (window, unexpected), "{options}");
    }
}

#[test]
fn a_type_that_ollama_refuses_is_left_to_the_server() {
    for (body, key) in [
        (r#"{"model":5}"#, Key::Model),
        (r#"{"model":{"name":"a"}}"#, Key::Model),
        (r#"{"stream":"no"}"#, Key::Stream),
        (r#"{"truncate":"END"}"#, Key::Truncate),
        (r#"{"options":5}"#, Key::Options),
    ] {
        let fields = scan(body.as_bytes()).unwrap();
        assert_eq!(fields.unexpected, Some(key), "{body}");
        assert_eq!((fields.model, fields.stream, fields.truncate, fields.options), (None, None, None, None), "{body}");
    }
}

fn nested(levels: usize) -> Vec<u8> {
    format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels)).into_bytes()
}

/// Go 1.26 gives these meanings.
#[test]
fn an_odd_body_gets_the_meaning_that_go_gives_it() {
    for (body, odd, meaning) in [
        (&br#"{"mo\u0064el":"a"}"#[..], Odd::EscapedKey, json!({"model": "a"})),
        (br#"{"a\"b":1,"model":"a"}"#, Odd::EscapedKey, json!({"model": "a"})),
        (br#"{"options":{"num_\u0063tx":1}}"#, Odd::EscapedKey, json!({"options": {"num_ctx": 1}})),
        (br#"{"MODEL":"a","Messages":[{"Role":"x"}]}"#, Odd::OtherCase, json!({"model": "a", "messages": [{"Role": "x"}]})),
        (br#"{"Temperature":0,"myKey":1}"#, Odd::OtherCase, json!({"temperature": 0, "myKey": 1})),
        ("{\"\u{17f}tream\":false}".as_bytes(), Odd::OtherCase, json!({"stream": false})),
        ("{\"\u{212a}eep_alive\":1}".as_bytes(), Odd::OtherCase, json!({"keep_alive": 1})),
        (br#"{"model":"a","model":"b"}"#, Odd::Duplicate, json!({"model": "b"})),
        (br#"{"model":"a","Model":"b"} x"#, Odd::OtherCase, json!({"model": "b"})),
        (br#"{"options":{"num_ctx":1,"num_ctx":2}}"#, Odd::Duplicate, json!({"options": {"num_ctx": 2}})),
        (b"{\"model\":\"a\xff\"}", Odd::InvalidUtf8, json!({"model": "a\u{fffd}"})),
        (b"{\"x\":\"\xe2\x82\"}", Odd::InvalidUtf8, json!({"x": "\u{fffd}\u{fffd}"})),
        (br#"{"x":"\ud800"}"#, Odd::LoneSurrogate, json!({"x": "\u{fffd}"})),
        (br#"{"x":["\ud800\ud83d\ude00"]}"#, Odd::LoneSurrogate, json!({"x": ["\u{fffd}\u{1f600}"]})),
        (br#"{"x":"\udc00\uD800x\\ud800"}"#, Odd::LoneSurrogate, json!({"x": "\u{fffd}\u{fffd}x\\ud800"})),
        (b"null", Odd::NotAnObject, json!({})),
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(scan(body), Err(odd), "{shown}");
        let written = canonical(body).unwrap();
        assert_eq!(first_value(&written), Some(meaning), "{shown}");
        assert!(scan(&written).is_ok(), "{shown}");
        assert_eq!(canonical(&written), Ok(written), "{shown}");
    }
}

#[test]
fn a_body_that_go_refuses_is_refused_in_its_words() {
    for (body, odd, message) in [
        ("", Odd::NotAnObject, "missing request body"),
        (" \n", Odd::NotAnObject, "missing request body"),
        ("nul", Odd::NotAnObject, "unexpected EOF"),
        ("{", Odd::Malformed, "unexpected EOF"),
        (r#"{"model":"#, Odd::Malformed, "unexpected EOF"),
        (r#"{"model":"a\"#, Odd::Malformed, "unexpected EOF"),
        (r#"{"x":[{"y":1}"#, Odd::Malformed, "unexpected EOF"),
        ("[]", Odd::NotAnObject, "json: cannot unmarshal array into Go value of type struct"),
        ("\"x\"", Odd::NotAnObject, "json: cannot unmarshal string into Go value of type struct"),
        ("true", Odd::NotAnObject, "json: cannot unmarshal bool into Go value of type struct"),
        (" -1", Odd::NotAnObject, "json: cannot unmarshal number into Go value of type struct"),
        ("\u{feff}{}", Odd::ByteOrderMark, "invalid character 'ï' looking for beginning of value"),
        ("}", Odd::NotAnObject, "invalid character '}' looking for beginning of value"),
        ("{,}", Odd::Malformed, "invalid character ',' looking for beginning of object key string"),
        ("\n{\n'model':1}", Odd::Malformed, r"invalid character '\'' looking for beginning of object key string"),
        (r#"{"model":"a",}"#, Odd::Malformed, "invalid character '}' looking for beginning of object key string"),
        (r#"{"model" "a"}"#, Odd::Malformed, "invalid character '\"' after object key"),
        (r#"{"model":"a" "b":1}"#, Odd::Malformed, "invalid character '\"' after object key:value pair"),
        (r#"{"model":}"#, Odd::Malformed, "invalid character '}' looking for beginning of value"),
    ] {
        assert_eq!(scan(body.as_bytes()), Err(odd), "{body}");
        assert_eq!(canonical(body.as_bytes()).map_err(|error| error.to_string()), Err(message.to_owned()), "{body}");
    }
}

#[test]
fn malformed_nested_values_are_left_to_the_server_and_refused_where_a_body_is_rewritten() {
    for (value, message) in [
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("tru", "invalid character '}' in literal"),
        ("-", "invalid character '}' in numeric literal"),
        (r#""\x""#, "invalid character 'x' in string escape code"),
        ("\"\n\"", r"invalid character '\n' in string literal"),
        ("\"\u{1f}\"", r"invalid character '\x1f' in string literal"),
        ("\"\0\"", r"invalid character '\x00' in string literal"),
        ("\"\u{b}\"", r"invalid character '\v' in string literal"),
        ("{]}", "invalid character ']' looking for beginning of object key string"),
    ] {
        let body = format!(r#"{{"x":{value}}}"#);
        assert!(scan(body.as_bytes()).is_ok(), "{body}");
        assert_eq!(canonical(body.as_bytes()).map_err(|error| error.to_string()), Err(message.to_owned()), "{body}");
    }
}

#[test]
fn ten_thousand_levels_are_read_and_not_one_more() {
    assert!(scan(&nested(9_999)).is_ok() && canonical(&nested(9_999)).is_ok());
    assert_eq!(scan(&nested(10_000)), Err(Odd::TooDeep));
    assert_eq!(canonical(&nested(10_000)), Err(Malformed::TooDeep));
}

#[test]
fn ollamas_own_odd_requests_are_read_as_ollama_read_them() {
    for recording in recordings().iter().filter(|recording| recording.name.starts_with("json-")) {
        let body = recording.request.bytes();
        let body = if scan(&body).is_ok() { body } else { canonical(&body).unwrap() };
        let fields = scan(&body).unwrap();
        assert_eq!((model(&body, &fields).as_deref(), fields.stream), (Some("smollm2"), Some(false)), "{}", recording.name);
    }
    for name in ["bad-json", "v1-chat-bad-json", "empty-body", "old-bad-json", "old-empty-body"] {
        let recording = named(name);
        let answer: Value = serde_json::from_slice(&recording.body().unwrap().bytes).unwrap();
        let said = answer["error"]["message"].as_str().or(answer["error"].as_str()).unwrap();
        assert_eq!(canonical(&recording.request.bytes()).unwrap_err().to_string(), said, "{name}");
    }
}

#[test]
fn the_members_of_every_recorded_request_are_those_that_the_judge_reads() {
    let mut compared = 0;
    for recording in recordings() {
        let body = recording.request.bytes();
        let (Some(route), Ok(fields)) = (Route::of(&recording.request.path), scan(&body)) else { continue };
        let asked = Asked::read(route, &body);
        let found = (fields.tools, fields.format, fields.think, fields.num_ctx);
        assert_eq!(found, (asked.tools, asked.format, asked.thinking, asked.window), "{}", recording.name);
        if matches!(route, Route::Chat | Route::Generate) {
            assert_eq!((fields.stream.unwrap_or(true), fields.question), (asked.streamed, asked.question), "{}", recording.name);
        }
        assert_eq!(model(&body, &fields), first_value(&body).unwrap()["model"].as_str().map(str::to_owned), "{}", recording.name);
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn an_edit_changes_its_member_and_no_other_byte() {
    use Edit::{Options, Text, Truth};
    let window = |tokens| Options { window: Some(tokens), seed: None };
    let seed = |seed| Options { window: None, seed: Some(seed) };
    for (body, edits, edited_body) in [
        ("{}", &[Truth(Key::Truncate, false)][..], r#"{"truncate":false}"#),
        (r#" {"model":"a"} x"#, &[], r#"{"model":"a"}"#),
        (r#"{ "model": "a" }"#, &[Text(Key::Model, "b\"\n")], r#"{ "model": "b\"\n"}"#),
        (r#"{"model":"a","x":1}"#, &[Truth(Key::Truncate, false)], r#"{"truncate":false,"model":"a","x":1}"#),
        (r#"{"truncate":null,"x":[1, 2]}"#, &[Truth(Key::Truncate, false)], r#"{"truncate":false,"x":[1, 2]}"#),
        (r#"{"x":1}"#, &[window(8)], r#"{"options":{"num_ctx":8},"x":1}"#),
        (r#"{"options":null}"#, &[window(8)], r#"{"options":{"num_ctx":8}}"#),
        (r#"{"options":{ }}"#, &[window(8)], r#"{"options":{"num_ctx":8 }}"#),
        (r#"{"options":{"seed":1}}"#, &[window(8)], r#"{"options":{"num_ctx":8,"seed":1}}"#),
        (r#"{"options":{"num_ctx":4,"seed":1}}"#, &[window(8)], r#"{"options":{"num_ctx":8,"seed":1}}"#),
        (r#"{"x":1}"#, &[seed(7)], r#"{"options":{"seed":7},"x":1}"#),
        (r#"{"options":{"num_ctx":4}}"#, &[seed(7)], r#"{"options":{"seed":7,"num_ctx":4}}"#),
        (r#"{"options":{"num_ctx":4}}"#, &[Options { window: Some(8), seed: Some(7) }], r#"{"options":{"seed":7,"num_ctx":8}}"#),
        (r#"{"model":"a"}"#, &[Text(Key::Model, "b"), Text(Key::Model, "c")], r#"{"model":"c"}"#),
    ] {
        let fields = scan(body.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(edited(body.as_bytes(), &fields, edits)).unwrap(), edited_body, "{body} {edits:?}");
    }
}

#[test]
fn members_of_another_body_do_not_panic() {
    let fields = scan(br#"{"options":{"num_ctx":1},"model":"a","tools":[]}"#).unwrap();
    for body in ["", "{}", "{\"a\":1}"] {
        edited(
            body.as_bytes(),
            &fields,
            &[Edit::Options { window: Some(1), seed: Some(2) }, Edit::Text(Key::Model, "b"), Edit::Truth(Key::Tools, false)],
        );
        text(body.as_bytes(), &fields.model.clone().unwrap());
    }
}

/// Written as in JSON, without quotes.
const KEYS: [&str; 19] = [
    "model",
    "model",
    "stream",
    "stream",
    "truncate",
    "options",
    "options",
    "options",
    "keep_alive",
    "messages",
    "tools",
    "think",
    "unknown",
    "Unknown",
    "a\\\"b",
    "Model",
    "m\\u006fdel",
    "\u{17f}tream",
    "\u{212a}eep_alive",
];

fn values() -> Vec<(&'static [u8], Value)> {
    vec![
        (&b"\"a/b:c\""[..], json!("a/b:c")),
        (br#""}],\"\\""#, json!("}],\"\\")),
        (br#""\u00e9\ud83d\ude00""#, json!("\u{e9}\u{1f600}")),
        (b"\"h\xffi\"", json!("h\u{fffd}i")),
        (br#""\ud800x""#, json!("\u{fffd}x")),
        (b"\"\"", json!("")),
        (b"true", json!(true)),
        (b"false", json!(false)),
        (b"null", json!(null)),
        (b"-1.5e3", json!(-1500.0)),
        (b"[]", json!([])),
        (br#"[{"a":"]"}, [1, 2]]"#, json!([{"a": "]"}, [1, 2]])),
        (b"{ }", json!({})),
        (br#"{"num_ctx":512}"#, json!({"num_ctx": 512})),
        (br#"{ "seed" : 1 , "num_ctx" : 40.7 }"#, json!({"seed": 1, "num_ctx": 40.7})),
        (br#"{"num_ctx":1,"num_ctx":2,"stop":["}"]}"#, json!({"num_ctx": 2, "stop": ["}"]})),
        (br#"{"num_\u0063tx":3}"#, json!({"num_ctx": 3})),
        (br#"{"Num_Ctx":4,"num_ctx":null}"#, json!({"Num_Ctx": 4, "num_ctx": null})),
    ]
}

fn pick<'a, T>(random: &SeededRandom, items: &'a [T]) -> &'a T {
    &items[(random.draw() * items.len() as f64) as usize]
}

/// A body, and what Go understands. Where Go would merge objects, the last one counts.
fn generated(random: &SeededRandom, values: &[(&'static [u8], Value)]) -> (Vec<u8>, Map<String, Value>) {
    let space = || pick(random, &["", "", " ", "\n\t"]).as_bytes();
    let (mut body, mut meaning) = ([space(), b"{"].concat(), Map::new());
    let mut separator = "";
    for _ in 0..(random.draw() * 6.0) as usize {
        let (key, (written, value)) = (*pick(random, &KEYS), pick(random, values));
        let key_written = format!("\"{key}\"");
        let parts = [separator.as_bytes(), space(), key_written.as_bytes(), space(), b":", space(), written, space()];
        body.extend(parts.concat());
        separator = ",";
        let key: String = serde_json::from_str(&key_written).unwrap();
        // By way of capitals, U+017F becomes an ASCII letter too.
        let folded = key.to_uppercase().to_lowercase();
        if !key.contains('"') {
            let key = if MEMBERS.iter().any(|(_, name, _)| *name == folded) { folded } else { key };
            meaning.insert(key, value.clone());
        }
    }
    body.extend([&b"}"[..], pick(random, &["", " ", "x", "}", "{\"model\":\"other\"}"]).as_bytes()].concat());
    (body, meaning)
}

fn check_members(body: &[u8], fields: &Fields, meaning: &Map<String, Value>, shown: &str) {
    let truth = |key: &str| meaning.get(key).and_then(Value::as_bool);
    let window = meaning.get("options").and_then(|options| options.get("num_ctx"));
    let tokens = |number: &Value| number.as_u64().or_else(|| number.as_f64().filter(|tokens| *tokens >= 0.0).map(|tokens| tokens as u64));
    assert_eq!(model(body, fields).as_deref(), meaning.get("model").and_then(Value::as_str), "{shown}");
    assert_eq!((fields.stream, fields.truncate), (truth("stream"), truth("truncate")), "{shown}");
    assert_eq!(fields.num_ctx, window.and_then(tokens), "{shown}");
}

const EDITS: [Edit<'_>; 8] = [
    Edit::Text(Key::Model, "new \"name\"\n"),
    Edit::Text(Key::Name, "n"),
    Edit::Truth(Key::Truncate, false),
    Edit::Truth(Key::Stream, true),
    Edit::Number(Key::KeepAlive, -1),
    Edit::Options { window: Some(8192), seed: None },
    Edit::Options { window: Some(8192), seed: Some(7) },
    Edit::Options { window: None, seed: Some(7) },
];

fn apply(edits: &[Edit<'_>], members: &mut Map<String, Value>) {
    let key = |edit: &Edit<'_>| match edit {
        Edit::Text(key, _) | Edit::Truth(key, _) | Edit::Number(key, _) => *key,
        Edit::Options { .. } => Key::Options,
    };
    for (index, edit) in edits.iter().enumerate() {
        if edits[index + 1..].iter().any(|later| key(later) == key(edit)) {
            continue;
        }
        let name = key(edit).name();
        match edit {
            Edit::Text(_, text) => drop(members.insert(name.to_owned(), json!(text))),
            Edit::Truth(_, truth) => drop(members.insert(name.to_owned(), json!(truth))),
            Edit::Number(_, number) => drop(members.insert(name.to_owned(), json!(number))),
            Edit::Options { window, seed } => {
                if !members.get(name).is_some_and(Value::is_object) {
                    members.insert(name.to_owned(), json!({}));
                }
                let options = members[name].as_object_mut().unwrap();
                if let Some(tokens) = window {
                    options.insert("num_ctx".to_owned(), json!(tokens));
                }
                if let Some(seed) = seed {
                    // A seed of the caller's comes later, and stays.
                    options.entry("seed").or_insert(json!(seed));
                }
            }
        }
    }
}

#[test]
fn generated_bodies_are_read_as_serde_json_reads_them_and_edited_as_asked() {
    let (random, values) = (SeededRandom::new(20_261), values());
    let (mut plain, mut odd) = (0, 0);
    for _ in 0..20_000 {
        let (written, meaning) = generated(&random, &values);
        let shown = String::from_utf8_lossy(&written).into_owned();
        let (body, meaning) = match scan(&written) {
            Ok(_) => {
                plain += 1;
                let Some(Value::Object(read)) = first_value(&written) else { panic!("serde_json refuses {shown}") };
                (written, read)
            }
            Err(_) => {
                odd += 1;
                let body = canonical(&written).unwrap();
                assert_eq!(first_value(&body), Some(Value::Object(meaning.clone())), "{shown}");
                (body, meaning)
            }
        };
        let fields = scan(&body).unwrap_or_else(|error| panic!("{error}: {shown}"));
        check_members(&body, &fields, &meaning, &shown);

        let edits: Vec<_> = EDITS.into_iter().filter(|_| random.draw() < 0.3).collect();
        let mut expected = meaning;
        apply(&edits, &mut expected);
        let written: Value = serde_json::from_slice(&edited(&body, &fields, &edits)).unwrap();
        assert_eq!(written, Value::Object(expected), "{shown} {edits:?}");
    }
    assert!(plain > 4_000 && odd > 4_000, "{plain} plain, {odd} odd");
}

#[test]
fn damaged_bodies_have_one_meaning_at_most() {
    let (random, values) = (SeededRandom::new(7), values());
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let (mut body, _) = generated(&random, &values);
        for _ in 0..=(random.draw() * 3.0) as usize {
            let at = (random.draw() * body.len() as f64) as usize;
            body[at] = *pick(&random, b"\"\\{}[],: u0dex\n\xff");
        }
        let shown = String::from_utf8_lossy(&body).into_owned();
        let Ok(written) = canonical(&body) else {
            refused += 1;
            continue;
        };
        read += 1;
        let fields = scan(&written).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(canonical(&written).as_ref(), Ok(&written), "{shown}");
        if let Ok(fast) = scan(&body) {
            let meaning = |body: &[u8], fields: &Fields| (model(body, fields), fields.stream, fields.num_ctx, fields.truncate);
            assert_eq!(meaning(&body, &fast), meaning(&written, &fields), "{shown}");
        }
    }
    assert!(read > 500 && refused > 500, "{read} read, {refused} refused");
}
