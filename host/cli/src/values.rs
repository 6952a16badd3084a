//! Parses option values; each error names the value found and the values expected.

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;
use upright::ollama::BaseUrl;
use upright::types::{Endpoint, FaultKind};
use upright_core::clock::DURATION_LIMIT;
use upright_protocol::read_option;

type Read<T> = Result<T, String>;

fn expected<T>(given: &str, what: impl Display) -> Read<T> {
    Err(format!("{given:?}; expected {what}"))
}

/// Above 0.
pub(crate) fn seconds(given: &str) -> Read<Duration> {
    match given.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= DURATION_LIMIT.as_secs_f64() => Ok(Duration::from_secs_f64(number)),
        _ => expected(given, format_args!("a number of seconds above 0, at most {}, such as 2.5", DURATION_LIMIT.as_secs())),
    }
}

/// From 0.
pub(crate) fn seconds_or_none(given: &str) -> Read<f64> {
    match given.parse::<f64>() {
        Ok(number) if (0.0..=DURATION_LIMIT.as_secs_f64()).contains(&number) => Ok(number),
        _ => expected(given, format_args!("a number of seconds from 0 to {}, such as 2.5", DURATION_LIMIT.as_secs())),
    }
}

/// From 0.
pub(crate) fn span(given: &str) -> Read<Duration> {
    seconds_or_none(given).map(Duration::from_secs_f64)
}

fn whole<T: FromStr + PartialOrd + Display>(given: &str, low: T, high: T) -> Read<T> {
    match given.parse::<T>() {
        Ok(number) if low <= number && number <= high => Ok(number),
        _ => expected(given, format_args!("a whole number from {low} to {high}")),
    }
}

pub(crate) fn decision_limit(given: &str) -> Read<Duration> {
    match given.parse::<f64>() {
        Ok(number) if (0.001..=10.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => expected(given, "a number of seconds from 0.001 to 10, such as 0.2"),
    }
}

/// Converts MiB to bytes.
pub(crate) fn memory_limit(given: &str) -> Read<usize> {
    // On 32 bits, 4096 MiB exceed the address space by a byte.
    whole::<u64>(given, 1, 4096).map(|mebibytes| usize::try_from(mebibytes << 20).unwrap_or(usize::MAX))
}

pub(crate) fn retries(given: &str) -> Read<u32> {
    whole(given, 0, 1000)
}

#[cfg(unix)]
pub(crate) fn failures(given: &str) -> Read<u32> {
    whole(given, 1, 1_000_000)
}

#[cfg(unix)]
pub(crate) fn exit_code(given: &str) -> Read<u8> {
    whole(given, 1, 255)
}

pub(crate) fn seed(given: &str) -> Read<u64> {
    whole(given, 0, u64::MAX)
}

pub(crate) fn revision(given: &str) -> Read<u64> {
    whole(given, 0, u64::MAX)
}

pub(crate) fn decisions(given: &str) -> Read<u64> {
    whole(given, 1, u64::MAX)
}

pub(crate) fn share(given: &str) -> Read<f64> {
    match given.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1.0 => Ok(number),
        _ => expected(given, "a share above 0, at most 1, such as 0.25"),
    }
}

pub(crate) fn status(given: &str) -> Read<u16> {
    whole(given, 100, 599)
}

pub(crate) fn errno(given: &str) -> Read<i32> {
    whole(given, 1, 4095)
}

pub(crate) fn temperature(given: &str) -> Read<f64> {
    match given.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => expected(given, "a number from 0 to 100, such as 0.7"),
    }
}

pub(crate) fn option(given: &str) -> Read<(String, Value)> {
    match given.split_once('=') {
        Some((name, text)) if !name.is_empty() => {
            let value = read_option(name, text).map_err(|error| error.to_string())?;
            Ok((name.to_owned(), value))
        }
        _ => expected(given, "NAME=VALUE, such as num_ctx=8192"),
    }
}

pub(crate) fn tokens(given: &str) -> Read<u32> {
    whole(given, 1, i32::MAX as u32)
}

