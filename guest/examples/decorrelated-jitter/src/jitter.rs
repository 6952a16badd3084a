//! Decorrelated jitter without a memory.
//!
//! The formula needs the previous delay, but a policy keeps nothing. So earlier delays are drawn from numbers derived
//! from `random`, the last from `random` itself. Each delay has the formula's distribution; only the correlation within
//! an operation is lost.

use upright_shim::logic::backoff::{self, RetryConfig};
use upright_shim::logic::types::Seconds;

/// Maximum number of delays drawn. Well before, the cap or chance decides.
pub const STEPS: u32 = 128;

const GROWTH: f64 = 3.0;

fn sane(value: f64) -> f64 {
    if value > 0.0 { value.min(f64::MAX) } else { 0.0 }
}

/// SplitMix64, in [0, 1).
fn next(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // An `f64` holds 53 bits.
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Returns a delay from `base_delay` to `max_delay`, ignoring `jitter_range` and `backoff_factor`.
///
/// Without `jitter`, it is the default policy's.
pub(crate) fn delay(config: &RetryConfig, attempt: u32, random: f64) -> Seconds {
    if !config.jitter {
        return backoff::delay(config, attempt, random);
    }
    let cap = sane(config.max_delay);
    let base = sane(config.base_delay).min(cap);
    let random = sane(random).min(1.0);
    let between = |sleep: f64, random: f64| (base + random * (sane(sleep * GROWTH) - base)).clamp(base, cap);
    let mut state = random.to_bits();
    let before = (0..attempt.min(STEPS)).fold(base, |sleep, _| between(sleep, next(&mut state)));
    between(before, random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RetryConfig {
        RetryConfig::default()
    }

    #[test]
    fn the_first_delay_is_drawn_between_the_base_and_three_times_it() {
        let delays = [0.0, 0.25, 0.5, 0.75].map(|random| delay(&config(), 0, random));
        assert_eq!(delays, [1.0, 1.5, 2.0, 2.5]);
    }

    #[test]
    fn no_delay_is_shorter_than_the_base_or_longer_than_the_cap() {
        for attempt in (0..200).chain([STEPS - 1, STEPS, u32::MAX]) {
            for step in 0..100 {
                let delay = delay(&config(), attempt, f64::from(step) / 100.0);
                assert!((1.0..=60.0).contains(&delay), "{delay} after attempt {attempt}");
            }
        }
    }

    #[test]
    fn later_delays_are_longer_on_the_average_as_by_the_formula_with_its_memory() {
        const DRAWS: u32 = 20_000;
        let average = |attempt: u32| {
            (0..DRAWS).map(|draw| delay(&config(), attempt, f64::from(draw) / f64::from(DRAWS))).sum::<f64>() / f64::from(DRAWS)
        };
        // The original formula.
        let mut seed = 42_u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut kept = [0.0; 7];
        for _ in 0..DRAWS {
            let mut sleep = 1.0_f64;
            for sum in &mut kept {
                sleep = (1.0 + draw() * (sleep * 3.0 - 1.0)).min(60.0);
                *sum += sleep / f64::from(DRAWS);
            }
        }
        for (attempt, kept) in (0..).zip(kept) {
            let average = average(attempt);
            assert!((average / kept - 1.0).abs() < 0.04, "attempt {attempt}: {average} and by the formula {kept}");
        }
    }

    #[test]
    fn equal_arguments_give_equal_delays_and_other_random_numbers_others() {
        assert_eq!(delay(&config(), 5, 0.3).to_bits(), delay(&config(), 5, 0.3).to_bits());
        let mut delays: [u64; 64] = core::array::from_fn(|draw| delay(&config(), 3, draw as f64 / 64.0).to_bits());
        delays.sort_unstable();
        let different = 1 + delays.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(different > 58, "only {different} of 64");
    }

    #[test]
    fn without_jitter_it_waits_as_the_default_policy_does() {
        let plain = RetryConfig { jitter: false, ..config() };
        assert_eq!([0, 1, 2, u32::MAX].map(|attempt| delay(&plain, attempt, 0.7)), [1.0, 2.0, 4.0, 60.0]);
    }

    #[test]
    fn a_base_above_the_cap_waits_for_the_cap_and_a_base_of_zero_for_nothing() {
        assert_eq!(delay(&RetryConfig { base_delay: 90.0, ..config() }, 4, 0.5), 60.0);
        assert_eq!(delay(&RetryConfig { base_delay: 0.0, ..config() }, u32::MAX, 0.5), 0.0);
    }

    #[test]
    fn invalid_settings_give_no_nan_negative_or_infinite_delay() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.0, 0.0, 5e-324, 0.5, f64::MAX];
        for base in odd {
            for max in odd {
                for random in odd {
                    for attempt in [0, 1, 7, u32::MAX] {
                        let config = RetryConfig { base_delay: base, max_delay: max, ..config() };
                        let delay = delay(&config, attempt, random);
                        assert!(delay.is_finite() && delay >= 0.0 && delay <= sane(max), "{config:?}, {random} gave {delay}");
                    }
                }
            }
        }
    }
}
