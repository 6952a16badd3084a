//! Reads an attribute's options: `name = value`, in any order.

use crate::attribute::{Attribute, Complaints};
use crate::literal::{self, Expected};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Error, Expr, ExprPath, Ident, Path, Result, Token};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Setting(Expected),
    Given,
    Fallback,
    Crate,
}

/// Name, purpose and example of an option.
struct Known(&'static str, Kind, &'static str);

use Expected::{Count, Factor, Flag, Name, Seconds, SecondsAboveZero};
use Kind::{Crate, Fallback, Given, Setting};

const RETRY: &[Known] = &[
    Known("max_retries", Setting(Count(0)), "max_retries = 3"),
    Known("base_delay", Setting(Seconds), "base_delay = 1.0"),
    Known("max_delay", Setting(Seconds), "max_delay = 60.0"),
    Known("backoff_factor", Setting(Factor), "backoff_factor = 2.0"),
    Known("jitter", Setting(Flag), "jitter = true"),
    Known("attempt_timeout", Setting(SecondsAboveZero), "attempt_timeout = 5.0"),
    Known("deadline", Setting(SecondsAboveZero), "deadline = 30.0"),
    Known("idempotent", Setting(Flag), "idempotent = false"),
    Known("use_circuit_breaker", Setting(Flag), "use_circuit_breaker = false"),
    Known("name", Setting(Name), "name = \"search\""),
    Known("strategy", Given, "strategy = STRATEGY"),
    Known("fallback", Fallback, "fallback = from_cache"),
    Known("crate", Crate, "crate = my_crate::upright"),
];

const CIRCUIT_BREAKER: &[Known] = &[
    Known("failure_threshold", Setting(Count(1)), "failure_threshold = 5"),
    Known("recovery_timeout", Setting(SecondsAboveZero), "recovery_timeout = 60.0"),
    Known("success_threshold", Setting(Count(1)), "success_threshold = 2"),
    Known("half_open_permits", Setting(Count(1)), "half_open_permits = 1"),
    Known("name", Setting(Name), "name = \"search\""),
    Known("breaker", Given, "breaker = BREAKER"),
    Known("fallback", Fallback, "fallback = from_cache"),
    Known("crate", Crate, "crate = my_crate::upright"),
];

impl Attribute {
    fn known(self) -> &'static [Known] {
        match self {
            Self::Retry => RETRY,
            Self::CircuitBreaker => CIRCUIT_BREAKER,
        }
    }

    fn find(self, name: &Ident) -> Option<&'static Known> {
        self.known().iter().find(|known| name == known.0)
    }
}

#[derive(Default)]
pub(crate) struct Options {
    /// As written, except that literals have their setting's type.
    pub(crate) settings: Vec<(Ident, TokenStream)>,
    pub(crate) given: Option<Expr>,
    pub(crate) fallback: Option<ExprPath>,
    /// If not `::upright`.
    pub(crate) krate: Option<Path>,
}

impl Options {
    pub(crate) fn read(attribute: Attribute, tokens: TokenStream, complaints: &mut Complaints) -> Self {
        let written = match written.parse2(tokens) {
            Ok(written) => written,
            Err(error) => {
                complaints.push(error);
                return Self::default();
            }
        };
        let mut options = Self::default();
        for (index, (name, value)) in written.iter().enumerate() {
            if written[..index].iter().any(|(earlier, _)| earlier == name) {
                complaints.push(Error::new(name.span(), format!("`{name}` stands here twice: leave one out")));
                continue;
            }
            complaints.note(options.take(attribute, name, value.as_ref()));
        }
        if options.given.is_some() {
            let given = attribute.guard_option();
            for (setting, _) in &options.settings {
                let message = format!("`{setting}` and `{given}` exclude each other: what `{given}` names has settings of its own");
                complaints.push(Error::new(setting.span(), message));
            }
        }
        options
    }

    fn take(&mut self, attribute: Attribute, name: &Ident, value: Option<&Expr>) -> Result<()> {
        let Known(_, kind, example) = attribute.find(name).ok_or_else(|| unknown(attribute, name))?;
        let value = value.ok_or_else(|| Error::new(name.span(), format!("`{name}` has no value: write it as in `{example}`")))?;
        match *kind {
            Setting(expected) => self.settings.push((name.clone(), literal::checked(name, value, expected)?)),
            Given if literal::literal(value).is_some() => {
                let message = format!("`{name}` is no literal: expected something that exists already, as in `{example}`");
                return Err(Error::new_spanned(value, message));
            }
            Given => self.given = Some(value.clone()),
            Fallback => self.fallback = Some(path(name, value, "the path of a function", example)?),
            Crate => self.krate = Some(path(name, value, "the path of the crate", example)?.path),
        }
        Ok(())
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&(Ident, TokenStream)> {
        self.settings.iter().find(|(setting, _)| setting == name)
    }

    pub(crate) fn crate_path(&self, span: Span) -> TokenStream {
        match &self.krate {
            None => quote_spanned!(Span::call_site().located_at(span)=> ::upright),
            Some(path) => at(path.to_token_stream(), span),
        }
    }
}

/// Names in the tokens keep their meaning.
fn at(tokens: TokenStream, span: Span) -> TokenStream {
    let moved = tokens.into_iter().map(|mut token| {
        token.set_span(token.span().located_at(span));
        token
    });
    moved.collect()
}

fn written(input: ParseStream<'_>) -> Result<Vec<(Ident, Option<Expr>)>> {
    let mut written = Vec::new();
    while !input.is_empty() {
        let name = input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), "expected an option, as in `name = value`"))?;
        let value = if input.is_empty() || input.peek(Token![,]) {
            None
        } else {
            let message = format!("the value of `{name}` stands behind a `=`, as in `{name} = value`");
            input.parse::<Token![=]>().map_err(|error| Error::new(error.span(), message))?;
            Some(input.parse()?)
        };
        written.push((name, value));
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(written)
}

fn unknown(attribute: Attribute, name: &Ident) -> Error {
    let others = attribute.other().find(name).is_some();
    let message = if others {
        format!("`{name}` is no option of `{attribute}`, but of `{}`", attribute.other())
    } else {
        let names: Vec<_> = attribute.known().iter().map(|Known(name, ..)| format!("`{name}`")).collect();
        format!("unknown option `{name}`; those of `{attribute}` are {}", names.join(", "))
    };
    Error::new(name.span(), message)
}

fn path(name: &Ident, value: &Expr, expected: &str, example: &str) -> Result<ExprPath> {
    match value {
        Expr::Path(path) if path.attrs.is_empty() => Ok(path.clone()),
        Expr::Group(inner) => path(name, &inner.expr, expected, example),
        _ => Err(Error::new_spanned(value, format!("`{name}` expects {expected}, as in `{example}`"))),
    }
}
