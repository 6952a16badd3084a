//! Merges the models of all hosts into lists of Ollama's and OpenAI's form.
//!
//! Lists are built from each host's last answers, so a request never waits for a host. A host's entry passes through
//! byte for byte; only the entries of aliases, and Ollama's models on `/v1/models`, are written here.

use super::host::{Host, Kind};
use super::names::{Aliases, ModelName};
use bytes::Bytes;
use semver::Version;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds since 1970.
type Moment = i128;

/// Why an answer is no list of models.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoList {
    /// The answer is no JSON object, or its list is none.
    #[error("the list of models cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The answer has no list.
    #[error("the list of models has no member {0:?}")]
    Missing(&'static str),
}

/// A model of a host. Unknown or mistyped facts are `None`.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The host's spelling of the name.
    pub name: Arc<str>,
    /// The name.
    pub key: ModelName,
    /// Digest of its manifest; changes when the model is replaced.
    pub digest: Option<Arc<str>>,
    /// Maximum window, tokens.
    pub context_length: Option<u32>,
    modified: Option<Moment>,
    raw: Box<RawValue>,
}

/// A model in a host's memory.
#[derive(Clone, Debug)]
pub(crate) struct LoadedModel {
    /// The name.
    pub model: ModelName,
    /// Loaded window, tokens; `None` if the host does not say.
    pub window: Option<u32>,
    /// Time of unloading, nanoseconds since 1970.
    pub expires_at: Option<Moment>,
    raw: Box<RawValue>,
}

/// The models of a host, in its order.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    kind: Kind,
    all: Vec<Model>,
    by_name: HashMap<ModelName, usize>,
}

impl Models {
    /// Reads an answer of `/api/tags`, or of an OpenAI-compatible host's `/v1/models`. Entries without a name are left
    /// out.
    ///
    /// # Errors
    /// [`NoList`].
    pub(crate) fn read(kind: Kind, body: &[u8]) -> Result<Self, NoList> {
        let member = match kind {
            Kind::Ollama => "models",
            Kind::Openai => "data",
        };
        let all: Vec<Model> = entries(body, member)?.into_iter().filter_map(Model::read).collect();
        let by_name = all.iter().enumerate().rev().map(|(index, model)| (model.key.clone(), index)).collect();
        Ok(Self { kind, all, by_name })
    }

    /// Number of models.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The model of this name.
    pub(crate) fn find(&self, name: &ModelName) -> Option<&Model> {
        self.by_name.get(name).and_then(|index| self.all.get(*index))
    }
}

/// Reads an answer of `/api/ps`.
///
/// # Errors
/// [`NoList`].
pub(crate) fn read_loaded(body: &[u8]) -> Result<Vec<LoadedModel>, NoList> {
    let read = |raw: Box<RawValue>| {
        let entry: Value = serde_json::from_str(raw.get()).ok()?;
        Some(LoadedModel {
            model: ModelName::of(named(&entry)?)?,
            window: tokens(entry.get("context_length")).filter(|window| *window > 0),
            expires_at: entry.get("expires_at").and_then(moment),
            raw,
        })
    };
    Ok(entries(body, "models")?.into_iter().filter_map(read).collect())
}

/// Reads an answer of `/api/version`; `None` if it names none.
pub(crate) fn read_version(body: &[u8]) -> Option<Version> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    Version::parse(answer.get("version")?.as_str()?).ok()
}

/// The entries of a list. Go writes an empty one as null.
fn entries(body: &[u8], member: &'static str) -> Result<Vec<Box<RawValue>>, NoList> {
    let mut members: HashMap<String, Box<RawValue>> = serde_json::from_slice(body)?;
    let list = members.remove(member).ok_or(NoList::Missing(member))?;
    Ok(serde_json::from_str::<Option<Vec<Box<RawValue>>>>(list.get())?.unwrap_or_default())
}

fn named(entry: &Value) -> Option<&str> {
    ["name", "model", "id"].into_iter().find_map(|member| entry.get(member)?.as_str())
}

fn tokens(number: Option<&Value>) -> Option<u32> {
    Some(u32::try_from(number?.as_u64()?).unwrap_or(u32::MAX))
}

