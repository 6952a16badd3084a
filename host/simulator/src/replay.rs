//! Turns a row into an answer.

use crate::asked::Asked;
use crate::dialect::Finish;
use crate::feed::Ending;
use crate::healthy::{self, Reply};
use crate::rows::{Behaviour, Body, Header, Row};
use crate::state::{Releases, State};
use crate::window::{self, Read};
use bytes::Bytes;
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, SystemTime};

#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) reply: Reply,
    pub(crate) ending: Ending,
}

impl From<Reply> for Play {
    fn from(reply: Reply) -> Self {
        Self { reply, ending: Ending::Whole }
    }
}

/// Waits where the row does. An error resets the connection before any answer.
pub(crate) async fn play(state: &State, asked: &Asked, row: &Row, mut releases: Releases) -> io::Result<Play> {
    let dialect = healthy::dialect(asked);
    let written = |most, finish| healthy::written(asked, dialect, most, finish);
    Ok(match row.behaviour {
        Behaviour::Answer => at_once(asked, row).into(),
        Behaviour::StreamThenErrorLine { after_tokens } => {
            if !asked.wants_stream() {
                Reply::error(asked, 500, row.body.text()).into()
            } else if dialect.is_openai() {
                written(after_tokens, Finish::Swallowed).into()
            } else {
                let mut reply = written(after_tokens, Finish::Missing);
                reply.end.push(format!("{}\n", json!({"error": row.body.text()})).into());
                reply.into()
            }
        }
        Behaviour::StreamThenCleanEnd { after_tokens } => written(after_tokens, Finish::Missing).into(),
        Behaviour::DoneFalse => written(usize::MAX, Finish::Missing).into(),
        Behaviour::OpenAiSwallowedError { after_tokens } => written(after_tokens, Finish::Swallowed).into(),
        Behaviour::LoadReason => written(0, Finish::Reason("load")).into(),
        Behaviour::UnloadReason => written(0, Finish::Reason("unload")).into(),
        Behaviour::StreamThenReset { after_tokens } => cut(state, asked, after_tokens, |_| Ending::Reset),
        Behaviour::StreamThenAbort { after_tokens } => cut(state, asked, after_tokens, |_| Ending::Abort),
        Behaviour::StreamThenStall { after_tokens } => {
            cut(state, asked, after_tokens, |rest| Ending::Stall { release: releases.holds, rest })
        }
        Behaviour::SlowDrip => {
            let mut reply = Reply::json(row.status, &Value::Null);
            reply.end.clear();
            Play { reply, ending: Ending::Drip }
        }
        Behaviour::ResetBeforeHeaders => return Err(io::ErrorKind::ConnectionReset.into()),
        Behaviour::HangBeforeHeaders => {
            state.hold_load(&mut releases.holds, Duration::ZERO).await;
            good(state, asked).into()
        }
        Behaviour::ColdLoad => {
            state.load_cold(asked.model_name(), &mut releases.loads).await;
            good(state, asked).into()
        }
    })
}

pub(crate) fn good(state: &State, asked: &Asked) -> Reply {
    healthy::admit(state, asked).map_or_else(
        |refusal| refusal,
        |route| {
            let mut read = Read::of(asked);
            if healthy::loads_model(route) {
                if let Some((model, window)) = state.model(asked.model_name()).and_then(|model| model.window.map(|window| (model, window)))
                {
                    match window::read(state, asked, &model, &window) {
                        Ok(found) => read = found,
                        Err(refusal) => return refusal,
                    }
                } else {
                    state.make_resident(asked.model_name());
                }
            }
            healthy::answer(state, asked, route, read)
        },
    )
}

/// Sends this many tokens, or half of a single piece; the rest is for the ending.
fn cut(state: &State, asked: &Asked, after_tokens: usize, ending: impl FnOnce(Vec<Bytes>) -> Ending) -> Play {
    let mut reply = good(state, asked);
    let rest = if reply.streamed {
        let mut rest = reply.tokens.split_off(after_tokens.min(reply.tokens.len()));
        rest.append(&mut reply.end);
        rest
    } else {
        let whole = reply.end.concat();
        let (first, second) = whole.split_at(whole.len() / 2);
        reply.end = vec![Bytes::copy_from_slice(first)];
        vec![Bytes::copy_from_slice(second)]
    };
    Play { reply, ending: ending(rest) }
}

fn at_once(asked: &Asked, row: &Row) -> Reply {
    match row.body {
        Body::NativeJson(text) | Body::InnerJson(text) => Reply::error(asked, row.status, text),
        Body::NativeJsonWith(text, fields) => {
            if asked.is_openai() {
                return Reply::error(asked, row.status, text);
            }
            let mut body = json!({"error": text});
            for (name, value) in fields {
                body[*name] = (*value).into();
            }
            Reply::json(row.status, &body)
        }
        Body::Plain(text) => Reply::plain(row.status, text),
        Body::Html(text) => Reply::text(row.status, "text/html; charset=utf-8", text),
        Body::Empty => Reply::plain(row.status, ""),
    }
}

pub(crate) fn header_text(header: Header) -> String {
    match header {
        Header::Fixed(text) => text.to_owned(),
        Header::HttpDateIn(seconds) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
    }
}
