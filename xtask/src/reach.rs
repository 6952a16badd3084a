//! Counts the public items that a user of one crate can reach, over all crates with a description in JSON by rustdoc.
//!
//! An item is a module, a type, a trait, a function, a method, an associated item of a trait, a constant or a macro. A
//! user reaches it by a path of the crate, or because the signature of a reached item names it. Fields, variants and
//! implementations of traits are not items: their type or trait is. Each item counts once, however many paths it has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A crate's rustdoc JSON.
struct Crate {
    index: Value,
    paths: Value,
    /// Ids of its own items by path.
    own: BTreeMap<Vec<String>, String>,
    root: String,
}

/// The crates that are walked.
pub(crate) struct Reach {
    crates: BTreeMap<String, Crate>,
    seen: BTreeSet<(String, String)>,
    /// Names in signatures, still to be followed.
    named: Vec<(String, String)>,
    /// Number of items under each module of the first crate.
    pub(crate) counts: BTreeMap<String, usize>,
}

impl Reach {
    /// Reads the crates, by their names.
    pub(crate) fn of(documented: impl IntoIterator<Item = (String, Value)>) -> Self {
        let crates = documented.into_iter().map(|(name, json)| (name, Crate::of(json))).collect();
        Self { crates, seen: BTreeSet::new(), named: Vec::new(), counts: BTreeMap::new() }
    }

    /// Counts the items that a user of this crate can reach.
    pub(crate) fn count(mut self, of: &str) -> BTreeMap<String, usize> {
        let Some(root) = self.crates.get(of).map(|start| start.root.clone()) else { return BTreeMap::new() };
        self.walk(of, &root, &[of.to_owned()]);
        while let Some((of, id)) = self.named.pop() {
            self.walk(&of, &id, &["named in signatures".to_owned(), String::new()]);
        }
        self.counts
    }

    /// The crate that defines an item, and its id there; `None` for items of other projects.
    fn defined(&self, of: &str, id: &str) -> Option<(String, String)> {
        let here = self.crates.get(of)?;
        if !here.index[id].is_null() {
            return Some((of.to_owned(), id.to_owned()));
        }
        let path = path_of(&here.paths[id]);
        let there = path.first()?;
        Some((there.clone(), self.crates.get(there)?.own.get(&path)?.clone()))
    }

    fn walk(&mut self, of: &str, id: &str, path: &[String]) {
        let Some((of, id)) = self.defined(of, id) else { return };
        let Some(here) = self.crates.get(&of) else { return };
        let Some((kind, inner)) = here.index[&id]["inner"].as_object().and_then(|inner| inner.iter().next()) else { return };
        let (kind, inner) = (kind.clone(), inner.clone());
        if kind == "use" {
            return self.follow(&of, &inner, path);
        }
        if !self.seen.insert((of.clone(), id)) {
            return;
        }
        self.add(path);
        match kind.as_str() {
            "module" => {
                for child in ids(&inner["items"]) {
                    self.walk_member(&of, &child, path);
                }
            }
            "struct" | "enum" | "union" => {
                for implementation in ids(&inner["impls"]) {
                    self.methods(&of, &implementation, path);
                }
                let parts = ids(&inner["variants"]).into_iter().chain(fields(&inner)).collect::<Vec<_>>();
                for part in parts {
                    let part = self.inner(&of, &part);
                    self.name(&of, &part);
                    for field in fields(&part["variant"]) {
                        let field = self.inner(&of, &field);
                        self.name(&of, &field);
                    }
                }
            }
            "trait" => {
                for member in ids(&inner["items"]) {
                    let member = self.inner(&of, &member);
                    if !member.is_null() {
                        self.add(path);
                        self.name(&of, &member);
                    }
                }
            }
            _ => self.name(&of, &inner),
        }
    }

    /// Walks a module's member under its own name; a re-export brings its name along.
    fn walk_member(&mut self, of: &str, id: &str, path: &[String]) {
        let name = self.crates.get(of).and_then(|here| here.index[id]["name"].as_str()).map(str::to_owned);
        let path: Vec<String> = path.iter().cloned().chain(name).collect();
        self.walk(of, id, &path);
    }

    fn follow(&mut self, of: &str, re_export: &Value, path: &[String]) {
        let Some(target) = id_of(&re_export["id"]) else { return };
        if re_export["is_glob"] != true {
            let path: Vec<String> = path.iter().cloned().chain(re_export["name"].as_str().map(str::to_owned)).collect();
            return self.walk(of, &target, &path);
        }
        let Some((of, id)) = self.defined(of, &target) else { return };
        for child in ids(&self.inner(&of, &id)["module"]["items"]) {
            self.walk_member(&of, &child, path);
        }
    }

