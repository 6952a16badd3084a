//! Cost of judging a piece of an answer.

use crate::group::{Case, Group, Target};
use anyhow::Result;
use serde::de::IgnoredAny;
use upright_protocol::{Asked, Judge, Piece, Reader, Route};

const PARSED: &str = "serde_json: the line, looked at and dropped";
const JUDGED: &str = "upright `Judge::take`: a piece that is decoded already";
const READ: &str = "upright `Reader::push`: a line of bytes, decoded and judged";

/// Alternating, because a judge stops at a line that repeats.
const LINES: [&str; 2] = [
    "{\"model\":\"qwen3:8b\",\"created_at\":\"2026-11-29T06:17:43.078504154Z\",\"message\":{\"role\":\"assistant\",\"content\":\" and\"},\"done\":false}\n",
    "{\"model\":\"qwen3:8b\",\"created_at\":\"2026-11-29T06:17:43.078523119Z\",\"message\":{\"role\":\"assistant\",\"content\":\" goodbye\"},\"done\":false}\n",
];
const TEXTS: [&str; 2] = [" and", " goodbye"];

pub(super) fn group() -> Result<Group> {
    Ok(Group {
        id: "judge",
        title: "A piece of a streamed answer, one thread",
        note: "A line of `/api/chat` as Ollama writes it. A client that decodes its lines anyway pays for `Judge::take` alone.",
        threads: 1,
        reference: PARSED,
        cases: cases(),
        targets: vec![Target::Nanoseconds { case: JUDGED, at_most: 1000.0 }, Target::NoAllocation { case: JUDGED }],
    })
}

fn cases() -> Vec<Case> {
    let parse = || {
        let mut turn = 0;
        move || {
            turn ^= 1;
            serde_json::from_str::<IgnoredAny>(LINES[turn]).is_ok()
        }
    };
    let judge = || {
        let (mut judge, mut turn) = (Judge::new(Asked::new(Route::Chat)), 0);
        move || {
            turn ^= 1;
            judge.take(&Piece { text: TEXTS[turn].into(), ..Piece::default() });
            !judge.is_over()
        }
    };
    let read = || {
        let (mut reader, mut turn) = (Reader::new(Asked::new(Route::Chat), 200), 0);
        move || {
            turn ^= 1;
            reader.push(LINES[turn].as_bytes());
            true
        }
    };
    vec![Case::new(PARSED, parse, |parsed| *parsed), Case::new(JUDGED, judge, |goes_on| *goes_on), Case::new(READ, read, |pushed| *pushed)]
}