/// Reads a time as Ollama writes it (RFC 3339), or as OpenAI does (seconds).
fn moment(value: &Value) -> Option<Moment> {
    match value {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos),
        number => number.as_i64().map(|seconds| Moment::from(seconds) * SECOND),
    }
}

const SECOND: Moment = 1_000_000_000;

/// The owner of models that name none, as Ollama writes it.
const LIBRARY: &str = "library";

impl Model {
    fn read(raw: Box<RawValue>) -> Option<Self> {
        let entry: Value = serde_json::from_str(raw.get()).ok()?;
        let name = named(&entry)?;
        let window = entry.get("details").and_then(|details| details.get("context_length")).or_else(|| entry.get("max_model_len"));
        Some(Self {
            name: name.into(),
            key: ModelName::of(name)?,
            digest: entry.get("digest").and_then(Value::as_str).filter(|digest| !digest.is_empty()).map(Into::into),
            context_length: tokens(window).filter(|window| *window > 0),
            modified: entry.get("modified_at").or_else(|| entry.get("created")).and_then(moment),
            raw,
        })
    }

    /// The entry on `/v1/models`, under a name that the client knows.
    fn openai(&self, kind: Kind, name: &str) -> String {
        match kind {
            Kind::Openai => self.under(name, &["id"]),
            Kind::Ollama => {
                let owner = self.name.rsplit('/').nth(1).unwrap_or(LIBRARY);
                let created = self.modified.map_or(0, |modified| modified.div_euclid(SECOND));
                // Seconds of the years that RFC 3339 can write.
                let created = i64::try_from(created).unwrap_or_default();
                json!({"id": name, "object": "model", "created": created, "owned_by": owner}).to_string()
            }
        }
    }

    /// The host's entry with another name; unchanged under its own.
    fn under(&self, name: &str, members: &[&str]) -> String {
        if name == &*self.name {
            return self.raw.get().to_owned();
        }
        let entry = serde_json::from_str(self.raw.get()).map(|Members(entry)| entry).unwrap_or_default();
        let written = |(member, value): &(String, Box<RawValue>)| {
            let value = if members.contains(&member.as_str()) { Value::from(name).to_string() } else { value.get().to_owned() };
            format!("{}:{value}", Value::from(member.as_str()))
        };
        format!("{{{}}}", entry.iter().map(written).collect::<Vec<_>>().join(","))
    }
}

/// Members of an object, in their order and with their bytes.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collected;

        impl<'de> Visitor<'de> for Collected {
            type Value = Members;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collected)
    }
}

/// A model in a merged list.
struct Listed<'a> {
    model: &'a Model,
    kind: Kind,
    /// The alias of this entry.
    alias: Option<&'a str>,
}

impl Listed<'_> {
    fn name(&self) -> &str {
        self.alias.unwrap_or(&self.model.name)
    }
}

/// The facts of all reachable hosts at one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    models: Vec<Arc<Models>>,
    loaded: Vec<Arc<Vec<LoadedModel>>>,
    versions: Vec<Arc<Version>>,
}

impl Catalogue {
    /// The last answers of these hosts, without those that cannot be reached.
    pub(crate) fn of(hosts: &[Arc<Host>]) -> Self {
        let reachable = || hosts.iter().filter(|host| host.is_reachable());
        Self {
            models: reachable().filter_map(|host| host.models()).collect(),
            loaded: reachable().filter_map(|host| host.loaded()).collect(),
            versions: reachable().filter_map(|host| host.version()).collect(),
        }
    }

    /// `/api/tags`: one entry for each name and digest, newest first. `None` if no Ollama has listed its models yet.
    pub(crate) fn tags(&self, aliases: &Aliases) -> Option<Bytes> {
        let lists = || self.models.iter().filter(|models| models.kind == Kind::Ollama);
        lists().next()?;
        let listed = listed(lists(), aliases, |model| (model.key.clone(), model.digest.clone()));
        Some(list("{\"models\":[", listed.iter().map(|entry| entry.model.under(entry.name(), &["name", "model"])), "]}"))
    }

    /// `/api/ps`: all loaded models of all hosts, the last to expire first. `None` if no host has listed its loaded
    /// models yet.
    pub(crate) fn ps(&self) -> Option<Bytes> {
        self.loaded.first()?;
        let mut loaded: Vec<&LoadedModel> = self.loaded.iter().flat_map(|loaded| &**loaded).collect();
        loaded.sort_by_key(|loaded| Reverse(loaded.expires_at));
        Some(list("{\"models\":[", loaded.iter().map(|loaded| loaded.raw.get().to_owned()), "]}"))
    }

