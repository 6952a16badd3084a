//! `cargo xtask guest-test`: runs the guest's unit tests as `wasm32-wasip2` components, in a wasmtime inside this
//! program. Arithmetic, sizes and panics can differ there.

use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use crate::component::build_for;
use crate::inspect::Surface;
use crate::sources::{COMPONENTS, Committed};
use crate::warn;
use crate::workspace::{self, BuildFlags, Workspace};

/// Target with a standard library, which the test harness needs.
const TARGET: &str = "wasm32-wasip2";

const TESTED: [&str; 6] = [
    "upright-logic",
    "upright-policy-parts",
    "upright-policy-count-window",
    "upright-policy-time-window",
    "upright-policy-decorrelated-jitter",
    "upright-policy-cautious",
];

/// Runs tests whose names contain `filter`, or all. Also builds every policy for this target.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    if let Err(why) = workspace::ensure_target(TARGET)? {
        warn(&format!("the guest's tests did NOT run, {why}"));
        println!("guest tests skipped: {why}");
        return Ok(());
    }
    run_tests(workspace, filter)?;
    COMPONENTS.iter().try_for_each(|component| check_policy(workspace, component))
}

fn run_tests(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let mut artefacts = Vec::new();
    for package in TESTED {
        let arguments = ["test", "--package", package, "--lib", "--all-features", "--no-run", "--target", TARGET];
        let built = workspace.build(&arguments, BuildFlags::Usual)?;
        ensure!(built.iter().any(|artefact| artefact.test_program.is_some()), "{package} has no tests for {TARGET}");
        artefacts.extend(built);
    }
    let programs: Vec<_> = artefacts.iter().filter_map(|artefact| artefact.test_program.as_deref()).collect();

    let engine = Engine::default();
    let mut failures = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        println!("running {name} under wasmtime");
        if let Err(error) = run_program(&engine, program, filter) {
            failures.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(failures.is_empty(), "guest tests failed: {}", failures.join("; "));
    Ok(())
}

fn run_program(engine: &Engine, program: &Path, filter: Option<&str>) -> Result<()> {
    // The harness cannot catch a panic here, so captured output would be lost.
    let arguments = ["guest-test", "--nocapture"].into_iter().chain(filter);
    let mut context = WasiCtx::builder();
    context.inherit_stdout().inherit_stderr().args(&arguments.collect::<Vec<_>>());
    let mut store = Store::new(engine, Sandbox { context: context.build(), table: ResourceTable::new() });
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(in_one_line)?;
    let component = Component::from_file(engine, program).map_err(in_one_line)?;
    let command = Command::instantiate(&mut store, &component, &linker).map_err(in_one_line)?;
    match command.wasi_cli_run().call_run(&mut store) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(())) => bail!("it ended with a failure"),
        Err(error) => match (error.downcast_ref::<I32Exit>(), error.downcast_ref::<Trap>()) {
            (Some(I32Exit(0)), _) => Ok(()),
            (Some(I32Exit(code)), _) => bail!("it ended with exit code {code}"),
            (None, Some(trap)) => bail!("the last test named above ended it: {trap}"),
            (None, None) => bail!(in_one_line(error)),
        },
    }
}

/// Other hosts may need a WASI build of a policy.
fn check_policy(workspace: &Workspace, component: &Committed) -> Result<()> {
    let bytes = build_for(TARGET, workspace, component, BuildFlags::Usual)?;
    let surface = Surface::of(&bytes)?;
    surface.must_export_the_contract()?;
    let (size, imports) = (bytes.len(), surface.imports.len());
    println!("{} for {TARGET}: {size} bytes, the whole contract exported, {imports} imports", component.package);
    Ok(())
}

struct Sandbox {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

fn in_one_line(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{}", error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join(": "))
}
