//! Handles a request: choose, wait, answer.

use crate::asked::Asked;
use crate::feed::{Ending, feed};
use crate::healthy::{self, Reply};
use crate::line::ResetFlag;
use crate::plans::Chosen;
use crate::replay::{self, Play};
use crate::rows::Header;
use crate::state::{Exchange, State, locked};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

pub(crate) async fn handle(state: Arc<State>, reset: ResetFlag, request: Request<Incoming>) -> io::Result<Answer> {
    let asked = Asked::read(request).await?;
    let releases = state.releases();
    let chosen = locked(&state.plans).choose(&asked);
    let mut exchange = Exchange::begin(&state, &asked, chosen.name(), reset);
    let (play, headers) = match &chosen {
        Chosen::Healthy => (serve(&state, &asked).await.into(), NO_HEADERS),
        Chosen::NoSuchRow(fault) => (Reply::error(&asked, 404, &fault.to_string()).into(), NO_HEADERS),
        Chosen::Row(row) => match replay::play(&state, &asked, row, releases).await {
            Ok(play) => (play, row.headers),
            Err(fault) => {
                exchange.reset_connection();
                return Err(fault);
            }
        },
    };
    respond(&state, play, headers, chosen.name(), exchange)
}

const NO_HEADERS: &[(&str, Header)] = &[];

async fn serve(state: &State, asked: &Asked) -> Reply {
    if healthy::admit(state, asked).is_ok_and(healthy::loads_model) {
        state.load(asked.model_name()).await;
    }
    replay::good(state, asked)
}

fn respond(state: &State, play: Play, headers: &[(&str, Header)], replay: &str, mut exchange: Exchange) -> io::Result<Answer> {
    let Play { reply, ending } = play;
    let mut answer = Response::builder().status(reply.status).header(CONTENT_TYPE, reply.content_type).header(crate::REPLAY_HEADER, replay);
    for (name, header) in headers {
        answer = answer.header(*name, replay::header_text(*header));
    }
    let body = if reply.streamed || !matches!(ending, Ending::Whole) {
        let pieces = [reply.tokens, reply.end].concat();
        feed(pieces, ending, *locked(&state.token_interval), exchange)
    } else {
        exchange.complete();
        let never = |never: Infallible| match never {};
        BodyExt::boxed_unsync(Full::new(Bytes::from(reply.end.concat())).map_err(never))
    };
    answer.body(body).map_err(io::Error::other)
}
