//! Optional durations in JSON, as numbers of seconds.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    seconds
        .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(|error| D::Error::custom(format!("{seconds} s: {error}"))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use crate::fleet::PublishOptions;
    use std::time::Duration;

    #[test]
    fn a_duration_in_json_is_a_number_of_seconds() {
        let options = PublishOptions { probation: Some(Duration::from_millis(2500)), ..PublishOptions::default() };
        assert_eq!(serde_json::to_string(&options).unwrap(), r#"{"probation":2.5}"#);
        let read = |json: &str| serde_json::from_str::<PublishOptions>(json);
        assert_eq!(read(r#"{"probation":2.5}"#).unwrap(), options);
        assert_eq!(read("{}").unwrap(), PublishOptions::default());
        assert!(read(r#"{"probation":-1}"#).unwrap_err().to_string().contains("-1 s"));
    }
}
