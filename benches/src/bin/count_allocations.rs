//! Counts what each case allocates and prints it as JSON.
//!
//! Only allocations of the calling thread are counted, after calls that fill pools and thread-local caches.

use anyhow::{Result, ensure};
use upright_benches::cases;
use upright_benches::counts::Allocated;

const WARM_UP: u64 = 200;
const CALLS: u64 = 1000;

fn main() -> Result<()> {
    let runtime = cases::runtime()?;
    let _entered = runtime.enter();
    let mut counted = Vec::new();
    for group in cases::all()? {
        for case in &group.cases {
            ensure!(case.is_right(), "{}: {:?} does not answer as it should", group.id, case.name);
            let mut worker = case.worker();
            worker(WARM_UP);
            let seen = allocation_counter::measure(|| worker(CALLS));
            let per_call = |number: u64| number as f64 / CALLS as f64;
            let (count, bytes) = (per_call(seen.count_total), per_call(seen.bytes_total));
            counted.push(Allocated { group: group.id.into(), case: case.name.into(), count, bytes });
        }
    }
    println!("{}", serde_json::to_string(&counted)?);
    Ok(())
}
