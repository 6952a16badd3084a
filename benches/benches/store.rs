//! Cost of the store in a file, beside SQLite on one disk.

use anyhow::Result;
use std::time::Duration;
use upright_benches::asked::Asked;
use upright_benches::cases::store::{Folder, IDS, groups};
use upright_benches::machine::Machine;
use upright_benches::measure::{self, Effort};
use upright_benches::report::{Measured, Section, keep};

const METHOD: &str = "Each figure is the median over rounds; a round takes one sample of every case of the group, beginning with another one each \
                      time. All files lie in the target folder, and the disk is that of the machine.";

fn main() -> Result<()> {
    let Asked { effort, report, groups: wanted } = Asked::of_program()?;
    let is_wanted = |id: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == id);
    if !IDS.into_iter().any(is_wanted) {
        return Ok(());
    }
    let effort = if effort.rounds == Effort::QUICK.rounds { effort } else { Effort { sample: Duration::from_millis(20), ..effort } };
    let machine = Machine::here();
    let runtime = upright_benches::cases::runtime()?;
    let folder = Folder::new()?;
    let mut measured = Vec::new();
    for group in groups(&folder)?.into_iter().filter(|group| is_wanted(group.id)) {
        let spans = measure::group(&group, effort, &runtime)?;
        let group = Measured::new(&group, &spans, &[]);
        println!("{}", group.markdown());
        measured.push(group);
    }
    if report {
        println!("{}", keep("store", &Section { machine, method: METHOD.into(), groups: measured })?.display());
    }
    Ok(())
}
