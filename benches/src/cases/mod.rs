//! The measured cases.

mod decision;
mod empty;
mod extras;
mod judge;
mod peers;
mod rejection;
mod replay;
pub mod store;
mod success;
mod swap;

use crate::group::Group;
use anyhow::Result;
use tokio::runtime::{Builder, Runtime};

/// All groups. Targets name cases of their own group.
pub fn all() -> Result<Vec<Group>> {
    Ok(vec![
        success::alone()?,
        success::contended()?,
        success::with_state()?,
        rejection::group()?,
        decision::group()?,
        swap::group()?,
        replay::group()?,
        extras::group()?,
        judge::group()?,
    ])
}

/// A runtime for peers that create timers; nothing runs on it.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}
