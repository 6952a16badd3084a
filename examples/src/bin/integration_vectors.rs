//! Search in an embedded vector index: the memory is looked at first, calls for embeddings are retried, and when there are none for good, words are
//! compared instead.
//!
//! ```console
//! $ cargo run --package upright-examples --bin integration_vectors -- "what to do when a disk is full"
//! ```
//!
//! The index is a real one (HNSW, by `instant-distance`), and so is the call to `/api/embed`. What the vectors mean depends on who answers: Ollama's
//! `nomic-embed-text` knows which texts are alike; the server that replays failures makes vectors out of a text's bytes, which only know equal texts.

use instant_distance::{Builder, HnswMap, Point, Search};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use upright::ollama::{Budgets, OllamaClient};
use upright::types::RetryConfig;
use upright::{RecoveryManager, Served};
use upright_examples::{Arguments, health, narrated, ollama};

const DOCUMENTS: [&str; 8] = [
    "A circuit breaker stops calls to a service that is failing.",
    "Jitter spreads retries over time.",
    "Delete old models when the disk is full.",
    "A smaller model needs less memory.",
    "Checkpoints let an import resume where it stopped.",
    "A cached answer is better than none.",
    "Start the server with: ollama serve",
    "A stream without its end is half an answer.",
];
/// Memory in use above this share means fewer results and an empty cache; percent.
const HIGH: f64 = 90.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let model = arguments.model_or("nomic-embed-text");
    let query = arguments.text_or("what to do when a disk is full");
    let ollama = ollama(Budgets::default())?;
    let base_delay = arguments.span(Duration::from_secs(1)).as_secs_f64();
    let retry = RetryConfig { base_delay, ..RetryConfig::default() };
    let manager = RecoveryManager::builder().retry(retry).health(health(&arguments)?).build()?;

    let report = manager.get_system_health(&[]).await;
    let memory = report.get("resources").and_then(|status| status.details["memory_percent"].as_f64());
    let mut limit = 5;
    if memory.is_some_and(|percent| percent > HIGH) {
        manager.degradation().clear_cache();
        limit = 2;
        println!("High memory usage: caches cleared, at most {limit} results.");
    }

    let build = manager.operation("embed documents").run(|_| embed(&ollama, &model, &DOCUMENTS));
    let index = match narrated(&manager, build).await {
        // A seed of its own makes the index, and with it the order of equal hits, the same each time.
        Ok(embedded) => Some(Builder::default().seed(1).build(embedded.value, DOCUMENTS.to_vec())),
        Err(error) => {
            println!("There is no index: {error}");
            None
        }
    };
    let (ollama, model, index, question) = (&ollama, model.as_str(), index.as_ref(), query.as_str());
    let search = manager
        .operation("search")
        .fallback(|| async { Ok::<_, std::convert::Infallible>(by_words(question, limit)) })
        .run(|_| async move { by_vectors(index, embed(ollama, model, &[question]), limit).await });
    let found = narrated(&manager, search).await?;
    let how = if found.served == Served::Fallback { "the words in common" } else { "distance" };
    println!("{query:?}, by {how}:");
    for hit in found.value {
        println!("  {:.3}  {}", hit.score, hit.text);
    }
    Ok(())
}

/// A document that was found.
#[derive(Debug, Serialize, Deserialize)]
struct Hit {
    text: String,
    score: f32,
}

/// A text as a vector of length 1, so that the distance of two is that of their directions.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Vector(Vec<f32>);

impl Point for Vector {
    fn distance(&self, other: &Self) -> f32 {
        1.0 - self.0.iter().zip(&other.0).map(|(one, other)| one * other).sum::<f32>()
    }
}

async fn embed(ollama: &OllamaClient, model: &str, texts: &[&str]) -> anyhow::Result<Vec<Vector>> {
    let embedded = ollama.embed(model, texts).await?.embeddings;
    let dimensions = embedded.first().map_or(0, Vec::len);
    anyhow::ensure!(dimensions > 0 && embedded.iter().all(|vector| vector.len() == dimensions), "the vectors differ in length");
    let normal = |mut vector: Vec<f32>| {
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|number| *number /= length);
        Vector(vector)
    };
    Ok(embedded.into_iter().map(normal).collect())
}

/// The documents nearest to a query, which is embedded only if there is an index.
async fn by_vectors(
    index: Option<&HnswMap<Vector, &'static str>>,
    query: impl Future<Output = anyhow::Result<Vec<Vector>>>,
    limit: usize,
) -> anyhow::Result<Vec<Hit>> {
    let index = index.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "there is no index"))?;
    let vectors = query.await?;
    let mut search = Search::default();
    let hits = vectors.first().map(|vector| {
        let nearest = index.search(vector, &mut search).take(limit);
        nearest.map(|item| Hit { text: (*item.value).to_owned(), score: item.distance.abs() }).collect()
    });
    Ok(hits.unwrap_or_default())
}

/// The documents that have the most words in common with the query, short ones left out: worse than vectors, and needs nothing.
fn by_words(query: &str, limit: usize) -> Vec<Hit> {
    let words = |text: &str| -> Vec<String> {
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 3).map(str::to_lowercase).collect()
    };
    let wanted = words(query);
    let common = |text: &str| words(text).iter().filter(|word| wanted.contains(word)).count() as f32;
    let mut hits: Vec<Hit> = DOCUMENTS.iter().map(|text| Hit { text: (*text).to_owned(), score: common(text) }).collect();
    hits.retain(|hit| hit.score > 0.0);
    hits.sort_by(|one, other| other.score.total_cmp(&one.score));
    hits.truncate(limit);
    hits
}
