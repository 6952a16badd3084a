//! Every cut, difference and second cut of a streamed answer, without a socket.
//!
//! The oracle: a client has the text of one server, whole, or an error after the beginning of one server's text.

use serde_json::{Value, json};
use upright_logic::types::Endpoint;
use upright_protocol::{AnswerStream, Asked, Broken, Hold, Route};
use upright_recordings::recordings;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Thinking(&'static str),
    Text(&'static str),
    Call(&'static str, Value),
}
use Part::{Call, Text, Thinking};

/// How a server writes an answer.
#[derive(Clone, Copy, Debug)]
struct Style {
    /// Maximum number of characters in a line.
    line: usize,
    /// Whether all but plain letters are escaped.
    escapes: bool,
    /// Whether thinking and text may share a line.
    joins: bool,
    /// Number in the ids of tool calls.
    id: u32,
}

const STYLES: [Style; 4] = [
    Style { line: 3, escapes: false, joins: false, id: 1 },
    Style { line: 1, escapes: true, joins: false, id: 2 },
    Style { line: 7, escapes: false, joins: true, id: 3 },
    Style { line: 1000, escapes: true, joins: true, id: 4 },
];

fn escaped(line: &Value) -> String {
    let escape = |sign: char| match sign {
        ' '..='~' => sign.to_string(),
        other => other.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    line.to_string().chars().map(escape).collect()
}

/// The lines of an answer of `/api/chat`.
fn lines(story: &[Part], style: Style) -> Vec<u8> {
    let pieces =
        |text: &str| -> Vec<String> { text.chars().collect::<Vec<_>>().chunks(style.line).map(|piece| piece.iter().collect()).collect() };
    let mut messages: Vec<Value> = Vec::new();
    for part in story {
        match part {
            Thinking(text) => messages.extend(pieces(text).iter().map(|text| json!({"content": "", "thinking": text}))),
            Text(text) => {
                for (number, text) in pieces(text).into_iter().enumerate() {
                    match messages.last_mut() {
                        Some(last) if style.joins && number == 0 && last.get("tool_calls").is_none() && last["content"] == "" => {
                            last["content"] = text.into();
                        }
                        _ => messages.push(json!({"content": text})),
                    }
                }
            }
            Call(name, arguments) => {
                let call =
                    json!({"id": format!("call_{}{}", style.id, messages.len()), "function": {"name": name, "arguments": arguments}});
                match messages.last_mut() {
                    Some(last) if style.joins && last.get("tool_calls").is_some() => last["tool_calls"].as_array_mut().unwrap().push(call),
                    _ => messages.push(json!({"content": "", "tool_calls": [call]})),
                }
            }
        }
    }
    let mut out = String::new();
    for message in messages {
        let line = json!({"model": "m", "message": message, "done": false});
        out += &(if style.escapes { escaped(&line) } else { line.to_string() } + "\n");
    }
    let end = json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "eval_count": 9});
    out += &format!("{end}\n");
    out.into_bytes()
}

/// The content of lines: thinking, text, and tool calls without their ids.
fn content(lines: &[u8]) -> (String, String, Vec<Value>) {
    let (mut thinking, mut text, mut calls) = (String::new(), String::new(), Vec::new());
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
        let message = if line.get("message").is_some() { &line["message"] } else { &line };
        thinking += message["thinking"].as_str().unwrap_or_default();
        text += message["content"].as_str().or(message["response"].as_str()).unwrap_or_default();
        let said = message["tool_calls"].as_array().cloned().unwrap_or_default();
        calls.extend(said.iter().map(|call| json!([call["function"]["name"], call["function"]["arguments"]])));
    }
    (thinking, text, calls)
}

fn is_beginning(part: &[u8], whole: &[u8]) -> bool {
    let ((thinking, text, calls), (all_thinking, all_text, all_calls)) = (content(part), content(whole));
    all_thinking.starts_with(&thinking) && all_text.starts_with(&text) && all_calls.starts_with(&calls)
}

