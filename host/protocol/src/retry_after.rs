//! Reads how long a server asks to wait.
//!
//! `Retry-After` is loosely written seconds or a date. A client that reads only seconds takes dates for no wait.

use std::time::{Duration, SystemTime};

/// Delay that a `Retry-After` header requests, from `now` on the wall clock.
///
/// Negative numbers and past dates mean no delay; unreadable values `None`.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(asked) = value.parse::<f64>() {
        return asked.is_finite().then(|| seconds(asked));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// Delay that an answer's headers request. `header` takes lower-case names; `now` is wall-clock time.
///
/// `retry-after-ms`, sent by some clouds, takes precedence. Dates are relative to the answer's `Date`, since clocks
/// differ.
pub fn of_headers<'a>(header: impl Fn(&str) -> Option<&'a str>, now: SystemTime) -> Option<Duration> {
    let milliseconds = header("retry-after-ms").and_then(|value| value.trim().parse::<f64>().ok()).filter(|span| span.is_finite());
    if let Some(milliseconds) = milliseconds {
        return Some(seconds(milliseconds / 1000.0));
    }
    let sent = header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    parse_retry_after(header("retry-after")?, sent.unwrap_or(now))
}

/// At most `Duration::MAX`.
fn seconds(seconds: f64) -> Duration {
    if seconds > 0.0 { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        // The example of RFC 9110.
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn seconds_are_read_whole_and_fractional() {
        assert_eq!(parse_retry_after("120", now()), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after(" 1.5 ", now()), Some(Duration::from_millis(1500)));
        assert_eq!(parse_retry_after("0", now()), Some(Duration::ZERO));
    }

    #[test]
    fn a_retry_after_date_becomes_the_time_until_then() {
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:51:37 GMT", now()), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sunday, 06-Nov-94 08:50:37 GMT", now()), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_retry_after_in_the_past_is_no_wait() {
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", now()), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("-5", now()), Some(Duration::ZERO));
    }

    #[test]
    fn an_invalid_retry_after_is_ignored() {
        for nonsense in ["", "soon", "NaN", "inf", "-infinity", "1e999", "12 seconds", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse_retry_after(nonsense, now()), None, "{nonsense}");
        }
        assert_eq!(parse_retry_after("99999999999999999999999", now()), Some(Duration::MAX));
    }

    #[test]
    fn a_date_is_read_against_the_answers_own_clock() {
        let headers = [("date", "Sun, 06 Nov 1994 07:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 07:49:47 GMT")];
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        assert_eq!(of_headers(header, now()), Some(Duration::from_secs(10)));
        assert_eq!(of_headers(|name| header(name).filter(|_| name != "date"), now()), Some(Duration::ZERO));
    }

    #[test]
    fn milliseconds_are_more_exact_than_seconds() {
        let headers = [("retry-after-ms", "2500"), ("retry-after", "3")];
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        assert_eq!(of_headers(header, now()), Some(Duration::from_millis(2500)));
        assert_eq!(
            of_headers(|name| if name == "retry-after-ms" { Some("soon") } else { header(name) }, now()),
            Some(Duration::from_secs(3))
        );
    }
}
