//! The act of the gateway: two simulated hosts, of which one fails, and a client without recovery of its own.

use super::screen::Screen;
use super::stage::Stage;
use crate::output::{BAD, FAINT, GOOD};
use anyhow::Context;
use futures_util::StreamExt;
use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;
use upright::ollama::{BaseUrl, ChatRequest, OllamaClient};
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_simulator::{FaultServer, Match};

pub(super) async fn play(stage: &Stage, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    screen.heading("A gateway stands before two hosts: one fails, one is killed in mid-sentence, and its client notices neither")?;
    let hosts = [host(stage).await?, host(stage).await?];
    let mut config = Config::of_flags(Some("127.0.0.1:0"), &[hosts[0].url(), hosts[1].url()], None)?;
    config.retry.base_delay = Duration::from_millis(250);
    let gateway = Gateway::start(config, stage.manager.policy().slot().clone(), StartOptions { workers: 1, ..StartOptions::default() })?;
    let address: BaseUrl = format!("http://{}", gateway.address()).parse()?;
    screen.mark(FAINT, "gateway", &format!("{address} asks {} and {}", hosts[0].url(), hosts[1].url()))?;
    let client = OllamaClient::new(address)?;

    // The host that has answered has the model loaded, so the next question goes there first.
    ask(stage, screen, &client, &hosts, "Why is grass green?").await?;
    let failing = hosts.iter().find(|host| asked(host) > 0).context("no host was asked")?;
    failing.plan(Match::path("/api/chat"), &["stream-clean-end"])?;
    ask(stage, screen, &client, &hosts, "Why is snow white?").await?;
    // A host that has just failed comes second, so the other one answers, and is killed.
    let answering = hosts.iter().find(|host| host.url() != failing.url()).context("no host is left")?;
    answering.plan(Match::path("/api/chat"), &["stream-stall"])?;
    ask_and_kill(stage, screen, &client, &hosts, answering).await?;
    ask(stage, screen, &client, &hosts, "Why is coal black?").await?;

    tokio::task::spawn_blocking(move || gateway.drain()).await?;
    for host in &hosts {
        host.shutdown().await;
    }
    Ok(())
}

async fn host(stage: &Stage) -> anyhow::Result<FaultServer> {
    let host = FaultServer::start().await.context("the simulated server cannot be started")?;
    host.set_models(stage.models.iter().map(String::as_str));
    Ok(host)
}

/// Number of chats that a host was asked for.
fn asked(host: &FaultServer) -> usize {
    host.count("/api/chat")
}

/// Asks for an answer piece by piece, and kills the host that writes it after its first words.
async fn ask_and_kill(
    stage: &Stage,
    screen: &mut Screen<'_>,
    client: &OllamaClient,
    hosts: &[FaultServer; 2],
    answering: &FaultServer,
) -> anyhow::Result<()> {
    let (model, question) = (stage.models[0].as_str(), "Why is the sea salty?");
    screen.mark(FAINT, "asked", &format!("{model}: {question}"))?;
    let before = asked(answering);
    let mut chunks = pin!(client.chat_stream(ChatRequest::ask(model, question)));
    let (mut text, mut cut, mut whole) = (String::new(), String::new(), false);
    while let Some(chunk) = screen.watch(chunks.next()).await? {
        match chunk {
            Ok(chunk) => {
                text.push_str(&chunk.message.content);
                whole |= chunk.done;
            }
            Err(error) => {
                screen.mark(BAD, "error", &error.to_string())?;
                break;
            }
        }
        if cut.is_empty() && text.split(' ').count() > 3 && asked(answering) > before {
            cut = text.clone();
            screen.mark(FAINT, "begins", &cut)?;
            answering.shutdown().await;
            screen.mark(BAD, "killed", &format!("{} in mid-sentence", answering.url()))?;
        }
    }
    let mut tally = stage.tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.by_gateway += 1;
    if !whole {
        tally.failed += 1;
        return Ok(());
    }
    tally.finished += u32::from(!cut.is_empty());
    let by = hosts.iter().find(|host| host.url() != answering.url()).map(FaultServer::url).unwrap_or_default();
    let rest: String = text.get(cut.len()..).unwrap_or_default().chars().take(48).collect();
    screen.mark(GOOD, "finished", &format!("by {by}: …{rest}…"))
}

/// Asks once, without recovery in the client.
async fn ask(
    stage: &Stage,
    screen: &mut Screen<'_>,
    client: &OllamaClient,
    hosts: &[FaultServer; 2],
    question: &str,
) -> anyhow::Result<()> {
    let model = stage.models[0].as_str();
    screen.mark(FAINT, "asked", &format!("{model}: {question}"))?;
    let before = hosts.each_ref().map(asked);
    let answered = screen.watch(client.chat(ChatRequest::ask(model, question))).await?;
    let used: Vec<String> = hosts.iter().zip(before).filter(|(host, before)| asked(host) > *before).map(|(host, _)| host.url()).collect();
    let mut tally = stage.tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.by_gateway += 1;
    match answered {
        Ok(answer) => {
            tally.by_other_host += u32::from(used.len() > 1);
            let beginning: String = answer.message.content.chars().take(48).collect();
            screen.mark(GOOD, "answered", &format!("whole, after the gateway asked {}: {beginning}…", used.join(" and ")))
        }
        Err(error) => {
            tally.failed += 1;
            screen.mark(BAD, "error", &error.to_string())
        }
    }
}
