//! Asks a model a question, and asks again when that can help. The model is the first argument.

use upright::RetryStrategy;
use upright::ollama::{BaseUrl, ChatRequest, OllamaClient};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let model = std::env::args().nth(1).unwrap_or("qwen3:8b".to_owned());
    let ollama = OllamaClient::new(BaseUrl::from_environment()?)?;
    let retry = RetryStrategy::builder().name("chat").max_retries(3).build()?;
    match ask(&retry, &ollama, &model).await {
        Ok(answer) => println!("{answer}"),
        Err(error) => println!("No answer: {error}"),
    }
    Ok(())
}

pub(crate) async fn ask(retry: &RetryStrategy, ollama: &OllamaClient, model: &str) -> Result<String, upright::Error> {
    let answer = retry.execute(|| ollama.chat(ChatRequest::ask(model, "Why is the sky blue?"))).await?;
    Ok(answer.message.content)
}
