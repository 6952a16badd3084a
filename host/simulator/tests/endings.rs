//! Endings of answers that begin well, or never begin.

use crate::common::{ask, body, read, read_tokens, send, within};
use std::io::ErrorKind;
use tokio::io::AsyncReadExt;
use upright_simulator::{FaultServer, Match};

async fn server() -> FaultServer {
    FaultServer::start().await.unwrap()
}

#[tokio::test]
async fn an_error_line_follows_the_tokens_and_the_stream_ends_properly() {
    let raw = ask(&server().await, "/api/chat", "fault/stream-error-line", true).await;
    let lines = raw.lines();
    assert!(raw.text.starts_with("HTTP/1.1 200") && raw.is_whole(), "{}", raw.text);
    assert_eq!(lines.len(), 6, "{}", raw.text);
    assert!(lines[..5].iter().all(|line| line["done"] == false));
    assert_eq!(lines[5]["error"], "an error was encountered while running the model: unexpected EOF");
}

#[tokio::test]
async fn an_error_in_the_middle_is_a_plain_500_without_streaming_and_swallowed_by_openai_routes() {
    let server = server().await;
    let native = ask(&server, "/api/generate", "fault/stream-error-line", false).await;
    assert!(native.text.starts_with("HTTP/1.1 500"), "{}", native.text);
    let openai = ask(&server, "/v1/chat/completions", "fault/stream-error-line", true).await;
    assert!(openai.is_whole() && !openai.text.contains("error was encountered"), "{}", openai.text);
}

#[tokio::test]
async fn a_clean_end_lacks_done_in_a_stream_and_says_false_without_one() {
    let server = server().await;
    for row in ["stream-clean-end", "done-false"] {
        let model = format!("fault/{row}");
        let raw = ask(&server, "/api/chat", &model, true).await;
        assert!(raw.is_whole() && raw.lines().len() >= 5, "{row}: {}", raw.text);
        assert!(!raw.text.contains("\"done\":true"), "{row}: {}", raw.text);
        let raw = ask(&server, "/api/chat", &model, false).await;
        assert!(raw.text.starts_with("HTTP/1.1 200") && raw.text.contains("\"done\":false"), "{row}: {}", raw.text);
    }
    let raw = ask(&server, "/api/chat", "fault/stream-empty", true).await;
    assert!(raw.is_whole() && raw.lines().is_empty(), "{}", raw.text);
}

#[tokio::test]
async fn openai_ends_with_an_empty_chunk_and_nothing_else_where_it_swallows_an_error() {
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let raw = ask(&server().await, path, "fault/openai-swallowed-error", true).await;
        assert!(raw.is_whole(), "{}", raw.text);
        assert_eq!(raw.text.matches("data: {").count(), 6, "{}", raw.text);
        assert!(!raw.text.contains("[DONE]") && !raw.text.contains("\"finish_reason\":\"stop\""), "{}", raw.text);
    }
}

