//! Chooses a request's failure: by plan, else by model name.

use crate::asked::Asked;
use crate::names::{canonical_name, row_asked_for};
use crate::rows::Row;
use std::collections::VecDeque;

/// Step of a plan that answers well.
pub const HEALTHY_STEP: &str = "ok";

/// Selects requests for a plan; by default all, including `GET` requests of health checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Match<'a> {
    /// Path, such as `/api/chat`; `None` for any.
    pub path: Option<&'a str>,
    /// Model in any spelling; `None` for any or no model.
    pub model: Option<&'a str>,
}

impl<'a> Match<'a> {
    /// All requests.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests to a path.
    pub fn path(path: &'a str) -> Self {
        Self { path: Some(path), model: None }
    }

    /// Requests for a model.
    pub fn model(model: &'a str) -> Self {
        Self { path: None, model: Some(model) }
    }

    fn owned(self) -> Filter {
        Filter { path: self.path.map(str::to_owned), model: self.model.map(canonical_name) }
    }
}

/// A plan names an unknown row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no row named `{name}`; there are: {HEALTHY_STEP}, {}", row_names())]
pub struct UnknownRow {
    /// The name.
    pub name: String,
}

fn row_names() -> String {
    let names: Vec<&str> = crate::ROWS.iter().map(|row| row.name).collect();
    names.join(", ")
}

#[derive(Debug, Clone)]
pub(crate) enum Chosen {
    Healthy,
    Row(&'static Row),
    NoSuchRow(UnknownRow),
}

impl Chosen {
    fn step(name: &str) -> Result<Self, UnknownRow> {
        if name == HEALTHY_STEP {
            return Ok(Self::Healthy);
        }
        Row::find(name).map(Self::Row).ok_or_else(|| UnknownRow { name: name.to_owned() })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Row(row) => row.name,
            Self::Healthy | Self::NoSuchRow(_) => crate::HEALTHY,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    path: Option<String>,
    model: Option<String>,
}

impl Filter {
    fn accepts(&self, asked: &Asked) -> bool {
        let path = self.path.as_ref().is_none_or(|path| *path == asked.path);
        let model = self.model.as_ref().is_none_or(|model| asked.model.as_ref().is_some_and(|asked| canonical_name(asked) == *model));
        path && model
    }
}

#[derive(Debug, Default)]
pub(crate) struct Plans {
    queues: Vec<(Filter, VecDeque<Chosen>)>,
    always: Vec<(Filter, Chosen)>,
}

impl Plans {
    pub(crate) fn plan(&mut self, requests: Match<'_>, steps: &[&str]) -> Result<(), UnknownRow> {
        let steps = steps.iter().map(|name| Chosen::step(name)).collect::<Result<_, _>>()?;
        self.queues.push((requests.owned(), steps));
        Ok(())
    }

    pub(crate) fn always(&mut self, requests: Match<'_>, step: &str) -> Result<(), UnknownRow> {
        let (filter, step) = (requests.owned(), Chosen::step(step)?);
        self.always.retain(|(other, _)| *other != filter);
        self.always.push((filter, step));
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn choose(&mut self, asked: &Asked) -> Chosen {
        let step = self.queues.iter_mut().filter(|(filter, _)| filter.accepts(asked)).find_map(|(_, queue)| queue.pop_front());
        self.queues.retain(|(_, queue)| !queue.is_empty());
        step.or_else(|| self.always.iter().find(|(filter, _)| filter.accepts(asked)).map(|(_, step)| step.clone()))
            .or_else(|| {
                let name = row_asked_for(asked.model.as_deref()?)?;
                Some(Chosen::step(&name).unwrap_or_else(Chosen::NoSuchRow))
            })
            .unwrap_or(Chosen::Healthy)
    }
}