fn asked() -> Asked {
    Asked::read(Route::Chat, br#"{"model":"m","messages":[{"role":"user","content":"Hello?"}],"tools":[{}]}"#)
}

/// A client with what it got.
struct Client {
    stream: AnswerStream,
    got: Vec<u8>,
}

impl Client {
    fn new(asked: Asked, memory: usize, hold: Hold) -> Self {
        Self { stream: AnswerStream::new(asked, Endpoint::Chat, false, memory, hold), got: Vec::new() }
    }

    /// Sends an attempt's bytes in pieces of this length, and their end.
    fn attempt(&mut self, bytes: &[u8], piece: usize, whole: bool) -> Result<(), Broken> {
        for piece in bytes.chunks(piece.max(1)) {
            self.got.extend_from_slice(&self.stream.take(piece)?);
        }
        self.got.extend_from_slice(&self.stream.end(whole)?.bytes);
        Ok(())
    }
}

fn stories() -> Vec<Vec<Part>> {
    vec![
        vec![Text("Hello there, and goodbye.")],
        vec![Text("Gr\u{fc}\u{df} dich \u{1f600}\u{1f468}\u{200d}\u{1f469}, \"quoted\"\n\t\\ and \u{65e5}\u{672c}")],
        vec![Thinking("It asks. I\u{2019}ll greet."), Text("Hello \u{1f600}!")],
        vec![Call("weather", json!({"city": "Paris", "days": 2}))],
        vec![Text("I look."), Call("weather", json!({"city": "K\u{f6}ln"})), Call("time", json!({}))],
        vec![Thinking("Two tools."), Call("a", json!({"x": [1, {"z": 1, "a": 2}]})), Call("a", json!({"x": [2]}))],
    ]
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_finished_by_a_repeat_with_any_borders_and_escapes() {
    let mut finished = 0;
    for story in stories() {
        for (first, second) in [(0, 0), (0, 1), (1, 0), (2, 1), (0, 2), (3, 0), (2, 3)].map(|(one, other)| (STYLES[one], STYLES[other])) {
            let (cut, repeat) = (lines(&story, first), lines(&story, second));
            let expected = content(&cut);
            assert_eq!(expected, content(&repeat));
            // Each byte, over all pairs of styles.
            for at in (0..cut.len()).filter(|at| first.line == second.line || at % 13 == 0) {
                let piece = [1, 13, usize::MAX][at % 3];
                let mut client = Client::new(asked(), 1 << 16, Hold::Nothing);
                if client.attempt(&cut[..at], piece, false).is_ok() {
                    // All but the last line's end came.
                    assert_eq!(at, cut.len() - 1);
                    continue;
                }
                assert!(is_beginning(&client.got, &cut) && client.got.ends_with(b"\n") != client.got.is_empty());
                client.stream.repeat();
                client.attempt(&repeat, piece, true).unwrap_or_else(|error| panic!("{story:?} {first:?} {second:?} {at}: {error}"));
                assert_eq!(content(&client.got), expected, "{first:?} {second:?}, cut at {at}, pieces of {piece}");
                assert!(String::from_utf8_lossy(&client.got).matches("\"done\":true").count() == 1);
                finished += 1;
            }
        }
    }
    assert!(finished > 3_000, "{finished}");
}

#[test]
fn a_second_cut_during_the_repeat_is_finished_by_a_third_attempt() {
    for story in stories() {
        let (first, second, third) = (lines(&story, STYLES[0]), lines(&story, STYLES[2]), lines(&story, STYLES[1]));
        let expected = content(&first);
        for at in (0..first.len()).step_by(13) {
            for again in (0..second.len()).step_by(11) {
                let mut client = Client::new(asked(), 1 << 16, Hold::Nothing);
                if client.attempt(&first[..at], 17, false).is_ok() {
                    continue;
                }
                client.stream.repeat();
                let before = client.got.len();
                if client.attempt(&second[..again], 11, false).is_err() {
                    assert!(client.got.len() >= before);
                    client.stream.repeat();
                    client.attempt(&third, 7, true).unwrap();
                }
                assert_eq!(content(&client.got), expected, "cuts at {at} and {again}");
            }
        }
    }
}

/// All stories that differ from this one in one place.
fn changed(story: &[Part]) -> Vec<Vec<Part>> {
    let leaked = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mut all = Vec::new();
    for (index, part) in story.iter().enumerate() {
        let with = |part: Part| {
            let mut story = story.to_vec();
            story[index] = part;
            story
        };
        match part {
            Text(text) | Thinking(text) => {
                for (at, sign) in text.char_indices() {
                    let other = if sign == 'q' { 'x' } else { 'q' };
                    let rest = &text[at + sign.len_utf8()..];
                    for text in [format!("{}{other}{rest}", &text[..at]), format!("{}{rest}", &text[..at]), text[..at].to_owned()] {
                        all.push(with(if matches!(part, Text(_)) { Text(leaked(text)) } else { Thinking(leaked(text)) }));
                    }
                }
                let other = if matches!(part, Text(_)) { Thinking(text) } else { Text(text) };
                all.push(with(other));
            }
            Call(name, arguments) => {
                all.push(with(Call("other", arguments.clone())));
                all.push(with(Call(name, json!({"other": 1}))));
                all.push(story[..index].to_vec());
            }
        }
    }
    all
}

#[test]
fn a_repeat_that_differs_anywhere_never_joins_two_texts() {
    let (mut differs, mut other) = (0, 0);
    for story in stories() {
        let first = lines(&story, STYLES[0]);
        for changed in changed(&story) {
            for style in [STYLES[1], STYLES[2]] {
                let second = lines(&changed, style);
                for at in (0..first.len() - 1).step_by(47) {
                    let memory = [1 << 16, 4][at % 2];
                    let mut client = Client::new(asked(), memory, Hold::Nothing);
                    client.attempt(&first[..at], 29, false).unwrap_err();
                    let had = client.got.clone();
                    client.stream.repeat();
                    match client.attempt(&second, 9, true) {
                        // The change comes after the cut: the client has the second server's text.
                        Ok(()) => {
                            assert_eq!(content(&client.got), content(&second), "cut at {at}, {changed:?}");
                            other += 1;
                        }
                        Err(Broken::Differs) => {
                            assert_eq!(client.got, had, "cut at {at}, {changed:?}");
                            assert!(!is_beginning(&had, &second), "cut at {at}, {changed:?}");
                            differs += 1;
                        }
                        Err(Broken::Cut(error)) => {
                            // An answer without content is none.
                            assert!(is_beginning(&client.got, &first) || is_beginning(&client.got, &second), "{error}");
                        }
                    }
                }
            }
        }
    }
    assert!(differs > 200 && other > 200, "{differs} differ, {other} go on");
}

#[test]
fn an_answer_that_is_longer_than_its_memory_is_compared_by_its_hash() {
    let text: &'static str = Box::leak("word \u{e4} ".repeat(3_000).into_boxed_str());
    let story = [Text(text)];
    let (first, second) = (lines(&story, STYLES[0]), lines(&story, STYLES[2]));
    let changed: &'static str = Box::leak(text.replacen("word", "ward", 1_000).replacen("ward", "word", 999).into_boxed_str());
    for memory in [1, 1_000, 1 << 20] {
        for (repeat, is_same) in [(&second, true), (&lines(&[Text(changed)], STYLES[2]), false)] {
            let mut client = Client::new(asked(), memory, Hold::Nothing);
            client.attempt(&first[..first.len() / 2], 1_000, false).unwrap_err();
            client.stream.repeat();
            let came = client.attempt(repeat, 1_500, true);
            assert_eq!(came.is_ok(), is_same, "{memory}: {came:?}");
            assert!(is_same == (content(&client.got).1 == text) && (is_same || is_beginning(&client.got, &first)));
        }
    }
}

#[test]
fn lines_that_are_held_back_are_replaced_by_another_servers() {
    let (first, second) = (lines(&[Text("one two three four")], STYLES[0]), lines(&[Text("one two other")], STYLES[0]));
    let (mut replaced, mut differs) = (0, 0);
    for hold in [Hold::All, Hold::Last(2), Hold::Nothing] {
        let ends = first.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        for (sent, at) in ends.enumerate().map(|(number, at)| (number + 1, at)) {
            let mut client = Client::new(asked(), 1 << 16, hold);
            if at == first.len() {
                client.attempt(&first, 10, true).unwrap();
                assert_eq!(content(&client.got).1, "one two three four");
                continue;
            }
            client.attempt(&first[..at], 10, false).unwrap_err();
            let had = client.got.clone();
            let shown = had.iter().filter(|byte| **byte == b'\n').count();
            let expected = match hold {
                Hold::All => 0,
                Hold::Last(lines) => sent.saturating_sub(lines as usize),
                Hold::Nothing => sent,
            };
            assert_eq!((shown, client.stream.is_fresh()), (expected, expected == 0), "{hold:?}, {at}");
            client.stream.repeat();
            let came = client.attempt(&second, 10, true);
            // Only what the client has must be the same.
            assert_eq!(came.is_ok(), is_beginning(&had, &second), "{hold:?}, {at}: {came:?}");
            if came.is_ok() {
                assert_eq!(content(&client.got).1, "one two other", "{hold:?}, {at}");
                replaced += 1;
            } else {
                assert_eq!(client.got, had, "{hold:?}, {at}");
                differs += 1;
            }
        }
    }
    assert!(replaced > 8 && differs > 3, "{replaced} replaced, {differs} differ");
}

#[test]
fn a_model_that_goes_on_in_other_words_is_judged_by_its_own_answer_and_never_repeated() {
    let first = lines(&[Text("one two ")], STYLES[0]);
    let at = first.len() - lines(&[], STYLES[0]).len();
    let mut client = Client::new(asked(), 1 << 16, Hold::Nothing);
    client.attempt(&first[..at], 10, false).unwrap_err();
    assert_eq!(client.stream.text(), Some("one two "));
    client.stream.go_on();
    client.attempt(&lines(&[Text("drei vier")], STYLES[1])[..50], 10, false).unwrap_err();
    assert!(!client.stream.can_repeat());
    client.stream.go_on();
    client.attempt(&lines(&[Text("drei vier")], STYLES[2]), 10, true).unwrap();
    assert_eq!(content(&client.got).1, "one two drei vier");
    assert_eq!(client.stream.delivered().text, 17);
}

#[test]
fn recorded_streams_are_finished_by_themselves_wherever_they_are_cut() {
    let mut finished = 0;
    for recording in recordings() {
        let route = match recording.request.path.as_str() {
            "/api/chat" => Route::Chat,
            "/api/generate" => Route::Generate,
            _ => continue,
        };
        let asked = Asked::read(route, &recording.request.bytes());
        let Some(body) = recording.body().filter(|body| asked.streamed && body.status == 200 && body.bytes.len() < 6_000) else { continue };
        let fresh = || Client::new(asked.clone(), 1 << 16, Hold::Nothing);
        if fresh().attempt(&body.bytes, usize::MAX, body.ended).is_err() {
            continue;
        }
        for at in (0..body.bytes.len() - 1).step_by(7) {
            let mut client = fresh();
            client.attempt(&body.bytes[..at], 100, false).unwrap_err();
            client.stream.repeat();
            client.attempt(&body.bytes, 100, true).unwrap_or_else(|error| panic!("{}, {at}: {error}", recording.name));
            assert_eq!(content(&client.got), content(&body.bytes), "{}, cut at {at}", recording.name);
            finished += 1;
        }
    }
    assert!(finished > 700, "{finished}");
}

#[test]
fn an_error_line_that_comes_in_pieces_is_read_and_kept_and_the_lines_before_it_are_the_clients() {
    let (line, error) =
        (b"{\"message\":{\"content\":\"Hel\"},\"done\":false}\n".as_slice(), b"{\"error\":\"something is amiss\"}\n".as_slice());
    for at in 0..=20 {
        let mut stream = AnswerStream::new(asked(), Endpoint::Chat, false, 1 << 10, Hold::Nothing);
        let begun = stream.take(&[line, &error[..at]].concat()).unwrap();
        assert_eq!(content(&begun).1, "Hel");
        match stream.take(&error[at..]).unwrap_err() {
            Broken::Cut(cut) => assert!(cut.to_string().contains("something is amiss"), "{at}: {cut}"),
            Broken::Differs => panic!("{at}"),
        }
        assert_eq!(&stream.failed_with()[..], error);
        stream.repeat();
        assert!(stream.failed_with().is_empty());
    }
}

#[test]
fn an_error_event_is_read_wherever_its_bytes_are_split_and_whatever_follows_in_the_same_piece() {
    let request = br#"{"model":"m","messages":[{"role":"user","content":"Hello?"}],"stream":true}"#;
    let body = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n",
        "data: {\"error\":{\"message\":\"something is amiss\"}}\n\n",
        "data: [DONE]\n\n",
    );
    let splits = (0..body.len()).map(|at| vec![&body[..at], &body[at..]]);
    for pieces in splits.chain([body.split_inclusive('\n').collect()]) {
        let mut stream = AnswerStream::new(Asked::read(Route::ChatCompletions, request), Endpoint::Openai, false, 0, Hold::Nothing);
        let failed = pieces.iter().find_map(|piece| stream.take(piece.as_bytes()).err());
        assert!(failed.is_some_and(|failed| failed.to_string().contains("something is amiss")), "{pieces:?}");
    }
}
