//! Judges answers of models from their bytes, over one or several attempts.

use crate::fault::Fault;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use upright_core::driving::Facts;
use upright_core::types::{self, Circumstances, FaultKind, WindowFacts};
use upright_protocol::{AnswerStream, Asked, Broken, ErrorBody, Hold, OllamaError, Refusal, Route};

/// Length of an answer that is kept to compare a repeat with, bytes. Of the rest a hash is kept.
const MEMORY: usize = 64 << 10;

/// Bytes of an answer for the caller, and the fault of an answer that ends or fails with them.
type Came<'py> = (Bound<'py, PyBytes>, Option<Fault>);

/// How far an answer is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Coming,
    Whole,
    Failed,
    /// The server itself says that it failed.
    Reported,
    /// A repeat has other words than the caller.
    Differs,
}

/// One request to a model, and the judge of its answers.
#[pyclass(module = "upright._native")]
pub(crate) struct Judge {
    asked: Asked,
    body: Option<Vec<u8>>,
    members: Option<Members>,
    is_seeded: bool,
    answer: Option<Box<AnswerStream>>,
    state: State,
}

#[pymethods]
impl Judge {
    /// The judge of a request to this path; `None` for a route on which no model answers. Of a body that cannot be
    /// read, only the path is known.
    #[staticmethod]
    #[pyo3(signature = (path, body = None))]
    fn of(path: &str, body: Option<&[u8]>) -> Option<Self> {
        let route = Route::of(path)?;
        let asked = match body {
            Some(body) => Asked::read(route, body),
            None => Asked { allows_empty: true, ..Asked::new(route) },
        };
        let (body, members) = (body.map(<[u8]>::to_vec), body.and_then(Members::read));
        Some(Self { asked, body, members, is_seeded: false, answer: None, state: State::Coming })
    }

    /// The model; `None` if unknown.
    #[getter]
    fn model(&self) -> Option<&str> {
        self.members.as_ref()?.model.as_deref()
    }

    /// The window that the caller fixed, tokens.
    #[getter]
    fn window(&self) -> Option<u64> {
        self.asked.window
    }

    /// The body for the server, which must refuse a question that does not fit, unless the caller says otherwise.
    /// `window` is a window to ask for, tokens. `seed` is for a streamed question whose caller fixes neither seed nor
    /// temperature 0. Raises `ValueError` for a judge that knows no body.
    #[pyo3(signature = (window = None, seed = None))]
    fn body<'py>(&mut self, py: Python<'py>, window: Option<u32>, seed: Option<u32>) -> PyResult<Bound<'py, PyBytes>> {
        let body = self.body.as_deref().ok_or_else(|| pyo3::exceptions::PyValueError::new_err("the request's body is not known"))?;
        let Some(members) = self.members.as_ref().filter(|_| self.asked.route.is_ollamas()) else { return Ok(PyBytes::new(py, body)) };
        let refusing = members.refusing_cuts(body);
        let seed = seed.filter(|_| self.asked.streamed && self.asked.question && self.asked.can_differ());
        let options = [("num_ctx", window), ("seed", seed)].map(|(name, value)| Some((name, value?)));
        let other = with_options(&refusing, options.into_iter().flatten());
        self.is_seeded = seed.is_some() && other.is_some();
        Ok(PyBytes::new(py, &other.unwrap_or(refusing)))
    }

    /// An answer begins, of which the caller has nothing. `streamed` says how it comes, where the request's body is not
    /// known.
    #[pyo3(signature = (streamed = None))]
    fn begin(&mut self, streamed: Option<bool>) {
        let mut asked = self.asked.clone();
        if let (None, Some(streamed)) = (&self.body, streamed) {
            asked.streamed = streamed;
        }
        let (endpoint, is_fixed) = (asked.route.endpoint(), self.is_seeded || !asked.can_differ());
        let memory = if is_fixed && self.body.is_some() { MEMORY } else { 0 };
        self.answer = Some(Box::new(AnswerStream::new(asked, endpoint, self.accepts_cuts(), memory, Hold::Nothing)));
        self.state = State::Coming;
    }

    /// The answer comes again, from its beginning. The caller gets the part that it does not have.
    fn repeat(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.repeat();
        }
        self.state = State::Coming;
    }

    /// Whether a repeated request has the same answer, so that a repeat can be compared with the caller's part.
    #[getter]
    fn can_repeat(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.can_repeat())
    }

    /// Whether the answer comes in pieces.
    #[getter]
    fn streamed(&self) -> bool {
        self.answer.as_ref().map_or(&self.asked, |answer| answer.asked()).streamed
    }

    /// Whether text, thinking or a tool call has come, of a streamed answer.
    #[getter]
    fn has_content(&self) -> bool {
        let received = self.answer.as_ref().map(|answer| answer.received()).unwrap_or_default();
        received.text + received.thinking + received.tool_calls > 0
    }

    /// Whether the end of a whole answer has come. A connection may go on after it.
    #[getter]
    fn is_over(&self) -> bool {
        self.state == State::Whole
    }

    /// Whether the server itself says in its answer that it failed.
    #[getter]
    fn says_failed(&self) -> bool {
        self.state == State::Reported
    }

    /// Whether a repeated answer has other words than the caller.
    #[getter]
    fn differs(&self) -> bool {
        self.state == State::Differs
    }

    /// The server's words with which the answer failed: an error line, for instance.
    fn failed_with<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.answer.as_mut().map(|answer| answer.failed_with()).unwrap_or_default())
    }

    /// Takes the next bytes of the answer. Returns those for the caller, which are whole lines, and the fault of an
    /// answer that ends or fails with them.
    fn push<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> Came<'py> {
        let mut new = Vec::with_capacity(bytes.len());
        let Some(answer) = &mut self.answer else { return (PyBytes::new(py, &new), None) };
        // Lines before one that fails are the caller's.
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match answer.take(line) {
                Ok(lines) => new.extend_from_slice(&lines),
                Err(broken) => return (PyBytes::new(py, &new), Some(self.broken(&broken))),
            }
        }
        if answer.is_over() {
            self.state = State::Whole;
        }
        (PyBytes::new(py, &new), None)
    }

    /// The answer has ended; not `whole` if the connection broke. Returns the last bytes for the caller, and its fault,
    /// if it has one.
    fn end<'py>(&mut self, py: Python<'py>, whole: bool) -> Came<'py> {
        match self.answer.as_mut().map(|answer| answer.end(whole)) {
            Some(Ok(end)) => {
                self.state = State::Whole;
                (PyBytes::new(py, &end.bytes), None)
            }
            Some(Err(broken)) => (PyBytes::new(py, b""), Some(self.broken(&broken))),
            None => (PyBytes::new(py, b""), None),
        }
    }

    /// The fault of an answer with an error status, with the facts of the window where its body counts the question's
    /// tokens. `window` was asked for, tokens.
    #[pyo3(signature = (fault, body, window = None))]
    fn refused(&self, fault: &Fault, body: &[u8], window: Option<u32>) -> Fault {
        let window = Refusal::counted(&ErrorBody::read(body)).map(|Refusal { facts, .. }| WindowFacts {
            asked: window.or(self.asked.window.and_then(|window| u32::try_from(window).ok())),
            // Only Ollama's routes ask for a window.
            fixed: self.asked.window.is_some() || self.members.is_none() || !self.asked.route.is_ollamas(),
            ..facts
        });
        let known = fault.1.clone();
        Fault(fault.0.clone(), window.map(|window| Circumstances { window: Some(window), ..Circumstances::default() }).or(known))
    }
}