    /// `/v1/models`: one entry for each name, newest first. `None` if no host has listed its models yet.
    pub(crate) fn openai_models(&self, aliases: &Aliases) -> Option<Bytes> {
        self.models.first()?;
        let listed = listed(self.models.iter(), aliases, |model| model.key.clone());
        let entries = listed.iter().map(|entry| entry.model.openai(entry.kind, entry.name()));
        Some(list("{\"object\":\"list\",\"data\":[", entries, "]}\n"))
    }

    /// `/v1/models/NAME`, under the name that the client asked for; `None` if no host has the model.
    pub(crate) fn openai_model(&self, asked: &str, aliases: &Aliases) -> Option<Bytes> {
        let name = ModelName::of(asked)?;
        let name = aliases.resolve(&name).map_or(&name, |alias| &alias.model);
        let found = self.models.iter().find_map(|models| Some((models.kind, models.find(name)?)));
        found.map(|(kind, model)| format!("{}\n", model.openai(kind, asked)).into())
    }

    /// `/api/version`: the lowest of all hosts, since a client may get any of them. `None` if no host has named its
    /// version.
    pub(crate) fn version(&self) -> Option<Bytes> {
        let lowest = self.versions.iter().min()?;
        Some(json!({"version": lowest.to_string()}).to_string().into())
    }
}

/// The union of some lists, newest first; of equal entries the newest. A model under the name of an alias is hidden:
/// nobody can ask for it.
fn listed<'a, K: Eq + Hash>(
    lists: impl Iterator<Item = &'a Arc<Models>>,
    aliases: &'a Aliases,
    key: impl Fn(&Model) -> K,
) -> Vec<Listed<'a>> {
    let mut all = Vec::new();
    for models in lists {
        for model in &models.all {
            let kind = models.kind;
            let its_aliases = aliases.iter().filter(|alias| alias.model == model.key);
            all.extend(its_aliases.map(|alias| Listed { model, kind, alias: Some(&*alias.name) }));
            if aliases.resolve(&model.key).is_none() {
                all.push(Listed { model, kind, alias: None });
            }
        }
    }
    all.sort_by_key(|entry| Reverse(entry.model.modified));
    let mut seen = HashSet::new();
    all.retain(|entry| seen.insert((entry.alias, key(entry.model))));
    all
}

