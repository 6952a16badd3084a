//! Does one task on a store: the first argument names it, the others are its own.

use std::process::ExitCode;
use upright_system_tests::{counting, filling, obeying, saving};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["save", file, first, begin] => saving::run(file, first, begin),
        ["fill", file] => filling::run(file),
        ["count", url, increments] => counting::run(url, increments),
        ["obey", file] => obeying::run(file),
        other => {
            eprintln!("expected save FILE FIRST NUMBERS, fill FILE, count URL TIMES, or obey FILE; found {other:?}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
