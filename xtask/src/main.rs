//! Chores that Cargo alone cannot do; `cargo xtask help` lists them.

mod component;
mod dist;
mod guest_test;
mod inspect;
mod package;
mod packages;
mod prose;
mod public_api;
mod reach;
mod sources;
#[cfg(test)]
mod tests;
mod vectors;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Chores of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the policy components and write each to its committed path
    Component {
        /// Write nothing; fail unless the committed components match the sources
        #[arg(long)]
        check: bool,
    },
    /// Make the archive of the command for a target, below target/dist, and SHA256SUMS beside it
    Dist {
        /// Target of the build; the default is linked statically
        #[arg(long, value_name = "TRIPLE", default_value = "x86_64-unknown-linux-musl")]
        target: String,
    },
    /// Run the guest's unit tests as WebAssembly, and check that the policies also build for WASI
    GuestTest {
        /// Run only the tests whose names contain this
        filter: Option<String>,
    },
    /// Pack the packages that are meant for crates.io, and build each from its package alone
    Package,
    /// Fail if the prose of comments and documentation breaks a rule that a program can check
    Prose,
    /// Write each library's public interface to its public-api.txt
    PublicApi {
        /// Write nothing; fail unless the committed snapshots are the interfaces
        #[arg(long)]
        check: bool,
        /// Write nothing; count the items that a user can reach with default features
        #[arg(long, conflicts_with = "check")]
        count: bool,
    },
    /// Write the conformance vectors to guest/conformance/vectors
    Vectors {
        /// Write nothing; fail unless the committed vectors match the sources
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    if let Some(code) = public_api::stand_in() {
        return code;
    }
    let arguments = Arguments::parse();
    let done = Workspace::locate().and_then(|workspace| match arguments.chore {
        Chore::Component { check: false } => component::write(&workspace),
        Chore::Component { check: true } => component::check(&workspace),
        Chore::Dist { target } => dist::write(&workspace, &target),
        Chore::GuestTest { filter } => guest_test::run(&workspace, filter.as_deref()),
        Chore::Package => package::check(&workspace),
        Chore::Prose => prose::check(&workspace),
        Chore::PublicApi { check: true, .. } => public_api::check(&workspace),
        Chore::PublicApi { count: true, .. } => public_api::count(&workspace),
        Chore::PublicApi { .. } => public_api::write(&workspace),
        Chore::Vectors { check: false } => vectors::write(&workspace),
        Chore::Vectors { check: true } => vectors::check(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn warn(text: &str) {
    eprintln!("WARNING: {text}");
}
