//! Altered requests of real clients: scanned, rewritten and edited by the gateway.

use super::{Tally, Target, count};
use crate::dice::Dice;
use crate::finding::{Broken, one_line};
use serde::de::IgnoredAny;
use std::path::{Path, PathBuf};
use upright_gateway::scan::request::{Edit, Fields, Key, canonical, edited, scan, text};

const CHANGES: usize = 5;
const LONGEST: usize = 64;
const SIMPLER: usize = 128;

/// Pieces that parsers read in different ways.
const PIECES: [&[u8]; 16] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b" ",
    b"null",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\ud83d",
    b"\\u006d",
    b"\"model\":\"other\",",
    b"\"Model\":\"other\",",
    b"\"\xc5\xbftream\":true,",
    b"\"options\":{\"num_ctx\":1},",
];

const EDITS: [Edit<'static>; 4] = [
    Edit::Text(Key::Model, "new \"name\""),
    Edit::Truth(Key::Truncate, false),
    Edit::Options { window: Some(8192), seed: Some(7) },
    Edit::Number(Key::KeepAlive, -1),
];

/// The target.
pub struct Requests {
    seeds: Vec<Vec<u8>>,
}

impl Default for Requests {
    fn default() -> Self {
        let seeds = upright_recordings::recordings().iter().map(|recording| recording.request.bytes());
        Self { seeds: seeds.filter(|body| !body.is_empty()).collect() }
    }
}

type Meaning = (Option<String>, Option<bool>, Option<bool>, Option<u64>);

fn meaning(body: &[u8], fields: &Fields) -> Meaning {
    let model = fields.model.as_ref().and_then(|span| text(body, span));
    (model.map(|model| model.into_owned()), fields.stream, fields.truncate, fields.num_ctx)
}

fn nonsense(question: &'static str, body: &[u8], expected: &'static str) -> Broken {
    Broken::Nonsense { question, answer: body.escape_ascii().to_string(), expected }
}

impl Target for Requests {
    type Case = Vec<u8>;

    const NAME: &'static str = "requests";

    fn make(&self, dice: &mut Dice) -> Vec<u8> {
        let mut body = dice.pick(&self.seeds).clone();
        for _ in 0..=dice.below(CHANGES) {
            let at = dice.below(body.len() + 1);
            match dice.below(3) {
                0 => drop(body.splice(at..at, dice.pick(&PIECES).iter().copied())),
                1 => drop(body.drain(dice.part(body.len(), LONGEST))),
                _ => {
                    let copy = body[dice.part(body.len(), LONGEST)].to_vec();
                    drop(body.splice(at..at, copy));
                }
            }
        }
        body
    }

    fn examine(&self, body: &Vec<u8>, tally: &mut Tally) -> Result<(), Broken> {
        let scanned = scan(body);
        let written = match canonical(body) {
            Ok(written) => written,
            Err(malformed) => {
                count(tally, "refused");
                return one_line(&malformed.to_string());
            }
        };
        let Ok(rewritten) = scan(&written) else { return Err(nonsense("canonical", &written, "a body that is not odd")) };
        if canonical(&written).as_ref() != Ok(&written) {
            return Err(nonsense("canonical", &written, "the same body, when it is rewritten once more"));
        }
        let fields = match scanned {
            Ok(fields) => fields,
            Err(odd) => {
                count(tally, "odd");
                return one_line(&odd.to_string());
            }
        };
        count(tally, "plain");
        if meaning(body, &fields) != meaning(&written, &rewritten) {
            return Err(nonsense("scan", body, "the meaning of the rewritten body"));
        }
        let changed = edited(body, &fields, &EDITS);
        let wanted = (Some("new \"name\"".to_owned()), fields.stream, Some(false), Some(8192));
        let found = scan(&changed).map(|fields| meaning(&changed, &fields));
        if serde_json::from_slice::<IgnoredAny>(&changed).is_err() || found != Ok(wanted) {
            return Err(nonsense("edited", &changed, "JSON with the changed members"));
        }
        Ok(())
    }

    fn simpler(&self, body: &Vec<u8>) -> Vec<Vec<u8>> {
        let (mut simpler, mut size) = (Vec::new(), body.len().div_ceil(2));
        while size > 0 && simpler.len() < SIMPLER {
            let without = |start: usize| [&body[..start], &body[body.len().min(start + size)..]].concat();
            simpler.extend((0..body.len()).step_by(size).map(without));
            size /= 2;
        }
        simpler
    }

    fn save(&self, body: &Vec<u8>, folder: &Path, stem: &str) -> std::io::Result<Vec<PathBuf>> {
        let path = folder.join(stem).with_extension("json");
        std::fs::write(&path, body)?;
        Ok(vec![path])
    }

    fn describe(&self, body: &Vec<u8>) -> String {
        body.escape_ascii().to_string()
    }
}
