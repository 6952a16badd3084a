//! Counts each case's allocations and prints JSON. Counts only the calling thread, after a warm-up.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use upright_benches::cases;
use upright_benches::counts::Allocated;

const QUICK: (u64, u64) = (200, 1000);
/// Calls of cases slower than [`SLOW`].
const PATIENT: (u64, u64) = (1, 5);
const SLOW: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let runtime = cases::runtime()?;
    let _entered = runtime.enter();
    let mut counted = Vec::new();
    for group in cases::all()? {
        for case in &group.cases {
            ensure!(case.is_right(), "{}: {:?} does not answer as it should", group.id, case.name);
            let mut worker = case.worker();
            let began = Instant::now();
            worker(1);
            let (warm_up, calls) = if began.elapsed() > SLOW { PATIENT } else { QUICK };
            worker(warm_up);
            let seen = allocation_counter::measure(|| worker(calls));
            let per_call = |number: u64| number as f64 / calls as f64;
            let (count, bytes) = (per_call(seen.count_total), per_call(seen.bytes_total));
            counted.push(Allocated { group: group.id.into(), case: case.name.into(), count, bytes });
        }
    }
    println!("{}", serde_json::to_string(&counted)?);
    Ok(())
}
