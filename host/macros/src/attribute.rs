//! Combines the two attributes before a function.
//!
//! The compiler expands the upper attribute first and passes it the other. Expanded one by one, the lower would be
//! outermost. So the upper attribute takes the lower off and expands both.

use crate::expand;
use crate::function::Function;
use crate::options::Options;
use proc_macro2::TokenStream;
use quote::quote;
use std::fmt;
use syn::{Error, Meta};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Retry,
    CircuitBreaker,
}

impl Attribute {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Retry => Self::CircuitBreaker,
            Self::CircuitBreaker => Self::Retry,
        }
    }

    /// Option for an existing guard.
    pub(crate) fn guard_option(self) -> &'static str {
        match self {
            Self::Retry => "strategy",
            Self::CircuitBreaker => "breaker",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Retry => "with_retry",
            Self::CircuitBreaker => "with_circuit_breaker",
        }
    }

    fn of(attribute: &syn::Attribute) -> Option<Self> {
        let last = attribute.path().segments.last()?;
        [Self::Retry, Self::CircuitBreaker].into_iter().find(|known| last.ident == known.name())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#[{}]", self.name())
    }
}

/// All errors, reported together.
#[derive(Default)]
pub(crate) struct Complaints(Option<Error>);

impl Complaints {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }
}

pub(crate) struct Guard {
    pub(crate) attribute: Attribute,
    pub(crate) options: Options,
}

/// After an error the function stays, or the compiler would report its absence as well.
pub(crate) fn expand(attribute: Attribute, options: TokenStream, item: TokenStream) -> TokenStream {
    let mut complaints = Complaints::default();
    let mut guards = vec![Guard { attribute, options: Options::read(attribute, options, &mut complaints) }];
    let mut written = match Function::parse(attribute, item.clone()) {
        Ok(written) => written,
        Err(error) => {
            complaints.push(error);
            return refused(item, complaints);
        }
    };
    let (fellows, attrs): (Vec<_>, Vec<_>) = written.attrs.drain(..).partition(|other| Attribute::of(other).is_some());
    written.attrs = attrs;
    for fellow in fellows {
        take_fellow(&fellow, &mut guards, &mut complaints);
    }
    check_together(&guards, &mut complaints);
    share_crate(&mut guards);
    let as_written = written.clone();
    match complaints.note(Function::new(written, &guards)) {
        Some(function) if complaints.0.is_none() => expand::function(&function, &guards),
        _ => refused(quote!(#as_written), complaints),
    }
}

fn refused(item: TokenStream, complaints: Complaints) -> TokenStream {
    let errors = complaints.0.map(Error::into_compile_error);
    quote!(#item #errors)
}

fn take_fellow(fellow: &syn::Attribute, guards: &mut Vec<Guard>, complaints: &mut Complaints) {
    let Some(attribute) = Attribute::of(fellow) else { return };
    if guards.iter().any(|guard| guard.attribute == attribute) {
        complaints.push(Error::new_spanned(fellow, format!("`{attribute}` stands here twice: leave one out")));
        return;
    }
    let tokens = match &fellow.meta {
        Meta::List(list) => list.tokens.clone(),
        Meta::Path(_) => TokenStream::new(),
        Meta::NameValue(_) => {
            complaints.push(Error::new_spanned(fellow, format!("the options of `{attribute}` stand in parentheses")));
            return;
        }
    };
    guards.push(Guard { attribute, options: Options::read(attribute, tokens, complaints) });
}

/// Both attributes use the crate that one names.
fn share_crate(guards: &mut [Guard]) {
    let said = guards.iter().find_map(|guard| guard.options.krate.clone());
    for guard in guards {
        guard.options.krate = guard.options.krate.take().or_else(|| said.clone());
    }
}

/// Rejects contradicting options.
fn check_together(guards: &[Guard], complaints: &mut Complaints) {
    let [outer, inner] = guards else { return };
    if let Some(fallback) = &inner.options.fallback {
        let message = format!(
            "a fallback inside `{}` hides every failure from it: give the fallback to `{}`, the upper attribute",
            outer.attribute, outer.attribute
        );
        complaints.push(Error::new_spanned(fallback, message));
    }
    for guard in guards.iter().filter(|guard| guard.attribute == Attribute::Retry) {
        if let Some((setting, value)) = guard.options.setting("use_circuit_breaker")
            && value.to_string() != "false"
        {
            let message = format!("the circuit breaker of this function is that of `{}`: leave `{setting}` out", Attribute::CircuitBreaker);
            complaints.push(Error::new(setting.span(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(attribute: Attribute, options: TokenStream, item: TokenStream) -> String {
        expand(attribute, options, item).to_string()
    }

    #[test]
    fn every_path_goes_through_the_crate_that_one_of_the_attributes_names() {
        let item = quote! {
            #[upright::with_circuit_breaker(breaker = self.breaker, crate = other::place)]
            async fn fetch(self, (left, right): (u32, u32)) -> Result<u32, Problem> {
                Ok(left + right)
            }
        };
        let named = expanded(Attribute::Retry, quote!(max_retries = 3, fallback = cached), item.clone());
        assert!(named.contains("other :: place :: macro_support ::") && !named.contains("upright ::"), "{named}");
        let item = quote!(
            fn fetch() -> Result<u32, Problem> {
                Ok(1)
            }
        );
        let default = expanded(Attribute::CircuitBreaker, quote!(), item);
        assert_eq!(default.matches("macro_support").count(), default.matches(":: upright :: macro_support").count(), "{default}");
    }

    #[test]
    fn a_refused_function_stays_without_the_attributes() {
        let item = quote! {
            #[doc = "Fetches."]
            #[with_circuit_breaker]
            fn fetch() -> Result<u32, Problem> { Ok(1) }
        };
        let refused = expanded(Attribute::Retry, quote!(max_retries = -1), item);
        let expected = quote!(
            #[doc = "Fetches."]
            fn fetch() -> Result<u32, Problem> {
                Ok(1)
            }
        )
        .to_string();
        assert!(refused.starts_with(&expected) && refused.contains("compile_error"), "{refused}");
    }
}