pub(crate) fn model(given: &str) -> Read<String> {
    let name = given.trim();
    let fits = !name.is_empty() && !name.contains(|character: char| character.is_whitespace() || character.is_control());
    if fits { Ok(name.to_owned()) } else { expected(given, "a model's name, such as qwen3:8b") }
}

#[cfg(unix)]
pub(crate) fn breaker(given: &str) -> Read<String> {
    /// Maximum length, bytes: each may become three in a file name, which is limited to 255.
    const LONGEST: usize = 64;
    let fits = !given.trim().is_empty() && given.len() <= LONGEST && !given.contains(char::is_control);
    if fits { Ok(given.to_owned()) } else { expected(given, "a name of 1 to 64 bytes, such as search") }
}

#[cfg(unix)]
pub(crate) fn shell_command(given: &str) -> Read<String> {
    if given.trim().is_empty() { expected(given, "a command for sh, such as \"cat cached.json\"") } else { Ok(given.to_owned()) }
}

/// The parser's errors are complete, and hide passwords.
pub(crate) fn host(given: &str) -> Read<BaseUrl> {
    given.parse().map_err(|error: upright::ollama::AddressError| error.to_string())
}

/// Kebab-case is accepted too.
pub(crate) trait Named: Copy + FromStr + Send + Sync + 'static {
    const CASES: &'static [Self];
    fn case(self) -> &'static str;
}

impl Named for FaultKind {
    const CASES: &'static [Self] = Self::ALL;
    fn case(self) -> &'static str {
        self.name()
    }
}

impl Named for Endpoint {
    const CASES: &'static [Self] = Self::ALL;
    fn case(self) -> &'static str {
        self.name()
    }
}

/// Also lists all names for help and completions.
#[derive(Clone)]
pub(crate) struct NameParser<T>(PhantomData<T>);

pub(crate) fn name<T: Named>() -> NameParser<T> {
    NameParser(PhantomData)
}

impl<T: Named> TypedValueParser for NameParser<T> {
    type Value = T;

    fn parse_ref(&self, command: &clap::Command, argument: Option<&clap::Arg>, given: &OsStr) -> Result<T, clap::Error> {
        let given = given.to_string_lossy();
        given.parse().map_err(|_| {
            let names = T::CASES.iter().map(|case| case.case().to_owned()).collect();
            let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            error.insert(ContextKind::InvalidArg, ContextValue::String(argument));
            error.insert(ContextKind::InvalidValue, ContextValue::String(given.into_owned()));
            error.insert(ContextKind::ValidValue, ContextValue::Strings(names));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(T::CASES.iter().map(|case| PossibleValue::new(case.case()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_on_the_command_line_must_be_positive_and_finite() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["0", "-1", "nan", "inf", "1e300", "soon", ""] {
            assert!(seconds(wrong).is_err_and(|error| error.contains("expected") && error.contains(wrong)), "{wrong}");
        }
        assert_eq!(seconds_or_none("0"), Ok(0.0));
        assert_eq!((span("0"), span("1.5")), (Ok(Duration::ZERO), Ok(Duration::from_millis(1500))));
        assert!(seconds_or_none("-0.1").is_err());
    }

    #[test]
    fn numbers_keep_to_their_ranges() {
        assert_eq!((status("100"), status("599")), (Ok(100), Ok(599)));
        assert!(status("99").is_err() && status("600").is_err() && status("70000").is_err());
        assert!(retries("0").is_ok() && retries("-1").is_err() && retries("1001").is_err());
        assert!(errno("111").is_ok() && errno("0").is_err());
        assert!(temperature("0").is_ok() && temperature("-0.1").is_err() && temperature("NaN").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_breaker_name_on_the_command_line_has_at_most_64_bytes_on_one_line() {
        assert_eq!(breaker("../my api"), Ok("../my api".to_owned()));
        assert!(breaker(&"x".repeat(64)).is_ok() && breaker(&"x".repeat(65)).is_err());
        assert!(breaker(" ").is_err() && breaker("two\nlines").is_err());
    }

    #[test]
    fn a_models_name_is_one_word() {
        assert_eq!(model(" qwen3:8b "), Ok("qwen3:8b".to_owned()));
        assert!(model("").is_err() && model(" ").is_err() && model("two words").is_err());
    }
}
