//! Cost of success, rejection and failure, beside the library's peers.

use anyhow::{Result, bail};
use std::path::Path;
use upright_benches::asked::Asked;
use upright_benches::machine::Machine;
use upright_benches::report::{Measured, Section, keep};
use upright_benches::{cases, counts, measure};

const METHOD: &str = "Each figure is the median over rounds; a round takes one sample of every case of the group, beginning with another one each \
                      time. Allocations are counted by another program, so that counting does not slow down whoever allocates.";

fn main() -> Result<()> {
    let Asked { effort, report, groups: wanted } = Asked::of_program()?;
    let machine = Machine::here();
    let runtime = cases::runtime()?;
    let all = cases::all()?;
    let known: Vec<_> = all.iter().map(|group| group.id).chain(["process"]).chain(cases::store::IDS).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| !known.contains(&wanted.as_str())) {
        bail!("no group {unknown:?}; there are {}", known.join(", "));
    }
    let all: Vec<_> = all.into_iter().filter(|group| wanted.is_empty() || wanted.iter().any(|wanted| wanted == group.id)).collect();
    if all.is_empty() {
        return Ok(());
    }
    let allocated = counts::count(Path::new(env!("CARGO_BIN_EXE_count-allocations")))?;
    let mut groups = Vec::new();
    for group in all {
        let spans = measure::group(&group, effort, &runtime)?;
        let measured = Measured::new(&group, &spans, if group.threads == 1 { &allocated } else { &[] });
        println!("{}", measured.markdown());
        groups.push(measured);
    }
    if report {
        println!("{}", keep("recovery", &Section { machine, method: METHOD.into(), groups })?.display());
    }
    Ok(())
}
