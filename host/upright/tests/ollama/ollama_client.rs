//! The client against replayed Ollama failures and scripted bytes.

use futures_util::future::join;
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use std::pin::{Pin, pin};
use std::time::Duration;
use upright::RetryStrategy;
use upright::clock::{SharedClock, SystemClock};
use upright::ollama::{BaseUrl, ChatChunk, ChatRequest, Cut, Empty, OllamaClient, OllamaError, Timeout};
use upright::testing::DrivenClock;
use upright::types::{Endpoint, FaultKind};
use upright_simulator::{Behaviour, Body, FaultServer, HEALTHY_STEP, Match, ROWS, Row};
use upright_test_kit::scripted::{self, Scripted, Series, Then, no_such_name, nobody};
use upright_test_kit::wait::within;

fn client_at(address: BaseUrl, clock: SharedClock) -> OllamaClient {
    OllamaClient::builder(address).clock(clock).build().unwrap()
}

fn client(server: &FaultServer) -> OllamaClient {
    client_at(server.url().parse().unwrap(), SystemClock::shared())
}

const CHAT: &str = "/api/chat";
const LOOK: [u64; 1] = [10];

async fn server_with(row: &str) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    server.always(Match::path("/api/ps"), HEALTHY_STEP).unwrap();
    server.always(Match::any(), row).unwrap();
    server
}

fn chats(server: &FaultServer) -> Vec<Value> {
    server.requests().into_iter().filter(|seen| seen.path == CHAT).map(|seen| seen.body).collect()
}

fn ask() -> ChatRequest {
    ChatRequest::ask("qwen3:8b", "one two three four five six")
}

async fn drain<E>(stream: impl Stream<Item = Result<ChatChunk, E>>) -> (Vec<ChatChunk>, Option<E>) {
    let mut stream = pin!(stream);
    let mut chunks = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(chunk) => chunks.push(chunk),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the last item");
                return (chunks, Some(error));
            }
        }
    }
    (chunks, None)
}

fn text(chunks: &[ChatChunk]) -> String {
    chunks.iter().map(|chunk| chunk.message.content.as_str()).collect()
}

fn tokens_before_the_end(row: &str) -> usize {
    match Row::find(row).unwrap().behaviour {
        Behaviour::StreamThenErrorLine { after_tokens }
        | Behaviour::StreamThenCleanEnd { after_tokens }
        | Behaviour::StreamThenReset { after_tokens }
        | Behaviour::StreamThenAbort { after_tokens }
        | Behaviour::StreamThenStall { after_tokens } => after_tokens,
        other => panic!("{row} is {other:?}"),
    }
}

#[tokio::test]
async fn a_healthy_server_answers_every_call() {
    let server = FaultServer::start().await.unwrap();
    let client = client(&server);
    client.is_running().await.unwrap();
    assert_eq!(client.version().await.unwrap(), upright_simulator::VERSION);
    let models = client.tags().await.unwrap();
    assert!(models.iter().any(|model| model.name == "qwen3:8b" && model.digest.len() == 64 && model.size > 0));
    assert_eq!(client.loaded().await.unwrap(), []);
    let answer = client.chat(ask()).await.unwrap();
    assert!(answer.message.content.ends_with("five six"), "{answer:?}");
    assert!(answer.timings.total_duration.is_some() && answer.timings.eval_count.is_some());
    assert_eq!(client.loaded().await.unwrap()[0].name, "qwen3:8b");
    assert_eq!(client.embed("nomic-embed-text", &["a", "b"]).await.unwrap().embeddings.len(), 2);
}

#[tokio::test]
async fn a_stream_gives_its_pieces_and_ends_with_the_figures() {
    let server = FaultServer::start().await.unwrap();
    let whole = client(&server).chat(ask()).await.unwrap();
    let (chunks, error) = drain(client(&server).chat_stream(ask())).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text(&chunks), whole.message.content);
    let (last, others) = chunks.split_last().unwrap();
    assert!(others.len() > 5 && others.iter().all(|chunk| !chunk.done));
    assert!(last.done && last.timings.eval_duration.is_some());
    assert!(last.line.starts_with(b"{") && last.line.ends_with(b"}"), "the line as it came");
    assert_eq!(chats(&server)[1]["stream"], true);
}

