//! Delay before the next attempt (`wit/backoff.wit`).
//!
//! The formula is `min(base_delay × backoff_factor ^ attempt, max_delay)` times jitter. The cap holds after jitter too,
//! unless [`RetryConfig::jitter_may_exceed_max`] is set.

use crate::types::Seconds;

/// Range of jitter's random factor.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct JitterRange {
    /// Minimum factor, from 0 to `high`.
    pub low: f64,
    /// Maximum factor, finite.
    pub high: f64,
}

/// Retry settings.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RetryConfig {
    /// Maximum number of retries.
    pub max_retries: u32,
    /// Delay before the first retry, seconds.
    pub base_delay: Seconds,
    /// Maximum delay, seconds.
    pub max_delay: Seconds,
    /// Factor from one delay to the next, at least 1.
    pub backoff_factor: f64,
    /// Whether delays vary at random.
    pub jitter: bool,
    /// Range of the random factor.
    pub jitter_range: JitterRange,
    /// Whether jitter may exceed `max_delay`.
    pub jitter_may_exceed_max: bool,
}

impl Default for RetryConfig {
    /// From the specification: 3 retries, 1 s doubling to at most 60 s, jitter 0.8 to 1.2.
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: 1.0,
            max_delay: 60.0,
            backoff_factor: 2.0,
            jitter: true,
            jitter_range: JitterRange { low: 0.8, high: 1.2 },
            jitter_may_exceed_max: false,
        }
    }
}

/// Finite and non-negative; NaN becomes 0.
pub(crate) fn sane(value: f64) -> f64 {
    if value > 0.0 { value.min(f64::MAX) } else { 0.0 }
}

/// Returns the delay in seconds after attempt `attempt` (from 0); `random` is in [0, 1).
///
/// The delay is always finite and non-negative.
pub fn delay(config: &RetryConfig, attempt: u32, random: f64) -> Seconds {
    let max = sane(config.max_delay);
    // `pow` may give infinity, or NaN for 0 × infinity.
    let grown = sane(config.base_delay) * libm::pow(sane(config.backoff_factor), f64::from(attempt));
    let plain = sane(grown).min(max);
    if !config.jitter {
        return plain;
    }
    let (low, high) = (sane(config.jitter_range.low), sane(config.jitter_range.high));
    let jittered = sane(plain * (low + (high - low) * sane(random).min(1.0)));
    if config.jitter_may_exceed_max { jittered } else { jittered.min(max) }
}

/// Returns the delay for a `Retry-After`: `asked` seconds plus up to [`longest_extra`].
///
/// The extra keeps clients with equal `Retry-After` values apart.
pub fn as_asked(asked: Seconds, random: f64) -> Seconds {
    let asked = sane(asked);
    sane(asked + longest_extra(asked) * sane(random).min(1.0))
}

/// Maximum extra in seconds: a quarter of `asked`, at least 50 ms.
pub fn longest_extra(asked: Seconds) -> Seconds {
    (sane(asked) / 4.0).max(0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> RetryConfig {
        RetryConfig { jitter: false, ..RetryConfig::default() }
    }

    #[test]
    fn delays_without_jitter_double_from_the_base() {
        let delays = [0, 1, 2, 3].map(|attempt| delay(&plain(), attempt, 0.5));
        assert_eq!(delays, [1.0, 2.0, 4.0, 8.0]);
    }

    #[test]
    fn jitter_spreads_a_delay_over_its_range() {
        let config = RetryConfig::default();
        assert_eq!(delay(&config, 3, 0.0), 8.0 * 0.8);
        let high = delay(&config, 3, 1.0 - f64::EPSILON);
        assert!(high > 9.5 && high <= 9.6, "{high}");
    }

    #[test]
    fn jitter_never_carries_a_delay_past_its_cap() {
        let config = RetryConfig { max_delay: 10.0, ..RetryConfig::default() };
        for attempt in 0..64 {
            for random in [0.0, 0.25, 0.5, 0.75, 0.999_999] {
                assert!(delay(&config, attempt, random) <= 10.0);
            }
        }
    }

    #[test]
    fn the_plain_formula_lets_jitter_exceed_the_cap_when_asked() {
        let config = RetryConfig { max_delay: 10.0, jitter_may_exceed_max: true, ..RetryConfig::default() };
        assert!(delay(&config, 20, 0.999) > 11.9);
    }

    #[test]
    fn a_factor_to_the_power_of_attempt_1024_and_beyond_stays_at_the_cap() {
        for attempt in [1023, 1024, 1_000_000, u32::MAX] {
            assert_eq!(delay(&plain(), attempt, 0.0), 60.0);
        }
    }

    #[test]
    fn a_wait_that_a_server_asks_for_gets_longer_by_up_to_a_quarter_and_never_shorter() {
        assert_eq!([0.0, 0.5, 1.0].map(|random| as_asked(8.0, random)), [8.0, 9.0, 10.0]);
        assert_eq!([0.0, 0.5, 1.0].map(|random| as_asked(0.1, random)), [0.1, 0.125, 0.15000000000000002]);
        for odd in [f64::NAN, -1.0, f64::INFINITY, f64::MAX] {
            let wait = as_asked(odd, odd);
            assert!(wait.is_finite() && wait >= 0.0, "{odd} gave {wait}");
        }
    }

    #[test]
    fn a_base_of_zero_waits_for_nothing_at_any_attempt() {
        let config = RetryConfig { base_delay: 0.0, ..plain() };
        assert_eq!(delay(&config, u32::MAX, 0.5), 0.0);
    }

    #[test]
    fn invalid_backoff_settings_give_no_nan_negative_or_infinite_delay() {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX, f64::MIN_POSITIVE, -0.0];
        for base in bad {
            for factor in bad {
                for max in bad {
                    for jitter in [true, false] {
                        let config = RetryConfig {
                            base_delay: base,
                            backoff_factor: factor,
                            max_delay: max,
                            jitter,
                            jitter_range: JitterRange { low: base, high: factor },
                            ..RetryConfig::default()
                        };
                        let delay = delay(&config, 7, factor);
                        assert!(delay.is_finite() && delay >= 0.0, "{config:?} gave {delay}");
                    }
                }
            }
        }
    }
}