impl Judge {
    fn accepts_cuts(&self) -> bool {
        self.members.as_ref().and_then(|members| members.truncate) == Some(true)
    }

    fn broken(&mut self, broken: &Broken) -> Fault {
        self.state = match broken {
            Broken::Cut(OllamaError::InStream { .. }) => State::Reported,
            Broken::Cut(_) => State::Failed,
            Broken::Differs => State::Differs,
        };
        match broken {
            Broken::Cut(error) => {
                let Facts { fault, circumstances, .. } = Facts::of(error);
                Fault(fault, circumstances)
            }
            Broken::Differs => Fault(types::Fault::new(FaultKind::IncompleteAnswer, broken.to_string()), None),
        }
    }
}

/// The body with these among its options; `None` if there are none, or the options are no object.
fn with_options<'a>(body: &[u8], added: impl Iterator<Item = (&'a str, u32)>) -> Option<Vec<u8>> {
    let mut added = added.peekable();
    added.peek()?;
    let mut members: Map<String, Value> = serde_json::Deserializer::from_slice(body).into_iter().next()?.ok()?;
    let name = members.keys().rev().find(|key| key.eq_ignore_ascii_case("options")).cloned().unwrap_or_else(|| "options".to_owned());
    let options = members.entry(name).or_insert_with(|| json!({}));
    if options.is_null() {
        *options = json!({});
    }
    let options = options.as_object_mut()?;
    options.extend(added.map(|(name, value)| (name.to_owned(), value.into())));
    serde_json::to_vec(&members).ok()
}

/// Members of a request, as Ollama reads them: keys in any case, the last of equal keys, nothing after the object.
struct Members {
    model: Option<String>,
    truncate: Option<bool>,
    is_empty: bool,
    /// Index of the closing brace.
    end: usize,
}

impl Members {
    /// `None` without an object.
    fn read(body: &[u8]) -> Option<Self> {
        let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Self>();
        let members = values.next()?.ok()?;
        Some(Self { end: values.byte_offset().checked_sub(1)?, ..members })
    }

    fn refusing_cuts(&self, body: &[u8]) -> Vec<u8> {
        let added: &[u8] = match self {
            Self { truncate: Some(_), .. } => b"",
            Self { is_empty: true, .. } => b"\"truncate\":false",
            _ => b",\"truncate\":false",
        };
        [&body[..self.end], added, &body[self.end..]].concat()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(request: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a request")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members { model: None, truncate: None, is_empty: true, end: 0 };
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    members.is_empty = false;
                    if key.eq_ignore_ascii_case("truncate") {
                        members.truncate = map.next_value::<Value>()?.as_bool();
                    } else if key.eq_ignore_ascii_case("model") {
                        members.model = map.next_value::<Value>()?.as_str().map(str::to_owned);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(members)
            }
        }

        request.deserialize_map(Object).map_err(D::Error::custom)
    }
}
