//! Rewrites a function: the signature stays, guards surround the body.
//!
//! `#[with_retry]` on `async fn fetch(client: Client, url: &str) -> Result<Page, Problem>` becomes, in short:
//!
//! ```text
//! async fn fetch(client: Client, url: &str) -> Result<Page, Problem> {
//!     repeated(&client);                                       // else a compiler error at the argument
//!     let guard = { static GUARD: Shared<RetryStrategy> = …; GUARD.get() };
//!     let attempt = move || async move { …the body… };         // cloned with its captures for each attempt
//!     retry(guard, attempt).await
//! }
//! ```
//!
//! Names made here are invisible to the body (`mixed_site`). Generated code has the caller's spans, so that compiler
//! errors point there.

use crate::attribute::{Attribute, Guard};
use crate::function::{Function, Passed};
use crate::options::Options;
use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprPath, Ident, ItemFn};

/// One or two guards, the first outermost.
pub(crate) fn function(function: &Function, guards: &[Guard]) -> TokenStream {
    let ItemFn { attrs, vis, sig, .. } = &function.item;
    let own = Writer { function, is_async: sig.asyncness.is_some() };
    let again = guards.iter().any(|guard| guard.attribute == Attribute::Retry || guard.options.fallback.is_some());
    let checks = again.then(|| own.checks(&guards[0].options));
    let guarded = match guards {
        // The retry uses the breaker of the attribute below.
        [outer, inner] if outer.attribute == Attribute::Retry && outer.options.given.is_none() && inner.options.given.is_none() => {
            own.guarded(outer, &own.retry_settings(&outer.options, Some(Fellow::Settings(&inner.options))), &own.body(&outer.options))
        }
        [outer, inner] => {
            let body = own.guarded(inner, &own.settings(inner, true), &own.body(&inner.options));
            own.guarded(outer, &own.settings(outer, true), &own.closure(&outer.options, &body))
        }
        [only, ..] => own.guarded(only, &own.settings(only, false), &own.body(&only.options)),
        [] => TokenStream::new(),
    };
    quote_spanned!(Span::mixed_site()=> #(#attrs)* #vis #sig { #checks #guarded })
}

enum Fellow<'a> {
    Settings(&'a Options),
    Apart,
}

struct Writer<'a> {
    function: &'a Function,
    is_async: bool,
}

