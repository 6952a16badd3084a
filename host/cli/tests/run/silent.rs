//! Recordings of eight Ollama faults that most clients take for success.

use crate::common::command;
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::pin;
use upright::RecoveryManager;
use upright::ollama::{ChatRequest, OllamaClient, OllamaError, Verdict};
use upright::types::RetryConfig;
use upright_recordings::server::Server;
use upright_recordings::{Recording, named};
use upright_test_kit::command::{Ran, finish};

/// A fault, and its streamed and whole recordings.
const FAULTS: [(&str, &str, &str); 8] = [
    ("the inner server dies in the middle", "cut", "cut-whole"),
    ("the inner server ends without an end", "ends-early", "ends-early-whole"),
    ("the inner server sends an error event", "error-event", "error-event-whole"),
    ("endless repetition", "repeat", "repeat-whole"),
    ("the model writes nothing", "empty-stream", "empty"),
    ("a tool call is cut", "tool-call-cut", "tool-call-cut-whole"),
    ("the question is longer than the window", "long", "long-whole"),
    ("a 500 at once", "inner-500-caller", "inner-500-caller-whole"),
];

const FAULTY: &str = "faulty:1b";
const HEALTHY: &str = "healthy:1b";
/// The faulty model's answers are beginnings of it.
const WHOLE: &str = "Hello there, and goodbye.";

const CHAT: &str = "/api/chat";

fn recording(streamed: &str, whole: &str, request: &Value) -> &'static Recording {
    let faulty = request["model"] == FAULTY;
    // Ollama refuses what it must not cut.
    if faulty && streamed == "long" && request["truncate"] == false {
        return named("long-refused");
    }
    match (faulty, request["stream"] == false) {
        (true, false) => named(streamed),
        (true, true) => named(whole),
        (false, false) => named("plain-longer"),
        (false, true) => named("plain-longer-whole"),
    }
}

fn server(streamed: &'static str, whole: &'static str) -> Server {
    Server::start(move |path, request| (path == CHAT).then(|| recording(streamed, whole, request))).unwrap()
}

fn chats(server: &Server) -> Vec<Value> {
    server.requests().into_iter().filter(|(path, _)| path == CHAT).map(|(_, body)| body).collect()
}

fn client(server: &Server) -> OllamaClient {
    OllamaClient::new(server.url().parse().unwrap()).unwrap()
}

