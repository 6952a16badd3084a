//! Carries an error answer through the strategy.

use super::Time;
use super::body::Replayed;
use futures_util::future::select;
use reqwest::{Body, Response, ResponseBuilderExt, Url};
use std::pin::pin;
use upright_core::fault::{KnownFault, endpoint_of, fault_of_answer};

const LIMIT: usize = 4 << 10;

#[derive(Debug, thiserror::Error)]
#[error("the server answered with status {}{}{}", response.status(), if known.fault.message.is_empty() { "" } else { ": " }, known.fault.message)]
pub(crate) struct FailedResponse {
    response: Response,
    /// The facts, with the endpoint of the URL that answered.
    #[source]
    known: KnownFault,
}

impl FailedResponse {
    /// The body may break off, stall or never end, so the part that arrives in time counts.
    pub(super) async fn read(response: Response, time: Time<'_>) -> Self {
        let url = response.url().clone();
        let (parts, body) = http::Response::<Body>::from(response).into_parts();
        let mut body = Replayed::new(body);
        select(pin!(body.look_ahead(LIMIT)), time.clock.sleep(time.for_words())).await;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let fault = fault_of_answer(endpoint_of(url.path()), parts.status.as_u16(), header, &body.beginning(LIMIT), time.clock.wall());
        Self { response: rebuilt(parts, url, Body::wrap(body)), known: fault.into() }
    }

    pub(super) fn into_response(self) -> Response {
        self.response
    }
}

/// The URL travels among the extensions, under a key that only the builder can make.
fn rebuilt(mut parts: http::response::Parts, url: Url, body: Body) -> Response {
    let with_url = http::Response::builder().url(url).body(()).unwrap_or_default();
    parts.extensions.extend(with_url.into_parts().0.extensions);
    http::Response::from_parts(parts, body).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use crate::types::{Endpoint, FaultKind};
    use futures_util::{StreamExt, stream};
    use http::Version;
    use std::time::Duration;
    use upright_core::clock::Clock;
    use upright_core::fault::fault_of;

    fn response(status: u16, body: impl Into<Body>) -> Response {
        let builder = http::Response::builder().status(status).version(Version::HTTP_2).header("x-kept", "yes").header("retry-after", "7");
        builder.url("http://host/v1/chat/completions".parse().unwrap()).body(body).unwrap().into()
    }

    async fn read(response: Response) -> FailedResponse {
        let clock = DrivenClock::skipping();
        FailedResponse::read(response, Time { clock: &clock, began: clock.now(), limit: None }).await
    }

    #[tokio::test]
    async fn the_facts_are_read_and_the_response_stays_whole() {
        let body = r#"{"error":{"message":"too many","type":"rate_limit"}}"#;
        let failed = read(response(429, body)).await;
        let fault = fault_of(&failed);
        assert_eq!((fault.kind, fault.status, fault.endpoint), (FaultKind::HttpStatus, Some(429), Endpoint::Openai));
        assert_eq!((fault.message.as_str(), fault.retry_after), ("too many", Some(7.0)));
        let response = failed.into_response();
        assert_eq!((response.status().as_u16(), response.version()), (429, Version::HTTP_2));
        assert_eq!((response.headers()["x-kept"].as_bytes(), response.url().as_str()), (&b"yes"[..], "http://host/v1/chat/completions"));
        assert_eq!(response.content_length(), Some(body.len() as u64));
        assert_eq!(response.text().await.unwrap(), body);
    }

    #[tokio::test]
    async fn of_a_long_body_the_beginning_is_looked_at_and_all_of_it_handed_on() {
        let pieces: Vec<String> = (0..100).map(|piece| format!("{piece:0>1000}")).collect();
        let stream = stream::iter(pieces.clone().into_iter().map(Ok::<_, std::io::Error>));
        let failed = read(response(500, Body::wrap_stream(stream))).await;
        assert_eq!(failed.known.fault.message.len(), LIMIT);
        assert_eq!(failed.into_response().text().await.unwrap(), pieces.concat());
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_not_waited_for() {
        let stream = stream::iter([Ok::<_, std::io::Error>("some")]).chain(stream::pending());
        assert_eq!(read(response(503, Body::wrap_stream(stream))).await.known.fault.message, "some");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_breaks_off_for_the_caller_too() {
        let stream = stream::iter([Ok("some"), Err(std::io::Error::other("gone"))]);
        let failed = read(response(503, Body::wrap_stream(stream))).await;
        assert_eq!(failed.known.fault.message, "some");
        let mut response = failed.into_response();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "some");
        assert!(response.chunk().await.is_err());
    }

    #[test]
    fn the_words_take_a_second_at_most_and_leave_half_of_what_is_left_of_the_attempt() {
        let clock = DrivenClock::new();
        clock.advance(Duration::from_secs(100));
        let span = |limit| Time { clock: &clock, began: 90_000_000_000, limit }.for_words().as_millis();
        assert_eq!([None, Some(60), Some(11), Some(5)].map(|limit| span(limit.map(Duration::from_secs))), [1000, 1000, 500, 0]);
    }
}
