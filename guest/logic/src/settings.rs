//! The settings that a policy recommends (`wit/settings.wit`): the specification's best practices as a table.

use crate::backoff::RetryConfig;
use crate::breaker::BreakerConfig;
use crate::types::Seconds;

named_enum! {
    /// What kind of operation is guarded.
    pub enum Profile {
        /// When nothing else is known.
        Standard = "standard",
        /// Answers within moments.
        Quick = "quick",
        /// Model inference.
        Slow = "slow",
        /// Model downloads.
        VerySlow = "very_slow",
        /// A service across a network.
        Network = "network",
        /// Something on this machine.
        Local = "local",
        /// A database.
        Database = "database",
        /// Somebody else's API.
        ExternalApi = "external_api",
    }
}

/// Settings for one kind of operation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recommendation {
    /// When and how often to retry.
    pub retry: RetryConfig,
    /// How the breaker behaves.
    pub breaker: BreakerConfig,
    /// How long one attempt may take; seconds, none for no limit.
    pub attempt_timeout: Option<Seconds>,
    /// How long all attempts and waits may take together; seconds, none for no limit.
    pub total_deadline: Option<Seconds>,
}

/// max_retries, base_delay, max_delay, attempt_timeout. The specification names the first three for quick, slow and very slow operations and
/// the retries for the others. A model may take minutes to load before its first byte, and closing the connection then loses the
/// load, so inference has a long limit and downloads have none.
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

/// What this policy recommends.
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
