//! Search in an embedded vector index: checks memory first, retries embeddings, and falls back to comparing words.
//!
//! ```console
//! $ cargo run --package upright-examples --bin integration_vectors -- "what to do when a disk is full"
//! ```
//!
//! The index (HNSW, by `instant-distance`) and the calls to `/api/embed` are real. Ollama's `nomic-embed-text` finds
//! similar texts; the simulator only finds equal ones.

use instant_distance::{Builder, HnswMap, Point, Search};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use upright::ollama::{OllamaClient, Timeouts};
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
/// Memory use above which results are fewer; percent.
const HIGH: f64 = 90.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let model = arguments.model_or("nomic-embed-text");
    let query = arguments.text_or("what to do when a disk is full");
    let ollama = ollama(Timeouts::default())?;
    let base_delay = arguments.span(Duration::from_secs(1)).as_secs_f64();
    let retry = RetryConfig { base_delay, ..RetryConfig::default() };
    let manager = RecoveryManager::builder().retry(retry).health(health(&arguments)?).build()?;

    let report = manager.system_health(&[]).await;
    let memory = report.get("resources").and_then(|status| status.details["memory_percent"].as_f64());
    let mut limit = 5;
    if memory.is_some_and(|percent| percent > HIGH) {
        manager.degradation().cache().clear_cache();
        limit = 2;
        println!("High memory usage: caches cleared, at most {limit} results.");
    }

    let build = manager.operation("embed documents").run(|_| embed(&ollama, &model, &DOCUMENTS));
    let index = match narrated(&manager, build).await {
        // A fixed seed keeps the order of equal hits.
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

#[derive(Debug, Serialize, Deserialize)]
struct Hit {
    text: String,
    score: f32,
}

/// Normalised to length 1, so that distances compare directions.
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

/// Documents with the most common words: worse than vectors, but always available.
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
