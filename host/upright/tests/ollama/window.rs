//! Questions beyond the window, on a simulated server that chooses windows as Ollama does. One word is one token.

use futures_util::StreamExt;
use std::pin::pin;
use upright::ollama::{ChatAnswer, ChatRequest, EmbedRequest, Message, Notice, OllamaClient, OllamaError, QuestionCut, Verdict};
use upright::store::StateAddress;
use upright::types::{Reason, RetryConfig};
use upright::{Attempt, Error, Event, Recovered, RecoveryManager};
use upright_simulator::{FaultServer, Match, Model, TooLong, Window};

const MODEL: &str = "smollm2";

async fn serving(models: impl IntoIterator<Item = (&'static str, Window)>) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    server.set_models(models.into_iter().map(|(name, window)| Model::with_window(name, window)));
    server
}

fn client(server: &FaultServer) -> OllamaClient {
    OllamaClient::new(server.url().parse().unwrap()).unwrap()
}

fn manager() -> RecoveryManager {
    let retry = RetryConfig { base_delay: 0.001, ..RetryConfig::default() };
    RecoveryManager::builder().retry(retry).state(StateAddress::Memory).build().unwrap()
}

fn question(tokens: usize) -> ChatRequest {
    ChatRequest::ask(MODEL, ["word"; 10_000][..tokens - 10].join(" "))
}

async fn whole(client: &OllamaClient, request: ChatRequest) -> Result<ChatAnswer, OllamaError> {
    let streamed = client.clone();
    let mut chunks = pin!(streamed.chat_stream(request.clone()));
    let mut last = None;
    while let Some(chunk) = chunks.next().await {
        last = Some(chunk?);
    }
    assert!(last.is_some_and(|chunk| chunk.done));
    client.chat(request).await
}

async fn ask(manager: &RecoveryManager, models: &[&str], client: &OllamaClient, request: &ChatRequest) -> Result<Recovered<String>, Error> {
    let attempt = |attempt: Attempt| {
        let model = attempt.model().to_owned();
        let request = ChatRequest { model, window: attempt.window, ..request.clone() };
        async move {
            let answer = whole(client, request).await?;
            assert_eq!(answer.verdict, Verdict::Whole);
            Ok::<_, OllamaError>(answer.message.content)
        }
    };
    manager.operation("chat").models(models.iter().copied()).run(attempt).await
}

fn windows(server: &FaultServer) -> Vec<Option<u64>> {
    let chats = server.requests().into_iter().filter(|seen| seen.path == "/api/chat");
    chats.map(|seen| seen.body["options"]["num_ctx"].as_u64()).collect()
}

fn refused(error: &Error) -> (Reason, String) {
    let failure = error.failure().unwrap();
    (failure.reason, failure.source.to_string())
}

#[tokio::test]
async fn a_question_that_does_not_fit_is_answered_whole_with_one_load_more_and_the_next_with_none() {
    let server = serving([(MODEL, Window::default())]).await;
    let (manager, first, second) = (manager(), client(&server), client(&server));
    let mut events = manager.subscribe();
    let answer = ask(&manager, &[MODEL], &first, &question(6010)).await.unwrap();
    assert!(answer.value.ends_with("word word"), "{answer:?}");
    assert_eq!((answer.attempts, server.model_loads()), (2, 2));
    assert_eq!(windows(&server), [None, Some(8192), Some(8192)]);
    let enlarged = std::iter::from_fn(|| events.try_recv()).find(|event| matches!(event, Event::WindowEnlarged { .. }));
    assert!(matches!(enlarged, Some(Event::WindowEnlarged { from: Some(4096), to: 8192, needed: Some(6010), .. })), "{enlarged:?}");
    for client in [&first, &second] {
        ask(&manager, &[MODEL], client, &question(6010)).await.unwrap();
        ask(&manager, &[MODEL], client, &question(20)).await.unwrap();
    }
    assert_eq!(server.model_loads(), 2);
    // Two looks at first sight, one after the refusal, one after the first answer with a larger window.
    assert_eq!(server.count("/api/ps"), 4);
}

#[tokio::test]
async fn a_conversation_that_grows_to_12000_tokens_loads_its_model_twice_more() {
    let server = serving([(MODEL, Window { own: 32_768, ..Window::default() })]).await;
    let (manager, client) = (manager(), client(&server));
    let mut request = ChatRequest { model: MODEL.into(), ..ChatRequest::default() };
    for turn in 1..=20 {
        request.messages.push(Message::new("user", ["word"; 500].join(" ")));
        let answer = ask(&manager, &[MODEL], &client, &request).await.unwrap();
        request.messages.push(Message::new("assistant", format!("{} {}", answer.value, ["so"; 100 - 8].join(" "))));
        let words: usize = request.messages.iter().map(|message| message.content.split_whitespace().count()).sum();
        assert!(words >= 600 * turn);
    }
    assert_eq!(server.model_loads(), 3);
    let mut asked: Vec<u64> = windows(&server).into_iter().flatten().collect();
    asked.dedup();
    assert_eq!(asked, [8192, 16_384]);
}

#[tokio::test]
async fn a_question_longer_than_the_models_own_window_goes_to_a_model_that_has_room_or_fails_with_the_numbers() {
    let large = Window { own: 131_072, default: 32_768, ..Window::default() };
    let server = serving([(MODEL, Window::default()), ("small", Window::default()), ("large", large)]).await;
    let (manager, client) = (manager(), client(&server));
    let answer = ask(&manager, &[MODEL, "small", "large"], &client, &question(9010)).await.unwrap();
    assert_eq!(answer.model.as_deref(), Some("large"));
    assert!(server.requests().iter().all(|seen| seen.model.as_deref() != Some("small")), "it has no room");
    let error = ask(&manager, &[MODEL, "small"], &client, &question(9010)).await.unwrap_err();
    let (reason, text) = refused(&error);
    assert_eq!(reason, Reason::WindowTooSmall);
    for part in ["9010 tokens", "window 4096", "can have 8192"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn the_callers_limit_and_the_callers_window_are_kept_to() {
    let server = serving([(MODEL, Window { own: 32_768, ..Window::default() })]).await;
    let (manager, client) = (manager(), client(&server));
    let limited = ChatRequest { max_window: Some(8192), ..question(9010) };
    let (reason, text) = refused(&ask(&manager, &[MODEL], &client, &limited).await.unwrap_err());
    assert!(reason == Reason::WindowTooSmall && text.contains("the caller allows 8192"), "{text}");
    ask(&manager, &[MODEL], &client, &ChatRequest { max_window: Some(6500), ..question(6010) }).await.unwrap();
    assert_eq!(windows(&server).last(), Some(&Some(6500)));
    ask(&manager, &[MODEL], &client, &ChatRequest { max_window: Some(4096), ..question(20) }).await.unwrap();
    assert_eq!(windows(&server).last(), Some(&None));
    let fixed = ChatRequest { options: [("num_ctx".to_owned(), 2048.into())].into_iter().collect(), ..question(6010) };
    let (reason, text) = refused(&ask(&manager, &[MODEL], &client, &fixed).await.unwrap_err());
    assert!(reason == Reason::WindowTooSmall && text.contains("num_ctx=2048 was asked for"), "{text}");
    assert_eq!(windows(&server).last(), Some(&Some(2048)));
}

#[tokio::test]
async fn a_server_that_refuses_without_counts_is_asked_for_more_until_the_question_fits() {
    let old = Window { own: 32_768, too_long: TooLong::Refuses, ..Window::default() };
    let server = serving([(MODEL, old)]).await;
    let (manager, client) = (manager(), client(&server));
    // One-letter words: an estimate by bytes is too low.
    let short = ChatRequest::ask(MODEL, ["a"; 9000].join(" "));
    ask(&manager, &[MODEL], &client, &short).await.unwrap();
    assert_eq!(windows(&server).into_iter().flatten().max(), Some(16_384));
    let error = ask(&manager, &[MODEL], &client, &ChatRequest::ask(MODEL, ["a"; 40_000].join(" "))).await.unwrap_err();
    assert_eq!(refused(&error).0, Reason::WindowTooSmall);
}

#[tokio::test]
async fn a_server_that_cuts_all_the_same_is_suspected_of_it() {
    let server = serving([(MODEL, Window { too_long: TooLong::Cuts, ..Window::default() })]).await;
    let answer = whole(&client(&server), question(6010)).await.unwrap();
    assert_eq!(answer.verdict, Verdict::QuestionCut(QuestionCut::Unread { read: 2050, words: 6000 }));
}

#[tokio::test]
async fn a_window_that_cannot_be_loaded_is_let_go_of() {
    let tight = Window { own: 32_768, loadable: 6000, ..Window::default() };
    let server = serving([(MODEL, tight), ("other", Window { default: 16_384, own: 16_384, ..Window::default() })]).await;
    let (manager, client) = (manager(), client(&server));
    let error = ask(&manager, &[MODEL], &client, &question(6010)).await.unwrap_err();
    assert!(refused(&error).1.contains("a window of 8192 was asked for"), "{error}");
    ask(&manager, &[MODEL], &client, &question(20)).await.unwrap();
    assert_eq!(windows(&server).last(), Some(&None));
    let answer = ask(&manager, &[MODEL, "other"], &client, &question(6010)).await.unwrap();
    assert_eq!(answer.model.as_deref(), Some("other"));
    assert_eq!(windows(&server).last(), Some(&None), "the other model has its own default, which is larger");
}

#[tokio::test]
async fn a_kept_window_that_cannot_be_loaded_any_more_gives_way_to_the_default() {
    let server = serving([(MODEL, Window::default())]).await;
    let (manager, client) = (manager(), client(&server));
    ask(&manager, &[MODEL], &client, &question(6010)).await.unwrap();
    server.set_models([Model::with_window(MODEL, Window { loadable: 4096, ..Window::default() })]);
    client.chat(ChatRequest { keep_alive: Some(0.into()), messages: Vec::new(), ..question(20) }).await.unwrap();
    ask(&manager, &[MODEL], &client, &question(20)).await.unwrap();
    assert_eq!(windows(&server).last(), Some(&None));
}

#[tokio::test]
async fn a_modelfiles_window_is_raised_and_never_lowered() {
    let modelfile = Window { own: 32_768, modelfile: Some(16_384), ..Window::default() };
    let server = serving([(MODEL, modelfile)]).await;
    let (manager, first) = (manager(), client(&server));
    let less = ChatRequest { options: [("num_ctx".to_owned(), 8192.into())].into_iter().collect(), ..question(20) };
    first.chat(less).await.unwrap();
    let second = client(&server);
    ask(&manager, &[MODEL], &second, &question(9010)).await.unwrap();
    assert_eq!(windows(&server).last(), Some(&None), "the Modelfile's own holds");
    ask(&manager, &[MODEL], &second, &question(9990)).await.unwrap();
    assert_eq!(server.model_loads(), 2);
}

#[tokio::test]
async fn a_model_that_another_program_loads_back_is_noticed() {
    let server = serving([(MODEL, Window::default())]).await;
    let (ours, theirs) = (client(&server), client(&server));
    let enlarged = ChatRequest { window: Some(8192), ..question(20) };
    assert_eq!(ours.chat(enlarged.clone()).await.unwrap().notice, None);
    assert_eq!(ours.chat(question(20)).await.unwrap().notice, None);
    let default = ChatRequest { options: [("num_ctx".to_owned(), 4096.into())].into_iter().collect(), ..question(20) };
    theirs.chat(default).await.unwrap();
    let notice = ours.chat(question(20)).await.unwrap().notice.unwrap();
    assert_eq!(notice, Notice::LoadedAgain { window: 8192, times: 1 });
    assert!(notice.to_string().contains("OLLAMA_CONTEXT_LENGTH=8192"), "{notice}");
}

#[tokio::test]
async fn a_larger_window_that_pushes_a_part_of_the_model_out_of_the_graphics_card_is_reported_once() {
    let server = serving([(MODEL, Window { card: 250_000_000, ..Window::default() })]).await;
    let client = client(&server);
    assert_eq!(client.chat(question(20)).await.unwrap().notice, None);
    let enlarged = ChatRequest { window: Some(8192), ..question(20) };
    let notice = client.chat(enlarged.clone()).await.unwrap().notice.unwrap();
    // 330,621,909 bytes with this window.
    assert_eq!(notice, Notice::PartlyInMainMemory { window: 8192, percent: 24 });
    assert!(notice.to_string().contains("24 %"), "{notice}");
    assert_eq!(client.chat(enlarged).await.unwrap().notice, None);
}

#[tokio::test]
async fn a_text_that_is_too_long_to_be_embedded_is_embedded_whole_with_a_larger_window() {
    let server = serving([("embedder", Window { own: 32_768, ..Window::default() })]).await;
    let (manager, client) = (manager(), client(&server));
    let text = ["word"; 6000].join(" ");
    let error = client.embed("embedder", &[text.as_str()]).await.unwrap_err();
    assert!(error.window().is_some_and(|refusal| refusal.facts.model_limit == Some(32_768)), "{error:?}");
    let embedded = manager.operation("embed").model("embedder").run(|attempt| {
        let request = EmbedRequest { window: attempt.window, ..EmbedRequest::of("embedder", &[text.as_str()]) };
        let client = client.clone();
        async move { client.embed_with(request).await.map(|embedded| embedded.embeddings) }
    });
    assert_eq!(embedded.await.unwrap().value.len(), 1);
    let last = || server.requests().into_iter().rfind(|seen| seen.path == "/api/embed").unwrap().body;
    assert_eq!((&last()["options"]["num_ctx"], &last()["options"]["num_batch"]), (&16_384.into(), &16_384.into()));
    let loads = server.model_loads();
    client.embed("embedder", &["short"]).await.unwrap();
    assert_eq!(server.model_loads(), loads, "it is asked for the same");
}

#[tokio::test]
async fn a_text_that_is_longer_than_the_batch_alone_is_embedded_with_a_larger_batch() {
    let server = serving([("embedder", Window { own: 8192, default: 8192, ..Window::default() })]).await;
    let (manager, client) = (manager(), client(&server));
    let text = ["word"; 3000].join(" ");
    let embedded = manager.operation("embed").model("embedder").run(|attempt| {
        let request = EmbedRequest { window: attempt.window, ..EmbedRequest::of("embedder", &[text.as_str(), "short"]) };
        let client = client.clone();
        async move { client.embed_with(request).await.map(|embedded| embedded.embeddings) }
    });
    assert_eq!(embedded.await.unwrap().value.len(), 2);
}

#[tokio::test]
async fn a_question_that_comes_while_another_looks_at_the_model_loads_nothing() {
    let server = serving([(MODEL, Window::default())]).await;
    let enlarged = ChatRequest { options: [("num_ctx".to_owned(), 8192.into())].into_iter().collect(), ..question(20) };
    client(&server).chat(enlarged).await.unwrap();
    let second = client(&server);
    server.plan(Match::path("/api/show"), &["hang-before-headers"]).unwrap();
    let late = async {
        server.wait_for("/api/show", 1).await;
        let answer = second.chat(question(20)).await;
        server.release();
        answer
    };
    let (one, other) = futures_util::future::join(second.chat(question(20)), late).await;
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(server.model_loads(), 1);
}

#[tokio::test]
async fn a_program_learns_of_a_window_that_another_has_enlarged_meanwhile() {
    let server = serving([(MODEL, Window::default())]).await;
    let (ours, theirs) = (client(&server), client(&server));
    ours.chat(question(20)).await.unwrap();
    let enlarged = ChatRequest { window: Some(8192), ..question(20) };
    theirs.chat(enlarged.clone()).await.unwrap();
    ours.chat(question(20)).await.unwrap();
    theirs.chat(enlarged).await.unwrap();
    let loads = server.model_loads();
    for _ in 0..2 {
        ours.chat(question(20)).await.unwrap();
        theirs.chat(question(20)).await.unwrap();
    }
    assert_eq!(server.model_loads(), loads);
}

#[tokio::test]
async fn a_window_that_slides_while_the_answer_is_written_is_reported() {
    let server = serving([(MODEL, Window::default())]).await;
    let client = client(&server);
    let answer = client.chat(question(4090)).await.unwrap();
    assert!(matches!(answer.verdict, Verdict::QuestionCut(QuestionCut::Slid { window: 4096, .. })), "{:?}", answer.verdict);
    let answer = client.chat(question(3000)).await.unwrap();
    assert_eq!(answer.verdict, Verdict::Whole);
    // Looks when it meets a model, and when an exchange exceeds the known window.
    assert_eq!(server.count("/api/ps"), 2);
}

#[tokio::test]
async fn images_are_not_sent_to_a_model_that_cannot_see_them() {
    let server = serving([(MODEL, Window::default())]).await;
    let (manager, client) = (manager(), client(&server));
    let mut request = question(20);
    request.messages[0].extra.insert("images".to_owned(), vec!["aGVsbG8="].into());
    for _ in 0..2 {
        let error = client.chat(request.clone()).await.unwrap_err();
        assert!(matches!(&error, OllamaError::Incapable { capability: "vision", .. }), "{error:?}");
    }
    assert_eq!((server.count("/api/chat"), server.count("/api/show")), (0, 2), "another version of it may see");
    let error = ask(&manager, &[MODEL, "another"], &client, &request).await.unwrap_err();
    assert!(error.to_string().contains("another"), "the next model is asked: {error}");
}

#[tokio::test]
async fn a_server_that_cannot_say_what_is_loaded_is_asked_all_the_same() {
    let server = serving([(MODEL, Window::default())]).await;
    for (row, looks) in [("server-busy", 1), ("reset-before-headers", 1)] {
        server.always(Match::path("/api/ps"), row).unwrap();
        let (client, before) = (client(&server), server.count("/api/ps"));
        for _ in 0..2 {
            assert!(client.chat(question(20)).await.unwrap().message.content.contains("word"), "{row}");
        }
        assert_eq!(server.count("/api/ps") - before, looks, "{row}: it is not asked for each question");
    }
}

#[tokio::test]
async fn an_operation_that_does_not_ask_for_the_window_it_is_handed_ends() {
    let server = serving([(MODEL, Window::default())]).await;
    let (manager, client) = (manager(), client(&server));
    let deaf = manager.operation("chat").model(MODEL).run(|_| {
        let client = client.clone();
        async move { client.chat(question(6010)).await.map(|answer| answer.message.content) }
    });
    assert!(deaf.await.unwrap_err().to_string().contains("6010"));
    assert_eq!(server.count("/api/chat"), 2);
}
