//! The commented file of `--print-config`.

use super::Config;
use super::sections::{AccessKey, Model, Section};

const HEAD: &str = "\
# Configuration of `upright serve`: every key with its default. A key that is left out has its default.
# A line that begins with # and no space shows a setting that is not set.
";

const ALIASES: &str = "
# Other names for models: a request for the name on the left is served by the model on the right.
[aliases]
#\"gpt-4o\" = \"qwen3:8b\"
";

impl Config {
    /// Returns the file of `--print-config`: every key with its default and a line that explains it.
    pub fn documented() -> String {
        let Self { listen, upstreams, limits, retry, breaker, window, access, log, journal, policy, cache, replay, integrity, .. } =
            &Self::default();
        let mut text = HEAD.to_owned();
        table(&mut text, "[listen]", Some(listen));
        upstreams.iter().for_each(|upstream| table(&mut text, "[[upstream]]", Some(upstream)));
        text.push_str(ALIASES);
        table::<Model>(&mut text, "[model.\"qwen3:8b\"]", None);
        table(&mut text, "[limits]", Some(limits));
        table(&mut text, "[retry]", Some(retry));
        table(&mut text, "[breaker]", Some(breaker));
        table(&mut text, "[window]", Some(window));
        table(&mut text, "[access]", Some(access));
        table::<AccessKey>(&mut text, "[access.keys.\"laptop\"]", None);
        table(&mut text, "[log]", Some(log));
        table(&mut text, "[journal]", Some(journal));
        table(&mut text, "[policy]", Some(policy));
        table(&mut text, "[cache]", Some(cache));
        table(&mut text, "[replay]", Some(replay));
        table(&mut text, "[integrity]", Some(integrity));
        text
    }
}

/// Appends a table. Without a `section` the table is an example, and each of its lines a comment.
fn table<S: Section>(text: &mut String, header: &str, section: Option<&S>) {
    let default = S::default();
    let values = toml::Table::try_from(section.unwrap_or(&default)).unwrap_or_default();
    let mark = if section.is_some() { "" } else { "#" };
    text.push_str(&format!("\n#{}\n{mark}{header}\n", S::ABOUT));
    for key in S::KEYS {
        // A table within is a table of its own.
        let set = values.get(key.name).filter(|value| !value.is_table()).map(ToString::to_string);
        let example = key.example.map(str::to_owned);
        let shown = match section {
            Some(_) => set.map(|value| ("", value)).or(example.map(|value| ("#", value))),
            None => example.or(set).map(|value| ("#", value)),
        };
        let Some((mark, value)) = shown else { continue };
        text.push_str(&format!("#{}\n{mark}{} = {value}\n", key.text, key.name));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sections::{
        Access, Breaker, Cache, Integrity, Journal, Limits, Listen, Log, Policy, Replay, Retry, Upstream, Window,
    };
    use super::*;
    use serde::de::DeserializeOwned;
    use std::collections::BTreeMap;

    /// The file with every setting that is not set, set.
    fn with_examples() -> String {
        let lines = Config::documented();
        let shown = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).map(str::to_owned);
        lines.lines().map(|line| shown(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
    }

    /// The fields of a struct, as its deserializer names them.
    fn fields<T: DeserializeOwned>() -> Vec<String> {
        let message = toml::from_str::<T>("no-such-key = 0").err().map(|error| error.message().to_owned()).unwrap();
        assert!(message.starts_with("unknown field `no-such-key`, expected "), "{message}");
        message.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    /// Each table's header with its keys.
    fn tables(text: &str) -> BTreeMap<String, Vec<String>> {
        let (mut tables, mut header) = (BTreeMap::<String, Vec<String>>::new(), String::new());
        for line in text.lines() {
            if line.starts_with('[') {
                header = line.to_owned();
                tables.entry(header.clone()).or_default();
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
                tables.entry(header.clone()).or_default().push(key.to_owned());
            }
        }
        tables
    }

    #[test]
    fn the_printed_file_reads_as_the_defaults() {
        assert_eq!(Config::parse(&Config::documented(), "printed"), Ok(Config::default()));
    }

    #[test]
    fn the_printed_file_with_every_example_is_a_valid_configuration() {
        let config = Config::parse(&with_examples(), "printed").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.models.len(), config.aliases.len(), config.access.keys.len()), (1, 1, 1));
    }

    #[test]
    fn every_field_of_every_struct_is_in_the_printed_file() {
        let tables = tables(&with_examples());
        for (header, fields) in [
            ("[listen]", fields::<Listen>()),
            ("[[upstream]]", fields::<Upstream>()),
            ("[model.\"qwen3:8b\"]", fields::<Model>()),
            ("[limits]", fields::<Limits>()),
            ("[retry]", fields::<Retry>()),
            ("[breaker]", fields::<Breaker>()),
            ("[window]", fields::<Window>()),
            ("[access.keys.\"laptop\"]", fields::<AccessKey>()),
            ("[log]", fields::<Log>()),
            ("[journal]", fields::<Journal>()),
            ("[policy]", fields::<Policy>()),
            ("[cache]", fields::<Cache>()),
            ("[replay]", fields::<Replay>()),
            ("[integrity]", fields::<Integrity>()),
        ] {
            assert_eq!(tables.get(header), Some(&fields), "{header}");
        }
        let access: Vec<_> = fields::<Access>().into_iter().filter(|field| field != "keys").collect();
        assert_eq!(tables.get("[access]"), Some(&access));
        for field in fields::<Config>() {
            let named = |header: &String| header.trim_matches(['[', ']']).split('.').next() == Some(field.as_str());
            assert!(tables.keys().any(named), "{field}");
        }
    }

    /// The rows of a table in `docs/gateway.md`: name, default and meaning.
    fn rows<S: Section>() -> Vec<String> {
        let values = toml::Table::try_from(S::default()).unwrap();
        let default = |name: &str| match values.get(name) {
            _ if name == "sha256" => "required".to_owned(),
            None => "not set".to_owned(),
            Some(toml::Value::Table(_) | toml::Value::Array(_)) => "none".to_owned(),
            Some(value) => format!("`{}`", value.to_string().trim_matches('"')),
        };
        S::KEYS.iter().map(|key| format!(" | `{}` | {} |{} |", key.name, default(key.name), key.text)).collect()
    }

    #[test]
    fn the_page_about_the_gateway_has_every_key_with_its_default() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/gateway.md")).unwrap();
        let tables = [
            rows::<Listen>(),
            rows::<Upstream>(),
            rows::<Model>(),
            rows::<Limits>(),
            rows::<Retry>(),
            rows::<Breaker>(),
            rows::<Window>(),
            rows::<Access>(),
            rows::<AccessKey>(),
            rows::<Log>(),
            rows::<Journal>(),
            rows::<Policy>(),
            rows::<Cache>(),
            rows::<Replay>(),
            rows::<Integrity>(),
        ];
        for row in tables.concat() {
            assert!(page.lines().any(|line| line.ends_with(&row)), "{row}");
        }
    }
}
