//! Answers that are cut after their first content, and finished.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const STORY: &str = "The sky is blue because air scatters short waves of light more than long ones. ";

type End = fn(&mut Line);

/// Ways in which a host's answer breaks.
const ENDS: [(&str, End); 4] = [
    ("its connection closes", Line::close),
    ("it ends without an end", Line::end),
    ("an error line comes", |line| {
        line.line(&json!({ "error": "an error was encountered while running the model: unexpected EOF" }));
        line.end();
    }),
    ("it stalls", Line::gone),
];

/// Short limits, so that a stall is seen soon.
const LIMITS: &str = "[limits]\nbetween_content = \"150ms\"\n";

/// Writes these words of a story, each in a line of its own.
fn words(line: &mut Line, text: &str, most: usize) {
    line.head(NDJSON);
    text.split_inclusive(' ').take(most).for_each(|word| line.line(&piece(word)));
}

/// A host whose answers break after this number of words.
fn cut(most: usize, end: End) -> ModelHost {
    ModelHost::ollama(&["m:latest", "first:latest"], move |_, line| {
        words(line, STORY, most);
        end(line);
    })
}

/// A host that answers with this text, in pieces of this number of letters.
fn whole(text: &'static str, letters: usize) -> ModelHost {
    ModelHost::ollama(&["m:latest", "second:latest"], move |_, line| {
        line.head(NDJSON);
        let signs: Vec<char> = text.chars().collect();
        signs.chunks(letters).for_each(|signs| line.line(&piece(&signs.iter().collect::<String>())));
        line.line(&end());
        line.end();
    })
}

/// Asks until the first of two hosts was asked.
async fn first_asked(gateway: &Gateway, first: &ModelHost, route: Route, body: &Value) -> Answer {
    until(gateway, "/api/tags", "m:latest").await;
    loop {
        let answer = ask(gateway, route.path(), body).await;
        if !first.questions().is_empty() {
            return answer;
        }
    }
}

/// The text that a client of this route reads.
fn read(route: Route, answer: &str) -> String {
    let lines = answer.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |value: Value| match route {
        Route::Chat => value["message"]["content"].as_str().map(str::to_owned),
        Route::ChatCompletions => value["choices"][0]["delta"]["content"].as_str().map(str::to_owned),
        Route::Messages => value["delta"]["text"].as_str().map(str::to_owned),
        _ => value["delta"].as_str().map(str::to_owned),
    };
    values.filter_map(text).collect()
}

