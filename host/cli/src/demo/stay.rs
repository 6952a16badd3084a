//! `upright demo --stay`: a running program to try policies on.

use super::DemoArguments;
use super::acts::ask;
use super::screen::Screen;
use super::stage::Stage;
use crate::commands::policy::keys;
use crate::exit::Failure;
use crate::output::{FAINT, GOOD};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;
use upright::policy::{PolicyLoader, SwapOptions};
use upright_operations::home::Start;
use upright_operations::{PolicyFleet, PolicyHome, watch};

const PAUSE: Duration = Duration::from_millis(300);

/// Failures of successive chats.
const TROUBLES: [&[&str]; 6] = [&[], &["server-busy"], &[], &["model-runner-stopped"], &[], &["stream-clean-end"]];

pub(super) struct Stay {
    home: Option<PolicyHome>,
    loader: PolicyLoader,
    host: Option<String>,
}

impl Stay {
    pub(super) fn of(arguments: &DemoArguments) -> Result<Self, Failure> {
        let home = arguments.home.as_ref().map(PolicyHome::open).transpose().map_err(Failure::bad_input)?;
        let host = || arguments.host_name.clone().unwrap_or_else(own_name);
        Ok(Self { home, loader: keys::loader(&arguments.trust)?, host: arguments.state.is_some().then(host) })
    }

    pub(super) async fn play(&self, stage: &Stage, screen: &mut Screen<'_>) -> anyhow::Result<()> {
        let slot = stage.manager.policy();
        let mut watch = None;
        if let Some(home) = &self.home {
            let started = home.start(slot, None, &self.loader, &SwapOptions::default())?;
            if let Start::LastGood { .. } = started {
                screen.mark(GOOD, "began", &format!("with the last good policy, {}", upright_core::policy::label(&slot.description())))?;
            }
            watch = Some(watch::answer_requests(slot, home, &self.loader)?);
            screen.mark(
                FAINT,
                "home",
                &format!("{}: `upright policy swap FILE --home` reaches this program", home.directory().display()),
            )?;
        }
        let mut following = None;
        if let Some(host) = &self.host {
            let fleet = PolicyFleet::new(stage.manager.store());
            following = Some(fleet.follow(slot, &self.loader, host)?);
            screen.mark(FAINT, "fleet", &format!("{host}: `upright policy publish FILE --state` reaches it"))?;
        }
        screen.heading("Chats, until you interrupt")?;
        let ended = {
            let chats = pin!(chat(stage, screen));
            match select(chats, pin!(interrupted())).await {
                Either::Left((ended, _)) => ended,
                Either::Right(((), _)) => Ok(()),
            }
        };
        drop((watch, following));
        stage.manager.shutdown_gracefully(Duration::from_secs(2)).await;
        slot.flush();
        ended
    }
}

async fn chat(stage: &Stage, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    let (first, chain) = (stage.models[0].clone(), stage.models.clone());
    for number in 0_u64.. {
        let trouble = TROUBLES[(number % TROUBLES.len() as u64) as usize];
        stage.trouble.clear();
        stage.trouble.plan(&first, trouble)?;
        ask(stage, screen, &chain, &format!("What is {number} times {number}?")).await?;
        screen.watch(sleep(PAUSE)).await?;
    }
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            let _ = select(pin!(tokio::signal::ctrl_c()), pin!(terminated.recv())).await;
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn own_name() -> String {
    #[cfg(unix)]
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let machine = std::env::var("COMPUTERNAME").unwrap_or_else(|_| "host".to_owned());
    format!("{machine}-{}", std::process::id())
}
