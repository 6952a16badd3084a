//! Judges answers of models from their bytes.

use crate::fault::Fault;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use upright_core::driving::Facts;
use upright_core::types::{Circumstances, WindowFacts};
use upright_protocol::{Asked, ErrorBody, Failed, OllamaError, Reader, Refusal, Route, Verdict, judged};

/// Maximum copy of an answer's end, bytes: an error stands there.
const LAST: usize = 16 << 10;

/// One request to a model, and the judge of its answers.
#[pyclass(module = "upright._native")]
pub(crate) struct Judge {
    asked: Asked,
    body: Option<Vec<u8>>,
    members: Option<Members>,
    reader: Option<Reader>,
    last: Vec<u8>,
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
        Some(Self { asked, body, members, reader: None, last: Vec::new() })
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
    /// `window` is a window to ask for, tokens. Raises `ValueError` for a judge that knows no body.
    #[pyo3(signature = (window = None))]
    fn body<'py>(&self, py: Python<'py>, window: Option<u32>) -> PyResult<Bound<'py, PyBytes>> {
        let body = self.body.as_deref().ok_or_else(|| pyo3::exceptions::PyValueError::new_err("the request's body is not known"))?;
        let Some(members) = self.members.as_ref().filter(|_| self.asked.route.is_ollamas()) else { return Ok(PyBytes::new(py, body)) };
        let refusing = members.refusing_cuts(body);
        let wider = window.and_then(|window| with_window(&refusing, window));
        Ok(PyBytes::new(py, &wider.unwrap_or(refusing)))
    }

    /// An answer begins. `streamed` says how it comes, where the request's body is not known.
    #[pyo3(signature = (streamed = None))]
    fn begin(&mut self, streamed: Option<bool>) {
        let mut asked = self.asked.clone();
        if let (None, Some(streamed)) = (&self.body, streamed) {
            asked.streamed = streamed;
        }
        self.last.clear();
        self.reader = Some(Reader::new(asked, 200));
    }

    /// Whether the answer comes in pieces.
    #[getter]
    fn streamed(&self) -> bool {
        self.reader.as_ref().map_or(&self.asked, Reader::asked).streamed
    }

    /// Whether text, thinking or a tool call has come, of a streamed answer.
    #[getter]
    fn has_content(&self) -> bool {
        let received = self.reader.as_ref().map(Reader::received).unwrap_or_default();
        received.text + received.thinking + received.tool_calls > 0
    }

    /// Whether the answer's end has come. A connection may go on after it.
    #[getter]
    fn is_over(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_over)
    }

    /// Whether the server itself says in its answer that it failed.
    #[getter]
    fn says_failed(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.judgement().verdict == Verdict::Failed(Failed::Reported))
    }

    /// Takes the next bytes of the answer. Returns the fault of an answer that ends or fails with them.
    fn push(&mut self, bytes: &[u8]) -> Option<Fault> {
        let reader = self.reader.as_mut()?;
        reader.push(bytes);
        remember(&mut self.last, bytes);
        if !reader.has_failed() && !reader.is_over() {
            return None;
        }
        let judgement = reader.judgement();
        let asked = reader.asked().clone();
        let endpoint = asked.route.endpoint();
        judged(endpoint, asked, judgement, &self.last, self.accepts_cuts()).err().as_ref().map(fault)
    }

    /// The answer has ended; not `whole` if the connection broke. Returns its fault, if it has one.
    fn end(&mut self, whole: bool) -> Option<Fault> {
        let reader = self.reader.take()?;
        let asked = reader.asked().clone();
        let endpoint = asked.route.endpoint();
        judged(endpoint, asked, reader.end(whole), &self.last, self.accepts_cuts()).err().as_ref().map(fault)
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
}

fn fault(error: &OllamaError) -> Fault {
    let Facts { fault, circumstances, .. } = Facts::of(error);
    Fault(fault, circumstances)
}

fn remember(last: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(LAST)..];
    let excess = (last.len() + bytes.len()).saturating_sub(LAST);
    last.drain(..excess.min(last.len()));
    last.extend_from_slice(bytes);
}

/// The body with this window among its options; `None` if they are no object.
fn with_window(body: &[u8], window: u32) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = serde_json::Deserializer::from_slice(body).into_iter().next()?.ok()?;
    let name = members.keys().rev().find(|key| key.eq_ignore_ascii_case("options")).cloned().unwrap_or_else(|| "options".to_owned());
    let options = members.entry(name).or_insert_with(|| json!({}));
    if options.is_null() {
        *options = json!({});
    }
    options.as_object_mut()?.insert("num_ctx".to_owned(), window.into());
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
