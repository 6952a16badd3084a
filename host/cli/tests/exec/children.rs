//! A child's input, output and signals, and whether a process is alive.

use std::fs;
use std::path::Path;
use std::process::Output;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use upright_test_kit::wait::{until, within};

/// A zombie is not alive.
pub(crate) fn is_alive(number: u32) -> bool {
    match fs::read_to_string(format!("/proc/{number}/stat")) {
        Ok(stat) => !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'),
        Err(_) if Path::new("/proc/self/stat").exists() => false,
        Err(_) => std::process::Command::new("kill").args(["-0", &number.to_string()]).status().unwrap().success(),
    }
}

pub(crate) async fn is_gone(number: u32) {
    until(&format!("process {number} ends"), async || !is_alive(number)).await;
}

pub(crate) async fn expect(from: &mut (impl AsyncRead + Unpin), bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    within(from.read_exact(&mut read)).await.unwrap();
    assert_eq!(read, bytes);
}

pub(crate) async fn output(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let giving = async move {
        let _ = stdin.write_all(input).await;
    };
    let (ended, ()) = tokio::join!(within(child.wait_with_output()), giving);
    ended.unwrap()
}

pub(crate) fn id(child: &Child) -> u32 {
    child.id().unwrap()
}
