//! Reads prompts from the command line or standard input.

use crate::exit::Failure;
use std::io::{self, BufRead, IsTerminal, Read};
use tokio::sync::mpsc;

pub(super) enum Prompts {
    One(Option<String>),
    Lines(mpsc::Receiver<io::Result<String>>),
}

impl Prompts {
    pub(super) fn of(words: &[String]) -> Result<Self, Failure> {
        let lines = match words {
            [] if io::stdin().is_terminal() => {
                return Err(Failure::bad_input("PROMPT is missing; expected a prompt, or lines on standard input"));
            }
            [] => true,
            [word] => word == "-",
            _ => false,
        };
        if lines {
            return Ok(Self::Lines(read_lines()));
        }
        let prompt = words.join(" ");
        if prompt.trim().is_empty() {
            return Err(Failure::bad_input(format!("PROMPT is {prompt:?}; expected some text")));
        }
        Ok(Self::One(Some(prompt)))
    }

    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::One(prompt) => Ok(prompt.take()),
            Self::Lines(lines) => {
                let line = lines.recv().await.transpose();
                line.map_err(|error| Failure::bad_input(format!("standard input cannot be read: {error}; expected lines of UTF-8 text")))
            }
        }
    }
}

/// Maximum length, bytes.
const LONGEST_PROMPT: u64 = 16 << 20;

/// `None` at the end of input.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = input.take(LONGEST_PROMPT + 1).read_line(&mut line)?;
    if read as u64 > LONGEST_PROMPT {
        return Err(io::Error::other(format!("a line is longer than {LONGEST_PROMPT} bytes")));
    }
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// In a thread, so that Ctrl-C works meanwhile.
fn read_lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input).transpose() {
            let blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            let over = line.is_err();
            if !blank && (sender.blocking_send(line).is_err() || over) {
                return;
            }
        }
    });
    receiver
}
