//! The tasks of the programs that tests start as processes, with the names and values that a task and its tests share.
//!
//! A step that fails ends the program, which fails its test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod counting;
pub mod filling;
pub mod obeying;
pub mod saving;
pub mod story;

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}