#[tokio::test]
async fn a_reset_comes_after_the_tokens_and_is_a_reset() {
    let raw = ask(&server().await, "/api/chat", "fault/stream-reset", true).await;
    assert_eq!(raw.end.as_ref().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(raw.lines().len(), 5, "{}", raw.text);
}

#[tokio::test]
async fn an_abort_comes_after_the_tokens_and_lacks_the_last_chunk() {
    let server = server().await;
    let raw = ask(&server, "/api/chat", "fault/stream-abort", true).await;
    assert!(raw.end.is_ok() && !raw.is_whole(), "{:?}", raw.end);
    assert_eq!(raw.lines().len(), 5, "{}", raw.text);
    let raw = ask(&server, "/api/chat", "fault/stream-abort", false).await;
    assert!(raw.text.contains("\r\n\r\n") && !raw.is_whole() && raw.lines().is_empty(), "{}", raw.text);
}

#[tokio::test]
async fn a_reset_before_headers_gives_not_a_byte() {
    let raw = ask(&server().await, "/api/chat", "fault/reset-before-headers", true).await;
    assert_eq!((raw.end.unwrap_err().kind(), raw.text.as_str()), (ErrorKind::ConnectionReset, ""));
}

#[tokio::test]
async fn connections_can_be_reset_before_a_request_is_read() {
    let server = server().await;
    server.set_reset_on_accept(true);
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let end = within(stream.read(&mut [0; 1])).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.set_reset_on_accept(false);
    assert!(ask(&server, "/api/chat", "qwen3:8b", true).await.is_whole());
    assert_eq!((server.connections(), server.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_stalled_stream_is_silent_until_the_client_leaves() {
    let server = server().await;
    let mut stream = send(&server, "POST", "/api/chat", &body("fault/stream-stall", true)).await;
    read_tokens(&mut stream, 5).await;
    assert!(!server.requests()[0].client_left);
    drop(stream);
    within(server.wait_until(|server| server.requests()[0].client_left)).await;
}

#[tokio::test]
async fn a_stalled_stream_goes_on_after_the_release() {
    let server = server().await;
    let mut stream = send(&server, "POST", "/api/chat", &body("fault/stream-stall", true)).await;
    read_tokens(&mut stream, 5).await;
    server.release();
    let raw = read(stream).await;
    assert!(raw.is_whole() && raw.text.contains("\"done\":true"), "{}", raw.text);
}

#[tokio::test]
async fn a_request_that_hangs_gets_headers_only_after_the_release() {
    let server = server().await;
    let stream = send(&server, "POST", "/api/chat", &body("fault/hang-before-headers", true)).await;
    within(server.wait_for("/api/chat", 1)).await;
    assert_eq!(stream.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    server.release();
    assert!(read(stream).await.text.contains("\"done\":true"));
    assert_eq!(server.loads_aborted(), 0);
}

#[tokio::test]
async fn leaving_during_a_load_aborts_it_and_the_next_request_starts_over() {
    let server = server().await;
    server.always(Match::path("/api/chat"), "cold-load").unwrap();
    for attempt in 1..=2 {
        let stream = send(&server, "POST", "/api/chat", &body("qwen3:8b", true)).await;
        within(server.wait_for("/api/chat", attempt)).await;
        drop(stream);
        within(server.wait_until(|server| server.loads_aborted() == attempt)).await;
    }
    assert!(server.requests().iter().all(|seen| seen.client_left));

    let patient = send(&server, "POST", "/api/chat", &body("qwen3:8b", true)).await;
    within(server.wait_for("/api/chat", 3)).await;
    server.release_loads();
    assert!(read(patient).await.text.contains("\"done\":true"));
    assert!(ask(&server, "/api/chat", "QWEN3:8b", true).await.text.contains("\"done\":true"));
    assert_eq!(server.loads_aborted(), 2);
}

#[tokio::test]
async fn a_slow_drip_gives_byte_after_byte_until_the_client_leaves() {
    let server = server().await;
    server.plan(Match::path("/api/tags"), &["slow-drip"]).unwrap();
    let mut stream = send(&server, "GET", "/api/tags", "").await;
    let mut text = String::new();
    while text.matches("1\r\n \r\n").count() < 3 {
        let mut buffer = [0; 64];
        let length = within(stream.read(&mut buffer)).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    drop(stream);
    within(server.wait_until(|server| server.requests()[0].client_left)).await;
}

#[tokio::test]
async fn a_load_or_unload_reason_comes_without_content() {
    let server = server().await;
    for reason in ["load", "unload"] {
        for stream in [true, false] {
            let raw = ask(&server, "/api/chat", &format!("fault/{reason}-reason"), stream).await;
            assert_eq!(raw.lines().len(), 1, "{}", raw.text);
            assert_eq!(raw.lines()[0]["done_reason"], *reason);
            assert_eq!(raw.lines()[0]["message"]["content"], "");
        }
    }
}
