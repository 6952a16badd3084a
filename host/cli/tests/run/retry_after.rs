//! Programs refused together with the same `Retry-After`.

use crate::common::command;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use upright_test_kit::command::finish;

const TOGETHER: usize = 12;
const ASKED: Duration = Duration::from_secs(2);

type Seen = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

/// Refuses each prompt once.
async fn serve(mut stream: TcpStream, seen: Seen) -> std::io::Result<()> {
    let mut request = Vec::new();
    let body: Value = loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        let whole = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|end| &request[end + 4..]);
        if let Some(body) = whole.and_then(|body| serde_json::from_slice(body).ok()) {
            break body;
        }
    };
    let prompt = body["messages"][0]["content"].to_string();
    let times = {
        let mut seen = seen.lock().unwrap();
        let times = seen.entry(prompt).or_default();
        times.push(Instant::now());
        times.len()
    };
    let (status, text) = if times == 1 {
        (format!("429 Too Many Requests\r\nretry-after: {}", ASKED.as_secs()), "{\"error\":\"too many requests\"}".to_owned())
    } else {
        let piece = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"whole\"},\"done\":true,\"done_reason\":\"stop\"}\n";
        ("200 OK".to_owned(), piece.to_owned())
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_programs_with_the_same_retry_after_come_back_spread_over_a_tenth_of_it_and_none_early() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let serving = Arc::clone(&seen);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&serving)));
        }
    });
    let mut runs = JoinSet::new();
    for program in 0..TOGETHER {
        let mut run = command(None, &["run", "m", &format!("program {program}"), "--max-delay", "2"]);
        run.env("OLLAMA_HOST", &address);
        runs.spawn(finish(run, ""));
    }
    while let Some(ran) = runs.join_next().await {
        assert_eq!(ran.unwrap().ends_with(0).out.trim(), "whole");
    }
    server.abort();
    let waits: Vec<Duration> = seen.lock().unwrap().values().map(|times| times[1] - times[0]).collect();
    let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    println!("{} programs waited {first:?} to {last:?}", waits.len());
    assert_eq!(waits.len(), TOGETHER);
    assert!(*first >= ASKED, "{waits:?}");
    assert!(*last - *first >= ASKED / 10, "{waits:?}");
}