    /// Public methods and constants of an implementation of no trait.
    fn methods(&mut self, of: &str, implementation: &str, path: &[String]) {
        let implementation = self.inner(of, implementation)["impl"].clone();
        if !implementation["trait"].is_null() {
            return;
        }
        for method in ids(&implementation["items"]) {
            let is_public = self.crates.get(of).is_some_and(|here| here.index[&method]["visibility"] == "public");
            if is_public && self.seen.insert((of.to_owned(), method.clone())) {
                self.add(path);
                let method = self.inner(of, &method);
                self.name(of, &method);
            }
        }
    }

    fn inner(&self, of: &str, id: &str) -> Value {
        self.crates.get(of).map(|here| here.index[id]["inner"].clone()).unwrap_or_default()
    }

    fn add(&mut self, path: &[String]) {
        let group = path.get(1).filter(|group| group.chars().next().is_some_and(char::is_lowercase)).or(path.first());
        *self.counts.entry(group.cloned().unwrap_or_default()).or_default() += 1;
    }

    /// Remembers the types and traits that a signature names.
    fn name(&mut self, of: &str, signature: &Value) {
        match signature {
            Value::Object(members) => {
                for (key, member) in members {
                    if let (true, Some(id)) = (matches!(key.as_str(), "resolved_path" | "trait"), id_of(&member["id"])) {
                        self.named.push((of.to_owned(), id));
                    }
                    self.name(of, member);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.name(of, item)),
            _ => {}
        }
    }
}

impl Crate {
    fn of(mut json: Value) -> Self {
        let (index, paths) = (json["index"].take(), json["paths"].take());
        let own = paths.as_object().into_iter().flatten().filter(|(_, found)| found["crate_id"] == 0);
        let own = own.map(|(id, found)| (path_of(found), id.clone())).collect();
        Self { own, root: id_of(&json["root"]).unwrap_or_default(), index, paths }
    }
}

fn path_of(found: &Value) -> Vec<String> {
    found["path"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Ids are numbers as values and texts as keys.
fn id_of(value: &Value) -> Option<String> {
    value.as_u64().map(|id| id.to_string()).or_else(|| value.as_str().map(str::to_owned))
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(id_of).collect()
}

/// The fields of a struct or of a variant, named or not.
fn fields(of: &Value) -> Vec<String> {
    let kind = &of["kind"];
    [&kind["plain"]["fields"], &kind["struct"]["fields"], &kind["tuple"]["fields"], &kind["tuple"]].into_iter().flat_map(ids).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    fn crates() -> Vec<(String, Value)> {
        let facade = json!({
            "root": 0,
            "index": {
                "0": { "name": "facade", "inner": { "module": { "items": [1, 2] } } },
                "1": { "name": null, "inner": { "use": { "id": 9, "name": "Shown", "is_glob": false } } },
                "2": { "name": "run", "inner": { "function": { "sig": { "output": { "resolved_path": { "id": 8, "path": "Named" } } } } } },
            },
            "paths": {
                "9": { "crate_id": 5, "path": ["core_crate", "Shown"] },
                "8": { "crate_id": 5, "path": ["core_crate", "Named"] },
            },
        });
        let core = json!({
            "root": 0,
            "index": {
                "0": { "name": "core_crate", "inner": { "module": { "items": [1, 2, 3] } } },
                "1": { "name": "Shown", "inner": { "struct": { "kind": { "plain": { "fields": [] } }, "impls": [4, 5] } } },
                "2": { "name": "Named", "inner": { "enum": { "variants": [], "impls": [] } } },
                "3": { "name": "Unreachable", "inner": { "enum": { "variants": [], "impls": [] } } },
                "4": { "name": null, "inner": { "impl": { "trait": null, "items": [6, 7] } } },
                "5": { "name": null, "inner": { "impl": { "trait": { "id": 1 }, "items": [7] } } },
                "6": { "name": "method", "visibility": "public", "inner": { "function": {} } },
                "7": { "name": "own", "visibility": "default", "inner": { "function": {} } },
            },
            "paths": {
                "1": { "crate_id": 0, "path": ["core_crate", "Shown"] },
                "2": { "crate_id": 0, "path": ["core_crate", "Named"] },
                "3": { "crate_id": 0, "path": ["core_crate", "Unreachable"] },
            },
        });
        vec![("facade".into(), facade), ("core_crate".into(), core)]
    }

    #[test]
    fn items_behind_a_re_export_and_in_signatures_count_once_and_unreachable_ones_not_at_all() {
        let counts = Reach::of(crates()).count("facade");
        assert_eq!(counts.values().sum::<usize>(), 5, "the root, a function, a type with its method, a named type: {counts:?}");
        assert_eq!(counts["named in signatures"], 1);
    }

    #[test]
    fn a_crate_that_is_not_documented_has_no_items() {
        assert_eq!(Reach::of(crates()).count("other").len(), 0);
    }
}
