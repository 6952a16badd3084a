//! Checks whether a function can be guarded, and reads its arguments.

use crate::attribute::{Attribute, Guard};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::spanned::Spanned as _;
use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{
    AttrStyle, Error, FnArg, Ident, Item, ItemFn, Pat, PatType, Receiver, Result, ReturnType, Token, TraitItemFn, Type, TypeInfer,
    TypeParamBound,
};

pub(crate) struct Function {
    /// Arguments that were patterns have names.
    pub(crate) item: ItemFn,
    pub(crate) output: Type,
    pub(crate) receiver: Option<Argument>,
    pub(crate) arguments: Vec<Argument>,
}

pub(crate) struct Argument {
    pub(crate) name: Ident,
    /// Present if the argument is more than a name.
    pub(crate) pattern: Option<Pat>,
    pub(crate) kind: Type,
    pub(crate) passed: Passed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Passed {
    /// Must be cloned to be used again.
    Value,
    Reference,
    Exclusive,
}

impl Passed {
    fn by(kind: &Type) -> Self {
        match kind {
            Type::Reference(reference) if reference.mutability.is_some() => Self::Exclusive,
            Type::Reference(_) => Self::Reference,
            Type::Paren(inner) => Self::by(&inner.elem),
            Type::Group(inner) => Self::by(&inner.elem),
            _ => Self::Value,
        }
    }
}

impl Function {
    pub(crate) fn parse(attribute: Attribute, item: TokenStream) -> Result<ItemFn> {
        let error = match syn::parse2::<ItemFn>(item.clone()) {
            Ok(function) => return Ok(function),
            Err(error) => error,
        };
        if let Ok(function) = syn::parse2::<TraitItemFn>(item.clone()) {
            let name = &function.sig.ident;
            let message = format!("`{name}` has no body that could be guarded: put `{attribute}` before the methods that implement it");
            return Err(Error::new_spanned(&function.sig, message));
        }
        let Ok(other) = syn::parse2::<Item>(item) else { return Err(error) };
        let what = match &other {
            Item::Struct(_) => "a struct: put it before the methods that can fail",
            Item::Enum(_) => "an enum: put it before the methods that can fail",
            Item::Impl(_) => "an `impl` block: put it before each method that can fail",
            Item::Trait(_) => "a trait: put it before the methods that implement it",
            Item::Mod(_) => "a module: put it before each function that can fail",
            _ => "none",
        };
        Err(Error::new_spanned(&other, format!("`{attribute}` guards a function, and this is {what}")))
    }

    pub(crate) fn new(mut item: ItemFn, guards: &[Guard]) -> Result<Self> {
        check_kind(&item)?;
        let output = returned(&item)?;
        for guard in guards {
            check_limits(&item, guard)?;
        }
        // Inner attributes work before the function, too.
        item.attrs.iter_mut().for_each(|attribute| attribute.style = AttrStyle::Outer);
        let (mut receiver, mut arguments) = (None, Vec::new());
        for (index, input) in item.sig.inputs.iter_mut().enumerate() {
            let argument = match input {
                FnArg::Receiver(written) => Argument::receiver(written),
                FnArg::Typed(written) => Argument::named(index, written)?,
            };
            if argument.passed == Passed::Exclusive {
                check_exclusive(&argument, input, guards)?;
            }
            match input {
                FnArg::Receiver(_) => receiver = Some(argument),
                FnArg::Typed(_) => arguments.push(argument),
            }
        }
        Ok(Self { item, output, receiver, arguments })
    }

    /// For a closure: `impl Trait` is inferred.
    pub(crate) fn inferable_output(&self) -> Type {
        struct Inferred;
        impl VisitMut for Inferred {
            fn visit_type_mut(&mut self, kind: &mut Type) {
                match kind {
                    Type::ImplTrait(hidden) => *kind = Type::Infer(TypeInfer { underscore_token: Token![_](hidden.span()) }),
                    _ => visit_type_mut(self, kind),
                }
            }
        }
        let mut output = self.output.clone();
        Inferred.visit_type_mut(&mut output);
        output
    }
}

impl Argument {
    fn receiver(written: &Receiver) -> Self {
        let passed = match &written.reference {
            Some(_) if written.mutability.is_some() => Passed::Exclusive,
            Some(_) => Passed::Reference,
            None => Passed::by(&written.ty),
        };
        Self { name: Ident::new("self", written.self_token.span), pattern: None, kind: (*written.ty).clone(), passed }
    }