impl Writer<'_> {
    fn support(options: &Options, name: &str, span: Span) -> TokenStream {
        let (krate, name) = (options.crate_path(span), Ident::new(name, Span::mixed_site().located_at(span)));
        quote_spanned!(Span::mixed_site().located_at(span)=> #krate::macro_support::#name)
    }

    /// One span for all, or the compiler repeats its error.
    fn output_span(&self) -> Span {
        Span::mixed_site().located_at(self.function.output.span())
    }

    fn checks(&self, options: &Options) -> TokenStream {
        let by_value = |argument: &&crate::function::Argument| argument.passed == Passed::Value;
        let arguments = self.function.receiver.iter().chain(&self.function.arguments).filter(by_value);
        let checks = arguments.map(|argument| {
            let span = argument.located();
            let (repeated, mut name) = (Self::support(options, "repeated", span), argument.used());
            // Compiler errors point at the reference.
            name.set_span(name.span().located_at(span));
            quote_spanned!(Span::mixed_site().located_at(span)=> #repeated(&#name);)
        });
        checks.collect()
    }

    fn body(&self, options: &Options) -> TokenStream {
        let block = &self.function.item.block;
        let span = Span::mixed_site().located_at(block.brace_token.span.join());
        let statements = &block.stmts;
        let patterns = self.function.arguments.iter().filter_map(|argument| {
            let (name, pattern) = (&argument.name, argument.pattern.as_ref()?);
            Some(quote_spanned!(span=> let #pattern = #name;))
        });
        let body = quote_spanned!(span=> { #(#statements)* });
        self.closure(options, &quote_spanned!(span=> #(#patterns)* #body))
    }

    fn closure(&self, options: &Options, body: &TokenStream) -> TokenStream {
        let output = self.function.inferable_output();
        let span = Span::mixed_site();
        if self.is_async {
            // Fixes the types of `?`, `return` and `Err(Box::new(…))` in advance.
            let returning = Self::support(options, "returning", Span::call_site());
            quote_spanned! {span=>
                move || async move {
                    if let ::core::option::Option::Some(outcome) = #returning::<#output>() {
                        return outcome;
                    }
                    #body
                }
            }
        } else {
            quote_spanned!(span=> move || -> #output { #body })
        }
    }

    fn settings(&self, guard: &Guard, has_fellow: bool) -> TokenStream {
        match guard.attribute {
            Attribute::Retry => self.retry_settings(&guard.options, has_fellow.then_some(Fellow::Apart)),
            Attribute::CircuitBreaker => self.breaker_settings(&guard.options),
        }
    }

    fn retry_settings(&self, options: &Options, fellow: Option<Fellow<'_>>) -> TokenStream {
        let span = Span::mixed_site();
        let settings = self.named(options, "RetrySettings");
        match fellow {
            None => settings,
            Some(Fellow::Apart) => quote_spanned!(span=> #settings.use_circuit_breaker(false)),
            Some(Fellow::Settings(fellow)) => {
                let breaker = self.breaker_settings(fellow);
                quote_spanned!(span=> #settings.breaker(#breaker.build()))
            }
        }
    }

    fn breaker_settings(&self, options: &Options) -> TokenStream {
        self.named(options, "BreakerSettings")
    }

    fn named(&self, options: &Options, settings: &str) -> TokenStream {
        let settings = Self::support(options, settings, Span::call_site());
        let function = self.function.item.sig.ident.unraw().to_string();
        let name = options.setting("name").map_or_else(
            || quote_spanned!(Span::mixed_site()=> ::core::concat!(::core::module_path!(), "::", #function)),
            |(_, name)| name.clone(),
        );
        let others = options.settings.iter().filter(|(setting, _)| setting != "name").map(|(setting, value)| {
            let span = Span::mixed_site().located_at(setting.span());
            let setting = Ident::new(&setting.to_string(), span);
            quote_spanned!(span=> .#setting(#value))
        });
        quote_spanned!(Span::mixed_site()=> #settings::named(#name) #(#others)*)
    }

    fn guarded(&self, guard: &Guard, settings: &TokenStream, closure: &TokenStream) -> TokenStream {
        let (options, span) = (&guard.options, Span::mixed_site());
        let fallback = options.fallback.as_ref().map(|path| self.fallback(options, path));
        let kept = match &options.given {
            Some(given) => Self::given(guard, given),
            None => Self::shared(guard, settings),
        };
        let view = match (guard.attribute, &fallback) {
            (Attribute::CircuitBreaker, None) => Some(self.view(options)),
            _ => None,
        };
        let call = self.call(guard, view.as_ref(), fallback.is_some());
        let fallback = fallback.map(|fallback| quote_spanned!(span=> let fallback = #fallback;));
        quote_spanned!(span=> #fallback #kept let attempt = #closure; #call)
    }

    fn kept(guard: &Guard) -> TokenStream {
        let name = match guard.attribute {
            Attribute::Retry => "RetryStrategy",
            Attribute::CircuitBreaker => "CircuitBreaker",
        };
        Self::support(&guard.options, name, Span::call_site())
    }

    /// Cloned, since attempts may own the value that holds it.
    fn given(guard: &Guard, given: &Expr) -> TokenStream {
        let at = given.span();
        let (function, kept) = (Self::support(&guard.options, "given", at), Self::kept(guard));
        let span = Span::mixed_site().located_at(at);
        quote_spanned!(span=> let given = #function::<#kept>(&(#given)); let guard = given.as_ref();)
    }

    fn shared(guard: &Guard, settings: &TokenStream) -> TokenStream {
        let (kept, shared) = (Self::kept(guard), Self::support(&guard.options, "Shared", Span::call_site()));
        // Settings expressions see the static's name, so it must be unique.
        quote_spanned! {Span::mixed_site()=>
            let guard = {
                static __UPRIGHT_GUARD: #shared<#kept> = #shared::new(|| #settings.build());
                __UPRIGHT_GUARD.get()
            };
        }
    }

    /// Looks at the function's error without taking it: the error's traits select the method.
    fn view(&self, options: &Options) -> TokenStream {
        let (output, span) = (self.function.inferable_output(), self.output_span());
        let item = |name| Self::support(options, name, span);
        let (errors, itself, inside, unseen) = (item("Errors"), item("SeenItself"), item("SeenInside"), item("Unseen"));
        quote_spanned! {span=>
            {
                #[allow(unused_imports)]
                use {#itself as _, #inside as _, #unseen as _};
                (&&&#errors::<#output>::new()).view()
            }
        }
    }

    /// Type errors point at the function's return type.
    fn call(&self, guard: &Guard, view: Option<&TokenStream>, has_fallback: bool) -> TokenStream {
        let span = self.output_span();
        let doing = if guard.attribute == Attribute::Retry { "retry" } else { "call" };
        let instead = if has_fallback { "_or_fallback" } else { "" };
        let blocking = if self.is_async { "" } else { "_blocking" };
        let function = Self::support(&guard.options, &format!("{doing}{instead}{blocking}"), span);
        let view = view.map(|view| quote_spanned!(span=> #view,));
        let fallback = has_fallback.then(|| quote_spanned!(span=> fallback));
        let waiting = self.is_async.then(|| quote_spanned!(span=> .await));
        quote_spanned!(span=> #function(guard, #view attempt, #fallback) #waiting)
    }

    /// `self` comes first.
    fn fallback(&self, options: &Options, path: &ExprPath) -> TokenStream {
        let span = Span::mixed_site().located_at(path.span());
        let again = Self::support(options, "again", Span::call_site());
        let Function { receiver, arguments, .. } = self.function;
        let mut kept = TokenStream::new();
        let mut passed = Vec::new();
        for (argument, is_self) in
            receiver.iter().map(|receiver| (receiver, true)).chain(arguments.iter().map(|argument| (argument, false)))
        {
            let used = argument.used();
            if argument.passed != Passed::Value {
                passed.push(used);
                continue;
            }
            let own = if is_self { Ident::new("own", span) } else { used.clone() };
            kept.extend(quote_spanned!(span=> let #own = #again(&#used);));
            passed.push(own);
        }
        let call = quote_spanned!(span=> #path(#(#passed),*));
        // Awaited here, so that compiler errors point here.
        let call = if self.is_async { quote_spanned!(span=> async move { #call.await }) } else { call };
        quote_spanned!(span=> { #kept move || #call })
    }
}