fn list(opening: &str, entries: impl Iterator<Item = String>, end: &str) -> Bytes {
    let entries: Vec<String> = entries.collect();
    format!("{opening}{}{end}", entries.join(",")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;
    use upright_recordings::named as recording;

    fn body(name: &str) -> Vec<u8> {
        recording(name).body().unwrap().bytes
    }

    fn text(bytes: Option<Bytes>) -> String {
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    /// An entry of `/api/tags` whose bytes no serializer would write so.
    fn entry(name: &str, digest: &str, modified: &str) -> String {
        format!(r#"{{"name":"{name}", "model":"{name}","modified_at":"{modified}","digest":"{digest}","size":1e3,"note":"\u0061"}}"#)
    }

    fn tags(entries: &[String]) -> Arc<Models> {
        Arc::new(Models::read(Kind::Ollama, format!(r#"{{"models":[{}]}}"#, entries.join(",")).as_bytes()).unwrap())
    }

    fn openai(body: &str) -> Arc<Models> {
        Arc::new(Models::read(Kind::Openai, body.as_bytes()).unwrap())
    }

    fn of(models: Vec<Arc<Models>>) -> Catalogue {
        Catalogue { models, ..Catalogue::default() }
    }

    fn ids(list: Option<Bytes>, of: &str) -> Vec<String> {
        let list: Value = serde_json::from_slice(&list.unwrap()).unwrap();
        list[of].as_array().unwrap().iter().map(|entry| named(entry).unwrap().to_owned()).collect()
    }

    #[test]
    fn the_lists_of_one_ollama_are_its_own_to_the_byte() {
        let catalogue = Catalogue {
            models: vec![Arc::new(Models::read(Kind::Ollama, &body("tags")).unwrap())],
            loaded: vec![Arc::new(read_loaded(&body("ps-loaded")).unwrap())],
            versions: vec![Arc::new(read_version(&body("version")).unwrap())],
        };
        let none = Aliases::default();
        for (name, answer) in [("tags", catalogue.tags(&none)), ("ps-loaded", catalogue.ps()), ("version", catalogue.version())] {
            assert_eq!(text(answer), String::from_utf8(body(name)).unwrap(), "{name}");
        }
        let old = of(vec![Arc::new(Models::read(Kind::Ollama, &body("old-tags")).unwrap())]);
        assert_eq!(text(old.tags(&none)), String::from_utf8(body("old-tags")).unwrap());
    }

    #[test]
    fn an_ollamas_models_on_v1_are_as_ollama_writes_them() {
        let models = tags(&[entry("smollm2:latest", "d", "2026-11-29T05:24:18.5Z"), entry("me/m:latest", "e", "2026-11-29T05:24:18Z")]);
        let catalogue = of(vec![models]);
        let none = Aliases::default();
        let own = |id: &str, owner: &str| format!(r#"{{"id":"{id}","object":"model","created":1795929858,"owned_by":"{owner}"}}"#);
        let both = [own("smollm2:latest", "library"), own("me/m:latest", "me")].join(",");
        assert_eq!(text(catalogue.openai_models(&none)), format!("{{\"object\":\"list\",\"data\":[{both}]}}\n"));
        assert_eq!(text(catalogue.openai_model("smollm2", &none)), String::from_utf8(body("v1-model")).unwrap());
        assert_eq!(catalogue.openai_model("nonesuch", &none), None);
        assert_eq!(catalogue.openai_model("", &none), None);
    }

    #[test]
    fn the_tags_of_three_hosts_have_one_entry_for_each_name_and_digest_newest_first() {
        let shared = |modified| entry("m:latest", "aaa", modified);
        let a = [shared("2026-01-02T00:00:00Z"), entry("only-a:latest", "a", "2026-01-01T00:00:00Z")];
        // Half an hour later than on the first host, in another zone.
        let b = [entry("M", "aaa", "2026-01-02T05:30:00+05:00"), entry("n:latest", "n", "no date")];
        let c = [entry("m:latest", "bbb", "2026-01-03T00:00:00.000000001Z"), entry("newest:latest", "c", "2026-01-03T00:00:00.000000002Z")];
        let merged = of(vec![tags(&a), tags(&b), tags(&c)]).tags(&Aliases::default());
        let expected = [&c[1], &c[0], &b[0], &a[1], &b[1]].map(String::as_str).join(",");
        assert_eq!(text(merged), format!(r#"{{"models":[{expected}]}}"#));
    }

    #[test]
    fn an_alias_is_an_entry_of_its_own_and_hides_a_model_of_its_name() {
        let aliases = Aliases::new([("gpt-4o", "m"), ("hidden", "m"), ("lost", "nowhere")]).unwrap();
        let ollama = tags(&[entry("m:latest", "d", "2026-01-01T00:00:00Z"), entry("hidden:latest", "h", "2026-01-02T00:00:00Z")]);
        let listed = of(vec![ollama]);
        assert_eq!(ids(listed.tags(&aliases), "models"), ["gpt-4o", "hidden", "m:latest"]);
        assert_eq!(ids(listed.openai_models(&aliases), "data"), ["gpt-4o", "hidden", "m:latest"]);
        let written = text(listed.tags(&aliases));
        let renamed = r#"{"name":"gpt-4o","model":"gpt-4o","modified_at":"2026-01-01T00:00:00Z","digest":"d","size":1e3,"note":"\u0061"}"#;
        assert!(written.contains(renamed), "{written}");
        assert!(text(listed.openai_model("GPT-4o", &aliases)).starts_with(r#"{"id":"GPT-4o","object":"model""#));
    }

    #[test]
    fn v1_models_of_an_openai_host_pass_through_and_stay_off_ollamas_list() {
        let raw = r#"{"id":"Meta/Llama-3", "object":"model","created":1800000000,"owned_by":"vllm","max_model_len":8192}"#;
        let host = openai(&format!(r#"{{"models":[{{"name":"x"}}],"object":"list","data":[{raw}]}}"#));
        let found = host.find(&ModelName::of("meta/llama-3").unwrap()).unwrap();
        assert_eq!((&*found.name, found.context_length), ("Meta/Llama-3", Some(8192)));
        let both = of(vec![tags(&[entry("m:latest", "d", "2026-01-01T00:00:00Z")]), Arc::clone(&host)]);
        let aliases = Aliases::new([("big", "meta/llama-3")]).unwrap();
        assert_eq!(ids(both.openai_models(&aliases), "data"), ["big", "Meta/Llama-3", "m:latest"]);
        assert!(text(both.openai_models(&aliases)).contains(raw));
        assert_eq!(text(both.openai_model("Meta/Llama-3", &aliases)), format!("{raw}\n"));
        assert_eq!(ids(both.tags(&aliases), "models"), ["m:latest"]);
        assert_eq!(of(vec![host]).tags(&aliases), None);
    }

    #[test]
    fn loaded_models_of_all_hosts_are_listed_with_the_last_to_expire_first() {
        let one = |name: &str, expires: &str| format!(r#"{{"name":"{name}","expires_at":"{expires}","context_length":4096}}"#);
        let host = |entries: &[String]| Arc::new(read_loaded(format!(r#"{{"models":[{}]}}"#, entries.join(",")).as_bytes()).unwrap());
        let (early, late) = (one("m:latest", "2026-01-01T12:00:00+02:00"), one("m:latest", "2026-01-01T11:00:00Z"));
        let catalogue = Catalogue { loaded: vec![host(from_ref(&early)), host(from_ref(&late))], ..Catalogue::default() };
        assert_eq!(text(catalogue.ps()), format!(r#"{{"models":[{late},{early}]}}"#));
        assert_eq!(catalogue.loaded[0][0].window, Some(4096));
    }

    #[test]
    fn the_version_is_the_lowest_by_its_numbers() {
        let of = |versions: &[&str]| {
            let read = |version: &&str| read_version(format!(r#"{{"version":"{version}"}}"#).as_bytes()).map(Arc::new);
            Catalogue { versions: versions.iter().filter_map(read).collect(), ..Catalogue::default() }.version()
        };
        assert_eq!(text(of(&["0.33.0", "0.9.1", "0.12.11"])), r#"{"version":"0.9.1"}"#);
        assert_eq!(text(of(&["0.33.0", "0.33.0-rc2"])), r#"{"version":"0.33.0-rc2"}"#);
        assert_eq!(text(of(&["of the year", "0.33.0"])), r#"{"version":"0.33.0"}"#);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn nothing_is_listed_before_a_host_has_answered_and_an_empty_list_is_one() {
        let (nothing, none) = (Catalogue::default(), Aliases::default());
        assert_eq!((nothing.tags(&none), nothing.ps(), nothing.openai_models(&none), nothing.version()), (None, None, None, None));
        for empty in [r#"{"models":[]}"#, r#"{"models":null}"#] {
            let catalogue = Catalogue {
                models: vec![Arc::new(Models::read(Kind::Ollama, empty.as_bytes()).unwrap())],
                loaded: vec![Arc::new(read_loaded(empty.as_bytes()).unwrap())],
                ..Catalogue::default()
            };
            assert_eq!((text(catalogue.tags(&none)), text(catalogue.ps())), (r#"{"models":[]}"#.into(), r#"{"models":[]}"#.into()));
        }
    }

    #[test]
    fn odd_lists_are_refused_and_odd_entries_left_out_or_read_as_far_as_they_go() {
        for odd in ["", "null", "[]", "{}", "<html>", r#"{"models":7}"#, "{\"models\":[\u{1}]}"] {
            assert!(Models::read(Kind::Ollama, odd.as_bytes()).is_err() && read_loaded(odd.as_bytes()).is_err(), "{odd}");
        }
        let listed = tags(&[
            "7".into(),
            "{}".into(),
            r#"{"name":7}"#.into(),
            r#"{"name":" "}"#.into(),
            r#"{"name":"m","digest":7,"details":{"context_length":"8"},"modified_at":[]}"#.into(),
        ]);
        let [model] = &*listed.all else { panic!("{listed:?}") };
        assert_eq!((model.digest.as_deref(), model.context_length, model.modified), (None, None, None));
    }
}
