//! The acts of the demo.

use super::gateway;
use super::screen::Screen;
use super::stage::Stage;
use crate::output::{BAD, FAINT, GOOD};
use futures_util::future::{Either, join, join_all, select};
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;
use upright::policy::SwapOptions;
use upright::{Error, Recovered, Served};
use upright_simulator::HEALTHY_STEP;

/// Number of chats during the swap; fewer with a real model, which is slow.
const CHATS_DURING_SWAP: usize = 24;
const REAL_CHATS_DURING_SWAP: usize = 8;
const LONG_QUESTION: usize = 6000;
const ITEMS: u32 = 20;
const CRASH_AT: u32 = 13;
const SAVE_EVERY: u32 = 5;

pub(super) async fn play(stage: &mut Stage, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    let (first, chain) = (stage.models[0].clone(), stage.models.clone());

    screen.heading("A chat, streamed")?;
    ask(stage, screen, &chain, "Why is the sky blue?").await?;

    screen.heading("The server is busy, twice: wait a little longer each time")?;
    stage.trouble.plan(&first, &["server-busy", "server-busy"])?;
    ask(stage, screen, &chain, "How far is the moon?").await?;

    screen.heading("An answer breaks off in the middle: half an answer is no answer")?;
    stage.trouble.plan(&first, &["stream-clean-end"])?;
    ask(stage, screen, &chain, "What is a quark?").await?;

    if stage.simulated().is_some() {
        screen.heading("A question does not fit the window: the model is loaded with a larger one, and nothing of the question is lost")?;
        let question = format!("Sum this up: {}", ["word"; LONG_QUESTION].join(" "));
        screen.mark(FAINT, "asked", &format!("{first}: a question of {LONG_QUESTION} words"))?;
        let result = screen.watch(stage.chat(&chain, &question)).await?;
        tell(screen, &result)?;
    }

    screen.heading("A model is not installed: another one takes its place at once")?;
    let missing = [vec!["upright-demo-not-installed:8b".to_owned()], chain.clone()].concat();
    ask(stage, screen, &missing, "Who was Ada Lovelace?").await?;

    breaker(stage, screen, &first, &chain).await?;
    swap(stage, screen, &first, &chain).await?;
    if stage.simulated().is_some() {
        gateway::play(stage, screen).await?;
    }
    gone(stage, screen, &chain).await?;
    crash(stage, screen).await
}

pub(super) async fn ask(stage: &Stage, screen: &mut Screen<'_>, models: &[String], question: &str) -> anyhow::Result<()> {
    screen.mark(FAINT, "asked", &format!("{}: {question}", models[0]))?;
    let result = screen.watch(stage.chat(models, question)).await?;
    tell(screen, &result)
}

fn tell(screen: &Screen<'_>, result: &Result<Recovered<String>, Error>) -> anyhow::Result<()> {
    let recovered = match result {
        Ok(recovered) => recovered,
        Err(error) => return screen.mark(BAD, "error", &error.to_string()),
    };
    let from = match recovered.served {
        Served::Live => recovered.model.as_deref().unwrap_or_default().to_owned(),
        Served::Cached { age } => format!("from the cache, {:.1} s old", age.as_secs_f64()),
        Served::Fallback => "by the caller's fallback".to_owned(),
    };
    let beginning: String = recovered.value.chars().take(48).collect();
    let attempts = recovered.attempts;
    screen.mark(GOOD, "answered", &format!("{from}, {attempts} attempt{}: {beginning}…", if attempts == 1 { "" } else { "s" }))
}

async fn breaker(stage: &Stage, screen: &mut Screen<'_>, first: &str, chain: &[String]) -> anyhow::Result<()> {
    screen.heading("A model's runner keeps dying: its breaker opens, the other model serves, and the breaker closes again")?;
    stage.trouble.always(first, "model-runner-stopped")?;
    for question in ["What is rust?", "What is iron?", "What is steel?"] {
        ask(stage, screen, chain, question).await?;
    }
    stage.trouble.clear();
    screen.mark(FAINT, "repaired", &format!("{first} would answer again; its breaker finds out by itself"))?;
    let until_probe = stage.manager.model_breaker(first).try_acquire().err().and_then(|open| open.time_left());
    screen.watch(sleep(until_probe.unwrap_or_default() + Duration::from_millis(20))).await?;
    for question in ["What is copper?", "What is bronze?"] {
        ask(stage, screen, chain, question).await?;
    }
    Ok(())
}

