//! Rejects invalid literals at compile time, by the limits that `upright` checks at run time.

use proc_macro2::{Literal, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, ExprUnary, Lit, Result, UnOp};

/// `upright::clock::DURATION_LIMIT` in seconds: a crate of macros cannot depend on the crate that uses it. A test of
/// `upright` compares them.
const LONGEST: f64 = 315_360_000.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expected {
    /// A whole number of at least this.
    Count(u32),
    Seconds,
    SecondsAboveZero,
    /// Multiplies delays.
    Factor,
    Flag,
    Name,
}

impl Expected {
    fn text(self) -> String {
        match self {
            Self::Count(least) => format!("a whole number from {least} to {}", u32::MAX),
            Self::Seconds => format!("a number of seconds from 0 to {LONGEST}"),
            Self::SecondsAboveZero => format!("a number of seconds above 0, at most {LONGEST}"),
            Self::Factor => "a number from 1 to 1000000".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Name => "a text that is not empty".to_owned(),
        }
    }

    fn number(self, number: &Number) -> Option<Literal> {
        let seconds = |fits: bool| fits.then(|| Literal::f64_suffixed(number.value));
        match self {
            Self::Count(least) => {
                let count = number.whole.filter(|count| *count >= least && matches!(&*number.suffix, "" | "u32"))?;
                (!number.negative).then(|| Literal::u32_suffixed(count))
            }
            _ if number.negative || !matches!(&*number.suffix, "" | "f64") => None,
            Self::Seconds => seconds((0.0..=LONGEST).contains(&number.value)),
            Self::SecondsAboveZero => seconds(number.value > 0.0 && number.value <= LONGEST),
            Self::Factor => seconds((1.0..=1e6).contains(&number.value)),
            Self::Flag | Self::Name => None,
        }
    }
}

struct Number {
    negative: bool,
    /// Without its sign.
    value: f64,
    /// `None` if it does not fit.
    whole: Option<u32>,
    suffix: String,
}

/// Fails on an invalid literal. Other expressions pass: the compiler checks their type, run time their value.
pub(crate) fn checked(setting: &dyn std::fmt::Display, value: &Expr, expected: Expected) -> Result<TokenStream> {
    let Some((negative, literal)) = literal(value) else { return Ok(value.to_token_stream()) };
    let number = match literal {
        Lit::Bool(_) if expected == Expected::Flag && !negative => return Ok(value.to_token_stream()),
        Lit::Str(text) if expected == Expected::Name && !negative && !text.value().trim().is_empty() => return Ok(value.to_token_stream()),
        Lit::Int(number) => number.base10_parse().ok().map(|value| Number {
            negative,
            value,
            whole: number.base10_parse().ok(),
            suffix: number.suffix().to_owned(),
        }),
        Lit::Float(number) => {
            number.base10_parse().ok().map(|value| Number { negative, value, whole: None, suffix: number.suffix().to_owned() })
        }
        _ => None,
    };
    if let Some(mut literal) = number.and_then(|number| expected.number(&number)) {
        literal.set_span(value.span());
        return Ok(literal.to_token_stream());
    }
    let sign = if negative { "-" } else { "" };
    let message = format!("`{setting}` is {sign}{}: expected {}", literal.to_token_stream(), expected.text());
    Err(Error::new_spanned(value, message))
}

pub(crate) fn literal(value: &Expr) -> Option<(bool, &Lit)> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some((false, lit)),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => literal(expr).map(|(negative, lit)| (!negative, lit)),
        Expr::Paren(inner) => literal(&inner.expr),
        // From a `macro_rules!`.
        Expr::Group(inner) => literal(&inner.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Expected::*;

    fn check(value: &str, expected: Expected) -> std::result::Result<String, String> {
        let value = syn::parse_str(value).unwrap();
        checked(&"setting", &value, expected).map(|tokens| tokens.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn literals_that_can_work_become_literals_of_the_settings_type() {
        let good = [
            ("3", Count(0), "3u32"),
            ("0", Count(0), "0u32"),
            ("3u32", Count(1), "3u32"),
            ("4_294_967_295", Count(1), "4294967295u32"),
            ("(2)", Count(1), "2u32"),
            ("1", Seconds, "1f64"),
            ("0", Seconds, "0f64"),
            ("0x10", Seconds, "16f64"),
            ("2.5f64", SecondsAboveZero, "2.5f64"),
            ("1e-3", SecondsAboveZero, "0.001f64"),
            ("315360000", SecondsAboveZero, "315360000f64"),
            ("1", Factor, "1f64"),
            ("true", Flag, "true"),
            ("\"ollama\"", Name, "\"ollama\""),
        ];
        for (value, expected, tokens) in good {
            assert_eq!(check(value, expected).as_deref(), Ok(tokens), "{value} for {expected:?}");
        }
    }

    #[test]
    fn literals_that_cannot_work_are_refused_with_what_would_be_right() {
        let bad = [
            ("-1", Count(0), "`setting` is -1: expected a whole number from 0 to 4294967295"),
            ("0", Count(1), "`setting` is 0: expected a whole number from 1 to 4294967295"),
            ("-0", Count(0), "`setting` is -0: expected a whole number from 0 to 4294967295"),
            ("3.0", Count(0), "`setting` is 3.0: expected a whole number from 0 to 4294967295"),
            ("3u64", Count(0), "`setting` is 3u64: expected a whole number from 0 to 4294967295"),
            ("4294967296", Count(0), "`setting` is 4294967296: expected a whole number from 0 to 4294967295"),
            ("-0.5", Seconds, "`setting` is -0.5: expected a number of seconds from 0 to 315360000"),
            ("1e999", Seconds, "`setting` is 1e999: expected a number of seconds from 0 to 315360000"),
            ("0.0", SecondsAboveZero, "`setting` is 0.0: expected a number of seconds above 0, at most 315360000"),
            ("1f32", Seconds, "`setting` is 1f32: expected a number of seconds from 0 to 315360000"),
            ("\"1s\"", Seconds, "`setting` is \"1s\": expected a number of seconds from 0 to 315360000"),
            ("0.5", Factor, "`setting` is 0.5: expected a number from 1 to 1000000"),
            ("1", Flag, "`setting` is 1: expected `true` or `false`"),
            ("5", Name, "`setting` is 5: expected a text that is not empty"),
            ("\" \"", Name, "`setting` is \" \": expected a text that is not empty"),
        ];
        for (value, expected, message) in bad {
            assert_eq!(check(value, expected), Err(message.to_owned()), "{value} for {expected:?}");
        }
    }

    #[test]
    fn an_expression_is_left_to_the_compiler_and_to_run_time() {
        for expected in [Count(1), Seconds, SecondsAboveZero, Factor, Flag, Name] {
            assert_eq!(check("settings::VALUE", expected).as_deref(), Ok("settings :: VALUE"));
        }
    }
}
