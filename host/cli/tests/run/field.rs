//! Failures of real programs, put to `upright classify` and `upright run`.
//!
//! `cargo test -p upright-cli --test run field -- --nocapture` prints the scores. `UPRIGHT_FIELD_SHOW` also prints
//! wrong rows: of the `first` half, of `both`, or those collected `later`.

use crate::common::{alone, command};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use upright::types::{Endpoint, ErrorCategory};
use upright_conformance::field::{Answer, Form, Half, LOOK_ALIKES, Row, Score, later, rows};
use upright_test_kit::command::finish;

/// Maximum number of concurrent commands.
const AT_ONCE: usize = 4;
/// Each row as it stands, and with other numbers and paths.
const VARIANTS: u32 = 2;
/// Minimum share of right rows in each half.
const WANTED: f64 = 0.98;
/// Minimum share among rows collected later.
const WANTED_LATER: f64 = 0.95;

fn shown(half: Half) -> bool {
    match std::env::var("UPRIGHT_FIELD_SHOW").as_deref() {
        Ok("both") => true,
        Ok("first") => half == Half::First,
        _ => false,
    }
}

async fn for_each<T, F>(rows: Vec<Row>, ask: impl Fn(Row) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut done = BTreeMap::new();
    for (index, row) in rows.into_iter().enumerate() {
        if tasks.len() == AT_ONCE
            && let Some(one) = tasks.join_next().await
        {
            let (index, answer) = one.unwrap();
            done.insert(index, answer);
        }
        let asked = ask(row);
        tasks.spawn(async move { (index, asked.await) });
    }
    while let Some(one) = tasks.join_next().await {
        let (index, answer) = one.unwrap();
        done.insert(index, answer);
    }
    done.into_values().collect()
}