/// A gateway that knows the models of both hosts.
async fn pair(first: &ModelHost, second: &ModelHost, tables: &str) -> Gateway {
    let gateway = gateway(&[first, second], tables);
    for model in ["first:latest", "second:latest"] {
        until(&gateway, "/api/tags", model).await;
    }
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_in_the_middle_is_finished_by_another_host_in_each_protocol() {
    for (name, end) in ENDS {
        for route in ROUTES {
            let (first, second) = (cut(6, end), whole(STORY, 7));
            let gateway = pair(&first, &second, LIMITS).await;
            let answer = first_asked(&gateway, &first, route, &question(route, "m", true)).await;
            let shown = format!("{name}, {}: {}", route.path(), answer.text);
            assert!(answer.whole && !answer.text.contains("error\":{"), "{shown}");
            assert_eq!(read(route, &answer.text), STORY, "{shown}");
            let seeds: Vec<_> = [&first, &second].map(|host| host.questions().last().unwrap().json()["options"]["seed"].clone()).to_vec();
            assert!(seeds[0].is_u64() && seeds[0] == seeds[1], "{shown}: {seeds:?}");
            let metrics = got(&gateway, "/metrics").await;
            assert!(metrics.contains("upright_gateway_rescues_total{outcome=\"finished\"} 1"), "{metrics}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_with_another_text_ends_in_an_error_and_is_never_joined_to_the_first() {
    for other in ["The sky is green", "The sky", "Grass", "The sky is blue because, however, it is."] {
        for route in ROUTES {
            let (first, second) = (cut(6, Line::close), whole(other, 3));
            let gateway = pair(&first, &second, "").await;
            let answer = first_asked(&gateway, &first, route, &question(route, "m", true)).await;
            let shown = format!("{other}, {}: {}", route.path(), answer.text);
            assert!(!answer.whole && answer.text.contains("error"), "{shown}");
            assert_eq!(read(route, &answer.text), "The sky is blue because air ", "{shown}");
            let metrics = got(&gateway, "/metrics").await;
            assert!(metrics.contains("upright_gateway_rescue_differences_total 1"), "{metrics}");
            assert!(metrics.contains("upright_gateway_rescues_total{outcome=\"failed\"} 1"), "{metrics}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_alone_is_asked_again_after_a_pause() {
    for (name, end) in ENDS {
        let asked = AtomicUsize::new(0);
        let host = ModelHost::ollama(&["m:latest"], move |_, line| {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                words(line, STORY, 4);
                return end(line);
            }
            words(line, STORY, usize::MAX);
            line.line(&super::end());
            line.end();
        });
        let gateway = gateway(&[&host], LIMITS);
        let answer = first_asked(&gateway, &host, Route::Chat, &question(Route::Chat, "m", true)).await;
        assert!(answer.whole && answer.said() == STORY, "{name}: {}", answer.text);
        assert_eq!(host.questions().len(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_is_sent_only_where_neither_the_caller_nor_the_models_file_fixes_the_answer() {
    let own = |parameters: &'static str| {
        ModelHost::start(move |asked, line| match asked.target.as_str() {
            "GET /api/version" => line.json(200, &json!({ "version": "0.33.0" })),
            "GET /api/tags" | "GET /api/ps" => line.json(200, &upright_test_kit::model_host::listed(&["m:latest"])),
            "POST /api/show" => line.json(200, &json!({ "parameters": parameters })),
            _ => says(asked, line, "Yes."),
        })
    };
    let with = |options: Value| {
        let mut body = question(Route::Chat, "m", true);
        body["options"] = options;
        body
    };
    for (parameters, options, tables, expected) in [
        ("", json!({}), "", None),
        ("temperature 0.7", json!({ "temperature": 0.8 }), "", None),
        ("", json!({}), "[replay]\nseed = false\n", Some(Value::Null)),
        ("", json!({}), "[replay]\nenabled = false\n", Some(Value::Null)),
        ("", json!({ "seed": 5 }), "", Some(json!(5))),
        ("", json!({ "temperature": 0 }), "", Some(Value::Null)),
        ("seed 42", json!({}), "", Some(Value::Null)),
        ("temperature 0", json!({}), "", Some(Value::Null)),
        ("temperature 0", json!({ "temperature": 0.5 }), "", None),
    ] {
        let host = own(parameters);
        let gateway = gateway(&[&host], tables);
        let shown = format!("{parameters:?} {options} {tables:?}");
        let answer = first_asked(&gateway, &host, Route::Chat, &with(options)).await;
        assert!(answer.whole, "{shown}: {}", answer.text);
        let seed = host.questions()[0].json()["options"]["seed"].clone();
        assert!(expected.as_ref().map_or(seed.as_u64() > Some(0), |expected| *expected == seed), "{shown}: {seed}");
        // The card of one digest is read once.
        for _ in 0..2 {
            ask(&gateway, "/api/chat", &with(json!({}))).await;
        }
        assert!(host.count("POST /api/show") <= 1, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_repeat_is_not_asked_for_again() {
    for tables in ["[replay]\nseed = false\n", "[replay]\nenabled = false\n"] {
        let (first, second) = (cut(6, Line::close), whole(STORY, 7));
        let gateway = pair(&first, &second, tables).await;
        let (answer, before) = loop {
            let before = second.questions().len();
            let answer = ask(&gateway, "/api/chat", &question(Route::Chat, "m", true)).await;
            if !first.questions().is_empty() {
                break (answer, before);
            }
        };
        assert!(!answer.whole && answer.text.contains("\"error\""), "{tables}: {}", answer.text);
        assert_eq!((first.questions().len(), second.questions().len()), (1, before), "{tables}");
        let asked = [first.questions(), second.questions()].concat();
        assert!(asked.iter().all(|asked| asked.json()["options"]["seed"].is_null()), "{tables}");
    }
}

/// Asks with a header.
async fn with_header(gateway: &Gateway, route: Route, name: &str, value: &str) -> (u16, String, bool) {
    let request = reqwest::Client::new().post(url(gateway, route.path())).json(&question(route, "m", true));
    let mut response = request.header(name, value).send().await.unwrap();
    let (status, mut bytes) = (response.status().as_u16(), Vec::new());
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            end => return (status, String::from_utf8(bytes).unwrap(), end.is_ok()),
        }
    }
}

/// Asks with a header until the first host was asked: the text of the answer, and whether it came to its end.
async fn first_asked_with(gateway: &Gateway, first: &ModelHost, route: Route, name: &str, value: &str) -> (String, bool) {
    loop {
        let (_, text, whole) = with_header(gateway, route, name, value).await;
        if !first.questions().is_empty() {
            return (text, whole);
        }
    }
}

/// A value that the header does not have is refused with those that it has.
async fn refuses(name: &str, value: &str, known: &str) {
    let host = whole(STORY, 7);
    let gateway = gateway(&[&host], "");
    let (status, text, _) = with_header(&gateway, Route::Chat, name, value).await;
    assert!(status == 400 && text.contains(value) && text.contains(known), "{status} {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_wish_that_a_differing_answer_goes_on_or_begins_again_and_is_told_where() {
    for (route, wish, mark) in [
        (Route::Chat, "continue", "{\"upright\":\"continued\",\"done\":false}\n"),
        (Route::Chat, "restart", "{\"upright\":\"restarted\",\"done\":false}\n"),
        (Route::ChatCompletions, "continue", ": upright continued\n\n"),
        (Route::ChatCompletions, "restart", ": upright restarted\n\n"),
        (Route::Messages, "continue", ": upright continued\n\n"),
    ] {
        let (first, second) = (cut(6, Line::close), whole("Grass is green. ", 3));
        let gateway = pair(&first, &second, "").await;
        let (text, whole) = first_asked_with(&gateway, &first, route, "x-upright-on-difference", wish).await;
        let shown = format!("{}, {wish}: {text}", route.path());
        let (before, after) = text.split_once(mark).unwrap_or_else(|| panic!("{shown}"));
        assert!(whole && read(route, before) == "The sky is blue because air " && read(route, after) == "Grass is green. ", "{shown}");
        let last = second.questions().last().unwrap().json();
        let goes_on = json!({ "role": "assistant", "content": "The sky is blue because air " });
        assert_eq!(last["messages"].as_array().unwrap().last() == Some(&goes_on), wish == "continue", "{last}");
    }
    refuses("x-upright-on-difference", "guess", "restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_does_not_begin_again_in_a_protocol_that_cannot_say_so() {
    for route in [Route::Messages, Route::Responses] {
        let (first, second) = (cut(6, Line::close), whole("Grass is green. ", 3));
        let gateway = pair(&first, &second, "").await;
        let (text, whole) = first_asked_with(&gateway, &first, route, "x-upright-on-difference", "restart").await;
        assert!(!whole && text.contains("error") && !text.contains("Grass"), "{}: {text}", route.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_within_what_is_held_back_is_unseen_even_if_the_other_answer_differs() {
    for (hold, is_whole) in [("all", true), ("8", true), ("2", false)] {
        let (first, second) = (cut(6, Line::close), whole("Grass is green. ", 3));
        let gateway = pair(&first, &second, "").await;
        let (text, whole) = first_asked_with(&gateway, &first, Route::Chat, "x-upright-hold", hold).await;
        assert_eq!(whole, is_whole, "{hold}: {text}");
        let expected = if is_whole { "Grass is green. " } else { "The sky is blue " };
        assert_eq!(read(Route::Chat, &text), expected, "{hold}");
    }
    refuses("x-upright-hold", "some", "all").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_a_repeat_frees_the_second_hosts_place() {
    let (first, gate) = (cut(6, Line::close), Gate::default());
    let of_second = gate.clone();
    let second = ModelHost::ollama(&["m:latest", "second:latest"], move |_, line| {
        words(line, STORY, 3);
        of_second.open();
        line.gone();
    });
    let gateway = pair(&first, &second, "").await;
    loop {
        let mut response =
            reqwest::Client::new().post(url(&gateway, "/api/chat")).json(&question(Route::Chat, "m", true)).send().await.unwrap();
        if first.questions().is_empty() {
            continue;
        }
        response.chunk().await.unwrap();
        gate.pass();
        break;
    }
    upright_test_kit::wait::until("the second host's connection is closed", async || second.open() == 0).await;
    until(&gateway, "/metrics", "upright_gateway_open_requests 0").await;
}

/// Streams of a real Ollama whose engine, or which itself, broke in the middle.
const RECORDED: [&str; 13] = [
    "cut",
    "ends-early",
    "error-event",
    "inner-cut",
    "inner-ends-early",
    "inner-error-event",
    "inner-killed-chat-stream",
    "inner-killed-generate-stream",
    "ollama-killed-chat-stream",
    "g-inner-cut",
    "g-inner-ends-early",
    "g-inner-error-event",
    "old-inner-killed-generate-stream",
];

/// A host that answers with the content of a recording, and these words and an end after it.
fn tells(recording: &'static upright_recordings::Recording, repeats: bool, words: &'static str) -> ModelHost {
    ModelHost::ollama(&["m:latest", "second:latest"], move |asked, line| {
        line.head(NDJSON);
        let body = String::from_utf8(recording.body().unwrap().bytes).unwrap();
        let lines = body.lines().filter(|line| repeats && !line.contains("{\"error\""));
        lines.for_each(|recorded| line.piece(format!("{recorded}\n")));
        let is_chat = asked.target.ends_with("/api/chat");
        let say = |text: &str, done: bool| {
            let message = if is_chat { json!({ "message": { "content": text } }) } else { json!({ "response": text }) };
            let mut line = json!({ "model": "m", "done": done, "done_reason": done.then_some("stop") });
            line.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
            line
        };
        line.line(&say(words, false));
        line.line(&say("", true));
        line.end();
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_cuts_of_a_real_ollama_are_finished_by_the_same_story_and_end_in_an_error_with_another() {
    let (mut finished, mut failed) = (0, 0);
    for name in RECORDED {
        let recording = upright_recordings::named(name);
        let routes = if recording.request.path == "/api/chat" { &ROUTES[..] } else { &[Route::Generate] };
        for route in routes {
            for repeats in [true, false] {
                let first = ModelHost::ollama(&["m:latest", "first:latest"], move |_, line| {
                    line.send(&recording.answer);
                    line.close();
                });
                let second = tells(recording, repeats, "and-the-end");
                let gateway = pair(&first, &second, "").await;
                let answer = first_asked(&gateway, &first, *route, &question(*route, "m", true)).await;
                let shown = format!("{name}, {}, repeats {repeats}: {}", route.path(), answer.text);
                assert_eq!(answer.whole, repeats, "{shown}");
                assert_eq!(answer.text.matches("and-the-end").count() > 0, repeats, "{shown}");
                assert!(repeats || answer.text.contains("error"), "{shown}");
                if repeats { finished += 1 } else { failed += 1 }
            }
        }
    }
    println!("{finished} finished, {failed} ended in an error");
    assert_eq!((finished, failed), (37, 37));
}
