//! Recommended settings (`wit/settings.wit`), from the specification's best practices.

use crate::backoff::RetryConfig;
use crate::breaker::BreakerConfig;
use crate::types::Seconds;

named_enum! {
    /// Kind of operation.
    pub enum Profile {
        /// Any operation.
        Standard = "standard",
        /// Answers within moments.
        Quick = "quick",
        /// Model inference.
        Slow = "slow",
        /// Model download.
        VerySlow = "very_slow",
        /// Service across a network.
        Network = "network",
        /// Service on this machine.
        Local = "local",
        /// Database.
        Database = "database",
        /// Somebody else's API.
        ExternalApi = "external_api",
    }
}

/// Settings for one kind of operation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recommendation {
    /// Retry settings.
    pub retry: RetryConfig,
    /// Breaker settings.
    pub breaker: BreakerConfig,
    /// Maximum seconds of one attempt; `None` for no limit.
    pub attempt_timeout: Option<Seconds>,
    /// Maximum seconds of all attempts and delays; `None` for no limit.
    pub total_deadline: Option<Seconds>,
}

/// `max_retries`, `base_delay`, `max_delay`, `attempt_timeout`. The specification names all retries, and the delays for
/// quick, slow and very slow operations. A model may load for minutes, and disconnecting loses the load: inference gets
/// a long timeout, downloads none.
const fn row(profile: Profile) -> (u32, Seconds, Seconds, Option<Seconds>) {
    match profile {
        Profile::Standard => (3, 1.0, 60.0, None),
        Profile::Quick => (3, 0.5, 5.0, Some(10.0)),
        Profile::Slow => (3, 2.0, 60.0, Some(600.0)),
        Profile::VerySlow => (5, 5.0, 300.0, None),
        Profile::Network => (4, 1.0, 30.0, Some(30.0)),
        Profile::Local => (2, 0.1, 2.0, Some(10.0)),
        Profile::Database => (3, 0.2, 5.0, Some(30.0)),
        Profile::ExternalApi => (5, 2.0, 120.0, Some(120.0)),
    }
}

/// Returns the recommended settings.
pub fn recommend(profile: Profile) -> Recommendation {
    let (max_retries, base_delay, max_delay, attempt_timeout) = row(profile);
    Recommendation {
        retry: RetryConfig { max_retries, base_delay, max_delay, ..RetryConfig::default() },
        breaker: BreakerConfig::default(),
        attempt_timeout,
        total_deadline: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_retry_counts_and_delays_are_recommended() {
        let numbers = |profile| {
            let retry = recommend(profile).retry;
            (retry.max_retries, retry.base_delay, retry.max_delay)
        };
        assert_eq!(numbers(Profile::Quick), (3, 0.5, 5.0));
        assert_eq!(numbers(Profile::Slow), (3, 2.0, 60.0));
        assert_eq!(numbers(Profile::VerySlow), (5, 5.0, 300.0));
        assert!((3..=5).contains(&numbers(Profile::Network).0));
        assert!((1..=2).contains(&numbers(Profile::Local).0));
        assert_eq!(numbers(Profile::Database).0, 3);
        assert!(numbers(Profile::ExternalApi).0 >= 5);
    }

    #[test]
    fn every_profile_jitters_and_has_a_sound_configuration() {
        for profile in Profile::ALL {
            let retry = recommend(*profile).retry;
            assert!(retry.jitter && retry.base_delay <= retry.max_delay && retry.backoff_factor >= 1.0, "{profile}");
        }
    }
}