async fn ask(client: OllamaClient, model: String, streamed: bool) -> Result<String, OllamaError> {
    let request = ChatRequest::ask(model, "What is the weather in Oslo?");
    if !streamed {
        return client.chat(request).await.map(|answer| answer.message.content);
    }
    let (mut chunks, mut text) = (pin!(client.chat_stream(request)), String::new());
    while let Some(chunk) = chunks.next().await {
        text.push_str(&chunk?.message.content);
    }
    Ok(text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// Incomplete, without an error.
    Silent,
    Reported,
    Recovered,
}

fn left<E>(answer: &Result<String, E>) -> Left {
    match answer {
        Err(_) => Left::Reported,
        Ok(text) if text.trim_end() == WHOLE => Left::Recovered,
        Ok(_) => Left::Silent,
    }
}

async fn through_the_manager(server: &Server, streamed: bool) -> Left {
    let retry = RetryConfig { base_delay: 0.001, ..RetryConfig::default() };
    let manager = RecoveryManager::builder().retry(retry).state(upright::store::StateAddress::Memory).build().unwrap();
    let client = client(server);
    let operation = manager.operation("chat").models([FAULTY, HEALTHY]);
    let answer = operation.run(|attempt| ask(client.clone(), attempt.model().to_string(), streamed)).await;
    left(&answer.map(|recovered| recovered.value))
}

async fn run(server: &Server, flags: &[&str]) -> Ran {
    let arguments = [&["run", FAULTY, "--base-delay", "0.001"], flags, &["What is the weather in Oslo?"]].concat();
    let mut command = command(None, &arguments);
    command.env("OLLAMA_HOST", server.url());
    finish(command, "").await
}

fn left_by(ran: &Ran) -> Left {
    left(&if ran.code == Some(0) { Ok(ran.out.clone()) } else { Err(()) })
}

#[tokio::test]
async fn no_fault_of_ollama_passes_in_silence() {
    let mut table = BTreeMap::new();
    println!("{:40} | client | client, whole | manager | manager, whole | run | run --fallback", "fault");
    for (fault, streamed, whole) in FAULTS {
        let server = server(streamed, whole);
        let alone = run(&server, &[]).await;
        assert!(alone.code != Some(0) && !alone.err.is_empty(), "{fault}: {alone:?}");
        let row = [
            left(&ask(client(&server), FAULTY.into(), true).await),
            left(&ask(client(&server), FAULTY.into(), false).await),
            through_the_manager(&server, true).await,
            through_the_manager(&server, false).await,
            left_by(&alone),
            left_by(&run(&server, &["--fallback", HEALTHY]).await),
        ];
        println!("{fault:40} | {}", row.map(|left| format!("{left:?}")).join(" | "));
        row.into_iter().for_each(|left| *table.entry(left).or_insert(0) += 1);
        assert_eq!(row[..2], [Left::Reported; 2], "{fault}");
        assert_eq!(row[2..4], [Left::Recovered; 2], "{fault}");
        assert_eq!(row[5], Left::Recovered, "{fault}");
    }
    println!("{table:?}");
    assert_eq!(table.get(&Left::Silent), None);
}

#[tokio::test]
async fn whole_answers_are_printed_unchanged_and_without_retry() {
    for (streamed, whole) in [("plain", "plain-whole"), ("plain-longer", "plain-longer-whole")] {
        let server = server(streamed, whole);
        let whole = ask(client(&server), FAULTY.into(), false).await.unwrap();
        assert_eq!(ask(client(&server), FAULTY.into(), true).await.unwrap(), whole);
        let ran = run(&server, &[]).await.ends_with(0);
        assert_eq!((ran.out.trim_end(), ran.err.as_str()), (whole.as_str(), ""));
        assert_eq!(chats(&server).len(), 3);
    }
}

#[tokio::test]
async fn an_answer_whose_length_was_used_up_is_returned_with_a_note() {
    let server = server("length", "length-whole");
    let answer = client(&server).chat(ChatRequest::ask(FAULTY, "What is the weather in Oslo?")).await.unwrap();
    assert_eq!((answer.message.content.as_str(), answer.verdict), ("Hello there", Verdict::UsedUpLength));
    let ran = run(&server, &[]).await.ends_with(0);
    assert_eq!(ran.out, "Hello there\n");
    assert!(ran.err.contains("reached its length limit") && ran.err.lines().count() == 1, "{ran:?}");
    let json = run(&server, &["--json"]).await.ends_with(0).json();
    assert_eq!((&json[0]["answer"], &json[0]["verdict"]), (&"Hello there".into(), &"used_up_length".into()));
}

#[tokio::test]
async fn a_server_that_drops_half_of_the_question_all_the_same_is_suspected_of_it() {
    let old = Server::start(|path, request| (path == CHAT).then(|| named(if request["stream"] == false { "long-whole" } else { "long" })))
        .unwrap();
    let question = ["word"; 6000].join(" ");
    let mut command = command(None, &["run", FAULTY, "-"]);
    command.env("OLLAMA_HOST", old.url());
    let ran = finish(command, &format!("{question}\n")).await.ends_with(0);
    assert_eq!(ran.out, "Hello there.\n");
    assert!(ran.err.contains("the server read 2050 tokens of a question of at least 6000"), "{ran:?}");
    assert_eq!(chats(&old)[0]["truncate"], false);
}

#[tokio::test]
async fn thinking_that_used_up_the_length_leads_to_the_next_model_at_once() {
    let server = server("thinking-only", "thinking-only-whole");
    let ran = run(&server, &["--fallback", HEALTHY]).await.ends_with(0);
    assert_eq!(ran.out.trim_end(), WHOLE);
    let models: Vec<_> = chats(&server).into_iter().map(|request| request["model"].clone()).collect();
    assert_eq!(models, [FAULTY, HEALTHY]);
    assert!(ran.err.contains("nothing but its thinking"), "{ran:?}");
}

#[tokio::test]
async fn an_empty_answer_is_asked_for_again_only_where_it_can_be_another() {
    for (flags, times) in [(&[][..], 3), (&["--temperature", "0"], 1), (&["--temperature", "0.7"], 3)] {
        let server = server("empty-stream", "empty");
        let ran = run(&server, &[flags, &["--fallback", HEALTHY]].concat()).await.ends_with(0);
        assert_eq!(ran.out.trim_end(), WHOLE);
        let faulty = chats(&server).into_iter().filter(|request| request["model"] == FAULTY).count();
        assert_eq!(faulty, times, "{flags:?}");
    }
}

#[tokio::test]
async fn options_reach_the_model_and_a_wrong_type_is_refused_before_anything_is_sent() {
    let server = server("plain", "plain-whole");
    let flags = ["--option", "num_ctx=512", "--option", "stop=END", "--option", "stop=[x]", "--option", "nonsense=1", "--max-tokens", "7"];
    let ran = run(&server, &flags).await.ends_with(0);
    assert!(ran.err.contains("unknown Ollama option nonsense") && ran.err.lines().count() == 1, "{ran:?}");
    let expected = serde_json::json!({"num_ctx": 512, "stop": ["END", "[x]"], "nonsense": 1, "num_predict": 7});
    assert_eq!(chats(&server)[0]["options"], expected);
    for (wrong, expected) in
        [("num_ctx=many", "a whole number"), ("temperature=hot", "a number"), ("num_ctx", "NAME=VALUE"), ("=1", "NAME=VALUE")]
    {
        let ran = run(&server, &["--option", wrong]).await.ends_with(2);
        assert!(ran.err.contains(expected) && ran.err.contains(wrong.split('=').next().unwrap()), "{wrong}: {ran:?}");
    }
    assert_eq!(chats(&server).len(), 1);
    let wrong = ChatRequest { options: [("seed".to_owned(), "x".into())].into_iter().collect(), ..ChatRequest::ask(FAULTY, "hi") };
    let error = client(&server).chat(wrong).await.unwrap_err();
    assert!(matches!(error, OllamaError::Option(_)) && error.to_string().contains("seed"), "{error}");
    assert_eq!(chats(&server).len(), 1);
}
