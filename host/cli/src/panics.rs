//! Reports a panic in one line; the standard library then exits with 101.

use crate::output;
use std::any::Any;
use std::panic::{self, Location};

pub(crate) fn report_in_one_line() {
    panic::set_hook(Box::new(|info| output::complain(sentence(info.payload(), info.location()))));
}

fn sentence(payload: &dyn Any, location: Option<&Location<'_>>) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = location.map_or_else(String::new, |location| format!(" at {}:{}", location.file(), location.line()));
    format!("internal error{place}: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_with_its_message_and_place() {
        let here = Location::caller();
        let place = format!("{}:{}", here.file(), here.line());
        for payload in [&"gone" as &dyn Any, &"gone".to_owned()] {
            assert_eq!(sentence(payload, Some(here)), format!("internal error at {place}: gone"));
        }
        assert_eq!(sentence(&7, None), "internal error: no message");
    }
}