#[tokio::test]
async fn a_request_carries_what_was_set_and_nothing_else() {
    let server = FaultServer::start().await.unwrap();
    client(&server).chat(ask()).await.unwrap();
    let mut request = ask();
    request.options.insert("num_ctx".into(), json!(4096));
    request.think = Some(json!("low"));
    request.keep_alive = Some(json!("5m"));
    client(&server).chat(request).await.unwrap();
    let messages = json!([{"role": "user", "content": "one two three four five six"}]);
    let [plain, full] = chats(&server).try_into().unwrap();
    assert_eq!(plain, json!({"model": "qwen3:8b", "messages": messages, "truncate": false, "stream": false}));
    let options = json!({"num_ctx": 4096});
    let mut expected = json!({"model": "qwen3:8b", "messages": messages, "options": options, "think": "low", "keep_alive": "5m"});
    expected["truncate"] = false.into();
    expected["stream"] = false.into();
    assert_eq!(full, expected);
}

#[tokio::test]
async fn the_servers_own_words_come_through_from_every_error() {
    let server = FaultServer::start().await.unwrap();
    let rows = ROWS.iter().filter(|row| row.status != 200 && row.behaviour == Behaviour::Answer && row.endpoints.contains(&"/api/chat"));
    let mut seen = 0;
    for row in rows {
        seen += 1;
        server.plan(Match::path(CHAT), &[row.name, row.name]).unwrap();
        let whole = client(&server).chat(ask()).await.unwrap_err();
        let (chunks, streamed) = drain(client(&server).chat_stream(ask())).await;
        assert_eq!(chunks, []);
        for error in [whole, streamed.unwrap()] {
            let fault = error.fault();
            assert_eq!(
                (fault.kind, fault.status, fault.endpoint),
                (FaultKind::HttpStatus, Some(row.status), Endpoint::Chat),
                "{}",
                row.name
            );
            match row.body {
                Body::InnerJson(_) => {
                    assert_eq!(fault.message, "request (5120 tokens) exceeds the available context size (4096 tokens), try increasing it")
                }
                Body::Plain(text) => assert_eq!(fault.message, text.trim(), "{}", row.name),
                body => assert_eq!(fault.message, body.text().trim(), "{}", row.name),
            }
        }
    }
    assert!(seen > 20, "{seen} rows");
}

#[tokio::test]
async fn every_failure_of_a_chat_is_classified_as_the_table_expects() {
    let server = FaultServer::start().await.unwrap();
    let waits = [Behaviour::HangBeforeHeaders, Behaviour::ColdLoad, Behaviour::SlowDrip];
    let rows = ROWS.iter().filter(|row| row.endpoints.contains(&"/api/chat") && row.name != "html-page");
    for row in rows.filter(|row| !waits.contains(&row.behaviour) && !matches!(row.behaviour, Behaviour::StreamThenStall { .. })) {
        server.plan(Match::path(CHAT), &[row.name]).unwrap();
        let (_, error) = drain(client(&server).chat_stream(ask())).await;
        let found = upright_logic::classifier::classify(&error.unwrap_or_else(|| panic!("{} is no failure", row.name)).fault());
        assert_eq!((found.category.name(), found.retryable), (row.expect.category, row.expect.retryable), "{}", row.name);
    }
}

#[tokio::test]
async fn a_server_says_how_long_to_wait_in_seconds_or_as_a_date() {
    for row in ["rate-limited-retry-after", "rate-limited-retry-after-date"] {
        let server = server_with(row).await;
        let fault = client(&server).chat(ask()).await.unwrap_err().fault();
        let seconds = fault.retry_after.unwrap();
        assert!((0.0..=2.0).contains(&seconds) && (row.ends_with("date") || seconds == 2.0), "{row}: {seconds}");
    }
}