    fn named(index: usize, written: &mut PatType) -> Result<Self> {
        if let Some(conditional) =
            written.attrs.iter().find(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr"))
        {
            let message =
                "an argument under a condition cannot be passed on: put the condition before the whole function, and write it twice";
            return Err(Error::new_spanned(conditional, message));
        }
        let (passed, kind) = (Passed::by(&written.ty), (*written.ty).clone());
        if let Pat::Ident(name) = &*written.pat
            && name.by_ref.is_none()
            && name.subpat.is_none()
        {
            return Ok(Self { name: name.ident.clone(), pattern: None, kind, passed });
        }
        let name = format_ident!("__upright_argument_{index}", span = Span::mixed_site().located_at(written.pat.span()));
        let named: Pat = syn::parse_quote!(#name);
        let pattern = std::mem::replace(&mut *written.pat, named);
        Ok(Self { name, pattern: Some(pattern), kind, passed })
    }

    pub(crate) fn located(&self) -> Span {
        if self.name == "self" { self.name.span() } else { self.kind.span() }
    }

    /// Its name in generated code, where lints ignore it.
    pub(crate) fn used(&self) -> Ident {
        let mut used = self.name.clone();
        if self.pattern.is_none() {
            used.set_span(Span::call_site().located_at(used.span()));
        }
        used
    }
}

/// Rejects functions that no closure can replace.
fn check_kind(item: &ItemFn) -> Result<()> {
    let sig = &item.sig;
    let refused: [(Option<&dyn ToTokens>, &str); 4] = [
        (sig.constness.as_ref().map(|token| token as _), "a `const fn` can neither wait nor count failures: leave `const` out"),
        (
            sig.unsafety.as_ref().map(|token| token as _),
            "an `unsafe fn` is not called on its caller's behalf: guard a safe function that calls it",
        ),
        (sig.abi.as_ref().map(|token| token as _), "an `extern` function is not guarded: guard a function that calls it, or that it calls"),
        (sig.variadic.as_ref().map(|token| token as _), "variadic arguments cannot be passed on: guard a function that calls this one"),
    ];
    refused.into_iter().try_for_each(|(token, message)| token.map_or(Ok(()), |token| Err(Error::new_spanned(token, message))))
}

/// Only the compiler knows whether a path names a `Result`.
fn returned(item: &ItemFn) -> Result<Type> {
    let name = &item.sig.ident;
    let ReturnType::Type(_, output) = &item.sig.output else {
        let message = format!("`{name}` returns nothing, so a failure cannot be distinguished from a success: let it return a `Result`");
        return Err(Error::new(name.span(), message));
    };
    if item.sig.asyncness.is_none() && is_future(output) {
        let message = format!("`{name}` returns a future: write it as an `async fn`, or guard the `async fn` that it calls");
        return Err(Error::new_spanned(output, message));
    }
    let mut bare = &**output;
    while let Type::Group(inner) = bare {
        bare = &inner.elem;
    }
    match bare {
        Type::Path(_) | Type::Macro(_) | Type::Verbatim(_) => Ok((**output).clone()),
        _ => {
            let message = format!("`{name}` does not return a `Result`, so a failure cannot be distinguished from a success");
            Err(Error::new_spanned(output, message))
        }
    }
}

fn is_future(output: &Type) -> bool {
    let names_it = |bounds: &syn::punctuated::Punctuated<TypeParamBound, Token![+]>| {
        bounds.iter().any(|bound| {
            let TypeParamBound::Trait(bound) = bound else { return false };
            bound.path.segments.last().is_some_and(|last| last.ident == "Future")
        })
    };
    match output {
        Type::ImplTrait(hidden) => names_it(&hidden.bounds),
        Type::TraitObject(object) => names_it(&object.bounds),
        Type::Paren(inner) => is_future(&inner.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| match &last.arguments {
            syn::PathArguments::AngleBracketed(inner) if last.ident == "Pin" || last.ident == "Box" => {
                inner.args.iter().any(|inner| matches!(inner, syn::GenericArgument::Type(inner) if is_future(inner)))
            }
            _ => false,
        }),
        _ => false,
    }
}

fn check_limits(item: &ItemFn, guard: &Guard) -> Result<()> {
    match guard.options.setting("attempt_timeout") {
        Some((setting, _)) if item.sig.asyncness.is_none() => {
            let message = format!(
                "a function that blocks cannot be stopped, so `{setting}` would do nothing: set `deadline`, or make it an `async fn`"
            );
            Err(Error::new(setting.span(), message))
        }
        _ => Ok(()),
    }
}

/// Rejects `&mut` if arguments are needed again.
fn check_exclusive(argument: &Argument, written: &FnArg, guards: &[Guard]) -> Result<()> {
    let retried = guards.iter().any(|guard| guard.attribute == Attribute::Retry);
    let needs = if retried {
        "each attempt needs its arguments again"
    } else if guards.iter().any(|guard| guard.options.fallback.is_some()) {
        "the fallback needs the arguments again"
    } else {
        return Ok(());
    };
    let instead = if argument.name == "self" { "`&self`" } else { "`&`" };
    let message =
        format!("{needs}, and a `&mut` cannot be handed out twice: take {instead} with a lock inside, or a value that can be cloned");
    Err(Error::new_spanned(written, message))
}