async fn swap(stage: &Stage, screen: &mut Screen<'_>, first: &str, chain: &[String]) -> anyhow::Result<()> {
    let number_of_chats = if stage.simulated().is_some() { CHATS_DURING_SWAP } else { REAL_CHATS_DURING_SWAP };
    screen.heading(&format!("The policy is swapped while {number_of_chats} chats are in flight, and none is lost"))?;
    screen.brief = true;
    // Successes in between keep the breaker closed.
    let steps: Vec<_> = (0..number_of_chats).map(|call| if call % 8 == 5 { "server-busy" } else { HEALTHY_STEP }).collect();
    stage.trouble.plan(first, &steps)?;
    let (done, lost, at_swap) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let chats = join_all((0..number_of_chats).map(|number| {
        let (done, lost) = (&done, &lost);
        async move {
            sleep(Duration::from_millis(20 * number as u64)).await;
            let result = stage.chat(chain, &format!("What is {number} times {number}?")).await;
            done.fetch_add(1, Ordering::Relaxed);
            lost.fetch_add(u32::from(result.is_err()), Ordering::Relaxed);
        }
    }));
    let swapping = async {
        sleep(Duration::from_millis(20 * number_of_chats as u64 / 2)).await;
        at_swap.store(done.load(Ordering::Relaxed), Ordering::Relaxed);
        stage.manager.policy().swap(stage.candidate.clone(), &SwapOptions::default())
    };
    let (_, swapped) = screen.watch(join(chats, swapping)).await?;
    swapped?;
    let (before, lost) = (at_swap.into_inner(), lost.into_inner());
    let after = done.into_inner() - before;
    let style = if lost == 0 { GOOD } else { BAD };
    screen.mark(style, "answered", &format!("{before} chats before the swap, {after} after it, {lost} lost"))?;
    screen.brief = false;
    stage.trouble.clear();
    stage.trouble.plan(first, &["server-busy", "server-busy"])?;
    ask(stage, screen, chain, "Does the new policy wait longer each time?").await
}

async fn gone(stage: &Stage, screen: &mut Screen<'_>, chain: &[String]) -> anyhow::Result<()> {
    screen.heading("The server is gone: a cached answer serves, and is marked as such")?;
    match stage.simulated() {
        Some(server) => {
            server.shutdown().await;
            screen.mark(BAD, "stopped", "the server no longer listens at its address")?;
        }
        None => {
            for model in chain {
                stage.trouble.always(model, "cloud-unreachable")?;
            }
        }
    }
    ask(stage, screen, chain, "Why is the sky blue?").await
}

#[derive(Default, Serialize, Deserialize)]
struct Progress {
    item: u32,
}

async fn crash(stage: &mut Stage, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    screen.heading("An import crashes in the middle, and resumes from its checkpoint")?;
    let manager = stage.manager.clone();
    let import = move |crash: Option<oneshot::Sender<u32>>| {
        let (manager, mut crash) = (manager.clone(), crash);
        async move {
            let mut progress: Progress = manager.restore_checkpoint("import").await?.unwrap_or_default();
            let began_at = progress.item;
            while progress.item < ITEMS {
                if progress.item == CRASH_AT
                    && let Some(crash) = crash.take()
                {
                    // The receiver then drops this future, which is the crash.
                    let _ = crash.send(progress.item);
                    std::future::pending::<()>().await;
                }
                sleep(Duration::from_millis(10)).await;
                progress.item += 1;
                if progress.item.is_multiple_of(SAVE_EVERY) {
                    manager.save_checkpoint("import", &progress).await?;
                }
            }
            Ok::<_, upright::store::StoreError>(began_at)
        }
    };
    // Only the checkpoint survives the drop.
    let (crash, crashed) = oneshot::channel();
    let at = {
        let running = import(Some(crash));
        match screen.watch(select(pin!(running), crashed)).await? {
            Either::Right((at, _)) => at?,
            Either::Left((ended, _)) => ended?,
        }
    };
    screen.mark(BAD, "crashed", &format!("at item {at} of {ITEMS}; a checkpoint was saved every {SAVE_EVERY}"))?;
    let began_at = screen.watch(import(None)).await??;
    stage.resumed_at = Some(began_at);
    screen.mark(GOOD, "resumed", &format!("at item {began_at}, and finished all {ITEMS}"))
}