async fn classified(row: Row) -> (Answer, String) {
    let mut arguments = vec!["classify".to_owned(), "--json".to_owned()];
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    if let Some(endpoint) = row.endpoint {
        add("--endpoint", endpoint.name().to_owned());
    }
    if let Some(status) = row.status {
        add("--status", status.to_string());
    }
    for (name, value) in &row.headers {
        add("--header", format!("{name}: {value}"));
    }
    if let (Form::Exit, Some(code), Some(program)) = (row.form, row.code, row.command.first()) {
        add("--exit-code", code.to_string());
        add("--program", program.clone());
    }
    arguments.extend(["--".to_owned(), row.text().to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = alone(&arguments, "").await.ends_with(0).json().remove(0);
    (serde_json::from_value(said.clone()).unwrap(), said["rule"].as_str().unwrap().to_owned())
}

fn difference(right: &Answer, found: &Answer) -> String {
    let (right, found) = (serde_json::to_value(right).unwrap(), serde_json::to_value(found).unwrap());
    let fields = right.as_object().unwrap().iter().filter(|(name, value)| found[name.as_str()] != **value);
    fields.map(|(name, value)| format!("{name} {} not {value}", found[name.as_str()])).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_half_of_the_failures_is_classified_right_in_98_of_100() {
    let rows = rows();
    let mut scores = [Score::default(); 2];
    for variant in 0..VARIANTS {
        let asked = rows.iter().map(|row| if variant == 0 { row.clone() } else { row.varied(variant) }).collect();
        for (row, (found, rule)) in rows.iter().zip(for_each(asked, classified).await) {
            let right = found == row.right;
            scores[row.half() as usize].add(right);
            if !right && shown(row.half()) {
                println!("{} ({}): {rule}: {}\n    {}", row.id, row.means, difference(&row.right, &found), row.text().escape_debug());
            }
        }
    }
    let [first, second] = scores;
    println!("first half: {first}\nsecond half: {second}");
    assert!(first.share() >= WANTED && second.share() >= WANTED, "{first}; {second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_failures_that_were_collected_later_95_in_100_are_classified_right() {
    let rows = later();
    let mut score = Score::default();
    for (row, (found, rule)) in rows.iter().zip(for_each(rows.clone(), classified).await) {
        score.add(found == row.right);
        if found != row.right && std::env::var("UPRIGHT_FIELD_SHOW").is_ok_and(|show| show == "later") {
            println!("{} ({}): {rule}: {}\n    {}", row.id, row.means, difference(&row.right, &found), row.text().escape_debug());
        }
    }
    println!("collected later: {score}");
    assert!(score.share() >= WANTED_LATER, "{score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_distinguished_from_texts_that_look_like_it() {
    let all: Vec<Row> = rows().into_iter().chain(later()).collect();
    let find = |name: &str| all.iter().find(|row| row.id == name).unwrap_or_else(|| panic!("no row {name}"));
    for (one, other) in LOOK_ALIKES {
        let pair = [find(one), find(other)];
        assert_ne!(pair[0].means, pair[1].means, "{one} and {other}");
        for row in pair {
            let (found, rule) = classified(row.clone()).await;
            assert_eq!(found, row.right, "{} ({rule})", row.id);
        }
    }
}

const RETRIES: u32 = 3;

/// Number of requests to the first and to the next model, and the exit code.
type Done = (u32, u32, Option<i32>);

fn expected(row: &Row) -> Done {
    let Answer { category, retryable, retry_limit, model_specific, .. } = row.right;
    let waits = row.headers.keys().any(|name| name.starts_with("retry-after"));
    // The server asks for a longer delay than `--max-delay`.
    let retries = if !retryable || waits { 0 } else { retry_limit.unwrap_or(RETRIES).min(RETRIES) };
    let next = model_specific || matches!(category, ErrorCategory::Transient | ErrorCategory::Timeout | ErrorCategory::Resource);
    // The server counts the tokens, so a larger window is requested, and refused again.
    let enlarged = u32::from(row.text().contains("n_ctx"));
    (1 + retries + enlarged, u32::from(next), Some(if next { 0 } else { 1 }))
}

/// Answers the first model with the row's bytes, others like a healthy Ollama.
async fn serve(mut stream: TcpStream, row: Arc<Row>, asked: Arc<Mutex<[u32; 2]>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let (looks, body) = loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            break (!head.starts_with("POST /api/chat "), serde_json::from_str::<Value>(body).unwrap_or_default());
        }
    };
    if looks {
        // No row is about installed or loaded models.
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
        return stream.shutdown().await;
    }
    let first = body["model"] == "first";
    asked.lock().unwrap()[usize::from(!first)] += 1;
    let answer = if first {
        let headers: String = row.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (status, text) = (row.status.unwrap_or(200), row.text());
        format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
    } else {
        let text =
            "{\"model\":\"next\",\"message\":{\"role\":\"assistant\",\"content\":\"whole\"},\"done\":true,\"done_reason\":\"stop\"}\n";
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn done(row: Row) -> Done {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (row, asked) = (Arc::new(row), Arc::new(Mutex::new([0; 2])));
    let (serving, counted) = (Arc::clone(&row), Arc::clone(&asked));
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&serving), Arc::clone(&counted)));
        }
    });
    let retries = RETRIES.to_string();
    let mut run = command(
        None,
        &["run", "first", "hello", "--fallback", "next", "--retries", &retries, "--base-delay", "0.001", "--max-delay", "0.01"],
    );
    run.env("OLLAMA_HOST", &address);
    let ran = finish(run, "").await;
    server.abort();
    let [first, next] = *asked.lock().unwrap();
    if ran.code == Some(0) {
        assert_eq!(ran.out.trim(), "whole", "{}: {ran:?}", row.id);
    }
    (first, next, ran.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_chats_and_generations_98_in_100_get_the_requests_the_next_model_and_the_exit_code_that_their_rows_say() {
    let wanted =
        |row: &Row| matches!(row.form, Form::Http | Form::Stream) && matches!(row.endpoint, Some(Endpoint::Chat | Endpoint::Generate));
    let rows: Vec<Row> = rows().into_iter().filter(wanted).collect();
    let mut scores = [Score::default(); 2];
    for (row, found) in rows.iter().zip(for_each(rows.clone(), done).await) {
        let right = expected(row);
        scores[row.half() as usize].add(found == right);
        if found != right && shown(row.half()) {
            println!("{} ({}): {found:?} not {right:?}", row.id, row.means);
        }
    }
    let [first, second] = scores;
    println!("run, first half: {first}\nrun, second half: {second}");
    assert!(first.share() >= WANTED && second.share() >= WANTED, "{first}; {second}");
}