#[tokio::test]
async fn a_server_says_where_to_sign_in() {
    let row = ROWS.iter().find(|row| matches!(row.body, Body::NativeJsonWith(..))).unwrap();
    let server = server_with(row.name).await;
    let error = client(&server).chat(ask()).await.unwrap_err();
    assert!(
        matches!(&error, OllamaError::Status { fault, .. } if fault.points_to.as_ref().is_some_and(|url| url.starts_with("https://"))),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_error_line_in_a_stream_is_an_error() {
    let server = server_with("stream-error-line").await;
    let (chunks, error) = drain(client(&server).chat_stream(ask())).await;
    assert_eq!(chunks.len(), tokens_before_the_end("stream-error-line"));
    let fault = error.unwrap().fault();
    assert_eq!(fault.kind, FaultKind::StreamError);
    assert_eq!(fault.message, "an error was encountered while running the model: unexpected EOF");
}

#[tokio::test]
async fn an_error_beside_done_is_an_error() {
    let died = br#"{"message":{"content":""},"done":true,"done_reason":"error","error":"Connection error."}"#;
    let wordless = br#"{"message":{"content":"half"},"done":true,"done_reason":"error"}"#;
    for (body, words) in [(&died[..], "Connection error."), (&wordless[..], "\"error\"")] {
        let says_so = |error: &OllamaError| matches!(error, OllamaError::InStream { message, .. } if message.contains(words));
        let server = Scripted::body("200 OK", &[body, b"\n"], Then::Close).await;
        let (_, error) = drain(client_at(server.address.clone(), SystemClock::shared()).chat_stream(ask())).await;
        assert!(error.as_ref().is_some_and(says_so), "{error:?}");
        let server = Scripted::body("200 OK", &[body], Then::Close).await;
        let error = client_at(server.address.clone(), SystemClock::shared()).chat(ask()).await.unwrap_err();
        assert!(says_so(&error), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_field_that_says_nothing_is_none() {
    let body = br#"{"message":{"role":"assistant","content":"whole"},"done":true,"done_reason":"stop","error":""}"#;
    let server = Scripted::body("200 OK", &[body, b"\n"], Then::Close).await;
    let (chunks, error) = drain(client_at(server.address.clone(), SystemClock::shared()).chat_stream(ask())).await;
    assert!(error.is_none() && text(&chunks) == "whole", "{error:?}");
}

#[tokio::test]
async fn a_stream_that_just_ends_is_incomplete() {
    let server = server_with("stream-clean-end").await;
    let (chunks, error) = drain(client(&server).chat_stream(ask())).await;
    let characters = text(&chunks).chars().count();
    let error = error.unwrap();
    assert!(matches!(error, OllamaError::Incomplete { why: Cut::NoDone, .. }), "{error:?}");
    assert_eq!(error.exchange().map(|exchange| exchange.judgement.characters()), Some(characters as u64));
    assert_eq!(error.fault().kind, FaultKind::IncompleteAnswer);
}

#[tokio::test]
async fn a_whole_answer_that_is_not_done_is_incomplete() {
    let server = server_with("done-false").await;
    let error = client(&server).chat(ask()).await.unwrap_err();
    assert!(matches!(error, OllamaError::Incomplete { why: Cut::DoneFalse, .. }), "{error:?}");
    assert!(error.exchange().is_some_and(|exchange| exchange.judgement.characters() > 0));
}

#[tokio::test]
async fn an_answer_that_only_moved_the_model_is_none_unless_that_was_asked() {
    for row in ["load-reason", "unload-reason"] {
        let server = server_with(row).await;
        let (_, streamed) = drain(client(&server).chat_stream(ask())).await;
        for error in [client(&server).chat(ask()).await.unwrap_err(), streamed.unwrap()] {
            assert!(matches!(error, OllamaError::EmptyAnswer { why: Empty::OnlyMoved, .. }), "{row}: {error:?}");
        }
        let load = ChatRequest { model: "qwen3:8b".into(), ..ChatRequest::default() };
        client(&server).chat(load.clone()).await.unwrap();
        assert!(drain(client(&server).chat_stream(load)).await.1.is_none());
    }
}

#[tokio::test]
async fn a_broken_connection_is_one_wherever_it_breaks() {
    for row in ["reset-before-headers", "stream-reset", "stream-abort"] {
        let server = server_with(row).await;
        let (_, streamed) = drain(client(&server).chat_stream(ask())).await;
        for error in [client(&server).chat(ask()).await.unwrap_err(), streamed.unwrap()] {
            assert_eq!(error.fault().kind, FaultKind::ConnectionReset, "{row}: {error}");
        }
    }
}

#[tokio::test]
async fn nobody_listening_an_unknown_name_and_another_protocol_are_distinguished() {
    let kind = async |address| client_at(address, SystemClock::shared()).tags().await.unwrap_err().fault().kind;
    assert_eq!(kind(nobody().await).await, FaultKind::ConnectionRefused);
    assert_eq!(kind(no_such_name()).await, FaultKind::Dns);
    let banner = Scripted::start(vec![b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()], Then::Close).await;
    assert_eq!(kind(banner.address.clone()).await, FaultKind::InvalidAnswer);
    let page = server_with("html-page").await;
    assert_eq!(kind(page.url().parse().unwrap()).await, FaultKind::InvalidAnswer);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_refused_connection_has_its_error_number() {
    let error = client_at(nobody().await, SystemClock::shared()).version().await.unwrap_err();
    assert_eq!(error.fault().errno, Some(111));
}

#[tokio::test]
async fn a_page_that_says_hello_is_no_ollama() {
    let server = server_with("html-page").await;
    let error = client(&server).is_running().await.unwrap_err();
    assert!(matches!(&error, OllamaError::InvalidAnswer { found, .. } if found.contains("Sign in")), "{error:?}");
}

#[tokio::test]
async fn a_load_may_take_long_and_is_not_aborted() {
    let server = server_with("cold-load").await;
    let clock = DrivenClock::new();
    let client = client_at(server.url().parse().unwrap(), clock.shared());
    let patience = async {
        server.wait_for("/api/chat", 1).await;
        clock.advance(Duration::from_secs(599));
        server.release_loads();
    };
    let (answer, ()) = within(join(client.chat(ask()), patience)).await;
    answer.unwrap();
    assert_eq!(server.loads_aborted(), 0);
}

#[tokio::test]
async fn a_load_that_takes_too_long_is_a_timeout_of_the_load() {
    let server = server_with("hang-before-headers").await;
    let clock = DrivenClock::new();
    let client = client_at(server.url().parse().unwrap(), clock.shared());
    for streamed in [false, true] {
        let call = async {
            match streamed {
                false => client.chat(ask()).await.unwrap_err(),
                true => drain(client.chat_stream(ask())).await.1.unwrap(),
            }
        };
        let patience = async {
            server.wait_for("/api/chat", 1 + usize::from(streamed)).await;
            clock.advance(Duration::from_secs(600));
        };
        let (error, ()) = within(join(call, patience)).await;
        assert!(matches!(error, OllamaError::Timeout { timeout: Timeout::Load, .. }), "{error:?}");
        assert_eq!(error.fault().kind, FaultKind::Timeout);
    }
}

async fn next_after<S: Stream>(stream: Pin<&mut S>, clock: &DrivenClock, span: Duration) -> Option<S::Item> {
    let mut stream = stream;
    within(join(stream.next(), async { clock.advance(span) })).await.0
}

#[tokio::test]
async fn a_stream_that_stalls_is_a_timeout_of_the_token_that_does_not_come() {
    for (row, expected) in [("stall-before-first-token", Timeout::FirstToken), ("stream-stall", Timeout::BetweenTokens)] {
        let server = server_with(row).await;
        let clock = DrivenClock::new();
        let client = client_at(server.url().parse().unwrap(), clock.shared());
        let mut stream = pin!(client.chat_stream(ask()));
        let tokens = tokens_before_the_end(row);
        for _ in 0..tokens {
            stream.next().await.unwrap().unwrap();
        }
        if tokens == 0 {
            let begun = async {
                while clock.waits().len() < 2 + LOOK.len() {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_secs(120));
            };
            let (item, ()) = within(join(stream.next(), begun)).await;
            assert!(matches!(item, Some(Err(OllamaError::Timeout { timeout: Timeout::FirstToken, .. }))), "{item:?}");
            continue;
        }
        let item = next_after(stream.as_mut(), &clock, Duration::from_secs(120)).await.unwrap();
        assert!(matches!(item, Err(OllamaError::Timeout { timeout, .. }) if timeout == expected), "{row}: {item:?}");
    }
}

#[tokio::test]
async fn dripped_white_space_is_no_token() {
    let server = server_with("slow-drip").await;
    let clock = DrivenClock::new();
    let client = client_at(server.url().parse().unwrap(), clock.shared());
    let drip = async {
        while clock.waits().len() < 2 + LOOK.len() {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(120));
    };
    let ((_, error), ()) = within(join(drain(client.chat_stream(ask())), drip)).await;
    let error = error.unwrap();
    assert!(matches!(error, OllamaError::Timeout { timeout: Timeout::FirstToken, .. }), "{error:?}");
    let waits = [&LOOK[..], &[600, 120]].concat();
    assert_eq!(
        clock.waits(),
        waits.into_iter().map(Duration::from_secs).collect::<Vec<_>>(),
        "one wait for the headers, one for the token"
    );
}

#[tokio::test]
async fn letters_that_are_cut_between_packets_stay_whole() {
    let body =
        "{\"message\":{\"role\":\"assistant\",\"content\":\"日本\"},\"done\":false}\n{\"message\":{\"content\":\"é\"},\"done\":true}\n";
    let pieces: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let server = Scripted::body("200 OK", &pieces, Then::Close).await;
    let (chunks, error) = drain(client_at(server.address.clone(), SystemClock::shared()).chat_stream(ask())).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text(&chunks), "日本é");
}

#[tokio::test]
async fn a_last_line_needs_no_end_but_must_be_whole() {
    let scripted = async |body: &str| {
        let server = Scripted::body("200 OK", &[body.as_bytes()], Then::Close).await;
        drain(client_at(server.address.clone(), SystemClock::shared()).chat_stream(ask())).await
    };
    let (chunks, error) = scripted("{\"message\":{\"content\":\"a\"},\"done\":true}").await;
    assert!(error.is_none() && chunks.len() == 1, "{error:?}");
    let (_, error) = scripted("{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"message\":{\"con").await;
    let error = error.unwrap();
    assert!(matches!(error, OllamaError::Incomplete { why: Cut::WithinLine, .. }), "{error:?}");
    assert_eq!(error.exchange().map(|exchange| exchange.judgement.characters()), Some(1));
    for strange in ["<html></html>\n", "{\"done\":\"yes\"}\n", "[]\n", "{}\n"] {
        let (_, error) = scripted(strange).await;
        let error = error.unwrap();
        assert!(matches!(error, OllamaError::InvalidAnswer { .. }), "{strange}: {error:?}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_given_up() {
    let long = vec![b' '; 1 << 20];
    let pieces = vec![long.as_slice(); 10];
    let server = Scripted::body("200 OK", &pieces, Then::Hang).await;
    let (_, error) = within(drain(client_at(server.address.clone(), SystemClock::shared()).chat_stream(ask()))).await;
    let error = error.unwrap();
    assert!(matches!(&error, OllamaError::InvalidAnswer { found, .. } if found.contains("8 MiB")), "{error:?}");
}

#[tokio::test]
async fn an_error_keeps_its_status_when_its_body_never_ends() {
    let server = Scripted::body("503 Service Unavailable", &[b"server busy"], Then::Hang).await;
    let clock = DrivenClock::new();
    let client = client_at(server.address.clone(), clock.shared());
    let patience = async {
        while clock.waits().len() < 2 + LOOK.len() {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(10));
    };
    let (error, ()) = within(join(client.chat(ask()), patience)).await;
    assert_eq!(error.unwrap_err().fault().status, Some(503));
}

#[tokio::test]
async fn of_a_huge_error_only_the_beginning_is_read() {
    let page = vec![b'x'; 1 << 20];
    let server = Scripted::body("500 Internal Server Error", &[&page, &page], Then::Hang).await;
    let error = within(client_at(server.address.clone(), SystemClock::shared()).tags()).await.unwrap_err();
    assert_eq!(error.fault().message.len(), upright_core::fault::MESSAGE_LIMIT);
}

#[tokio::test]
async fn a_redirect_is_not_followed_but_reported() {
    let head = b"HTTP/1.1 308 Permanent Redirect\r\nlocation: https://example.org/\r\ncontent-length: 0\r\n\r\n".to_vec();
    let server = Scripted::start(vec![head], Then::Close).await;
    let error = client_at(server.address.clone(), SystemClock::shared()).tags().await.unwrap_err();
    assert_eq!(error.fault().message, "it redirects to https://example.org/");
}

#[tokio::test]
async fn a_prefix_of_the_address_is_kept() {
    let server = Scripted::body("200 OK", &[b"{\"models\":null}"], Then::Close).await;
    let address = format!("{}/team/ollama", server.address).parse().unwrap();
    assert_eq!(client_at(address, SystemClock::shared()).tags().await.unwrap(), []);
    assert!(server.request().await.starts_with("GET /team/ollama/api/tags HTTP/1.1\r\n"));
}

#[cfg(not(feature = "tls"))]
#[test]
fn an_address_that_needs_tls_is_refused_at_once_in_a_build_without() {
    let error = OllamaClient::new("https://example.org".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("feature `tls`"), "{error}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_without_tls_is_reported_as_such() {
    let server = FaultServer::start().await.unwrap();
    let address = server.url().replace("http:", "https:").parse().unwrap();
    let error = client_at(address, SystemClock::shared()).tags().await.unwrap_err();
    assert_eq!(error.fault().kind, FaultKind::Tls, "{error}");
}

fn strategy() -> RetryStrategy {
    RetryStrategy::builder().name("chat").max_retries(2).base_delay(Duration::ZERO).jitter(false).build().unwrap()
}

fn seeded() -> ChatRequest {
    let mut request = ask();
    request.options.insert("seed".to_owned(), 42.into());
    request
}

async fn drain_with(client: &OllamaClient, request: ChatRequest) -> (Vec<ChatChunk>, Option<upright::error::Error>) {
    drain(client.chat_stream_with(&strategy(), request)).await
}

#[tokio::test]
async fn a_streamed_answer_that_is_cut_is_finished_by_a_repeat_if_its_seed_is_fixed() {
    let expected = client(&FaultServer::start().await.unwrap()).chat(ask()).await.unwrap().message.content;
    for row in ["stream-error-line", "stream-clean-end", "stream-reset", "stream-abort"] {
        for (request, is_finished) in [(seeded(), true), (ask(), false)] {
            let server = FaultServer::start().await.unwrap();
            server.plan(Match::path(CHAT), &[row, row]).unwrap();
            let (chunks, error) = drain_with(&client(&server), request).await;
            let shown = format!("{row}: {:?} {error:?}", text(&chunks));
            if is_finished {
                assert!(error.is_none() && text(&chunks) == expected && chunks.last().unwrap().done, "{shown}");
                assert_eq!((chats(&server).len(), chunks.iter().filter(|chunk| chunk.done).count()), (3, 1), "{shown}");
            } else {
                // Of a reset, the content before it may be lost: then the caller has nothing, and a repeat is free.
                let is_whole = error.is_none();
                assert!(expected.starts_with(&text(&chunks)) && (is_whole || chats(&server).len() < 3), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_repeat_of_a_streamed_answer_in_other_words_is_an_error() {
    let answer = |words: &[&str], ends: bool| {
        let line = |text: &str, done: bool| json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": done});
        let mut lines: String = words.iter().map(|word| format!("{}\n", line(word, false))).collect();
        if ends {
            lines += &format!("{}\n", line("", true));
        }
        lines
    };
    for (second, is_same) in [(["The sky", " is", " blue"], true), (["The sea", " is", " blue"], false)] {
        let series = [answer(&["The ", "sky "], false), answer(&second, true)];
        let server = Series::start(series.iter().map(|lines| scripted::answer(200, "", lines)).collect()).await;
        let (chunks, error) = drain_with(&client_at(server.address.clone(), SystemClock::shared()), seeded()).await;
        assert_eq!((text(&chunks).as_str(), error.is_none()), (if is_same { "The sky is blue" } else { "The sky " }, is_same));
    }
}

#[tokio::test]
async fn an_attempt_of_a_streamed_answer_ends_with_its_time_and_the_next_one_finishes_it() {
    let server = FaultServer::start().await.unwrap();
    let expected = client(&server).chat(ask()).await.unwrap().message.content;
    server.plan(Match::path(CHAT), &["stream-stall"]).unwrap();
    let clock = DrivenClock::new();
    let client = client_at(server.url().parse().unwrap(), clock.shared());
    let strategy = RetryStrategy::builder()
        .name("chat")
        .clock(clock.shared())
        .attempt_timeout(Duration::from_secs(30))
        .base_delay(Duration::ZERO)
        .jitter(false)
        .build()
        .unwrap();
    let mut stream = pin!(client.chat_stream_with(&strategy, seeded()));
    let mut pieces = String::new();
    for _ in 0..tokens_before_the_end("stream-stall") {
        pieces += &stream.next().await.unwrap().unwrap().message.content;
    }
    // The client itself would wait for two minutes.
    let next = next_after(stream.as_mut(), &clock, Duration::from_secs(30)).await.unwrap().unwrap();
    pieces += &next.message.content;
    while let Some(piece) = within(stream.next()).await {
        pieces += &piece.unwrap().message.content;
    }
    assert_eq!((pieces, chats(&server).len()), (expected, 3));
}
