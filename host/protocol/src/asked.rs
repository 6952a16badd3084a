//! Reads a request's facts by which its answer is judged.

mod reading;

use crate::route::Route;
use reading::{Into, Request};
use serde::Deserializer;
use serde::de::DeserializeSeed as _;

/// Facts of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Route of the request.
    pub route: Route,
    /// Whether the answer is streamed.
    pub streamed: bool,
    /// Whether there is a question; otherwise Ollama only loads or unloads the model.
    pub question: bool,
    /// Whether tools are offered.
    pub tools: bool,
    /// Whether the answer must be JSON.
    pub format: bool,
    /// Whether the model should think.
    pub thinking: bool,
    /// Whether there are images.
    pub images: bool,
    /// Whether an answer may be empty: a completion (`suffix`, `raw`, `/v1/completions`), a reply to a tool, or the
    /// caller's choice.
    pub allows_empty: bool,
    /// Number of answers requested (`n`), at least 1.
    pub answers: u32,
    /// Number of words; a model reads at least one token for each.
    pub words: u64,
    /// Window requested (`num_ctx`), tokens.
    pub window: Option<u64>,
    /// Whether the caller fixed the seed.
    pub seed_fixed: bool,
    /// Temperature set by the caller.
    pub temperature: Option<f64>,
}

impl Asked {
    /// A request of which only the route is known.
    #[doc(hidden)]
    pub const fn new(route: Route) -> Self {
        Self {
            route,
            streamed: matches!(route, Route::Chat | Route::Generate),
            question: true,
            tools: false,
            format: false,
            thinking: false,
            images: false,
            allows_empty: matches!(route, Route::Completions),
            answers: 1,
            words: 0,
            window: None,
            seed_fixed: false,
            temperature: None,
        }
    }

    /// Reads a body as Ollama does: keys in any case, the last of equal keys, nothing after the JSON. Without an
    /// object: [`Asked::new`].
    #[doc(hidden)]
    pub fn read(route: Route, body: &[u8]) -> Self {
        Self::of(route, &mut serde_json::Deserializer::from_slice(body))
    }

    /// Reads a request. Without an object: [`Asked::new`].
    #[doc(hidden)]
    pub fn of<'a>(route: Route, request: impl Deserializer<'a>) -> Self {
        let mut read = Request { asked: Self::new(route), is_object: false };
        match Into(&mut read).deserialize(request) {
            Ok(()) if read.is_object => read.asked,
            _ => Self::new(route),
        }
    }

    /// Whether a repeated request can get another answer: neither seed nor temperature 0 is fixed.
    #[doc(hidden)]
    pub fn can_differ(&self) -> bool {
        !self.seed_fixed && self.temperature != Some(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(route: Route, body: &str) -> Asked {
        Asked::read(route, body.as_bytes())
    }

    #[test]
    fn a_request_is_read_as_ollama_reads_it() {
        let asked = read(
            Route::Chat,
            r#"{"MODEL":"m","Messages":[{"role":"user","content":"one two"}],"Stream":true,"stream":false,"OPTIONS":{"Num_Ctx":512,"seed":1}} trailing"#,
        );
        let expected = Asked { streamed: false, words: 2, window: Some(512), seed_fixed: true, ..Asked::new(Route::Chat) };
        assert_eq!(asked, expected);
        assert!(!asked.can_differ());
        for body in ["", "[]", "{", "\"x\"", "\u{feff}{}"] {
            assert_eq!(read(Route::Chat, body), Asked::new(Route::Chat), "{body:?}");
        }
    }

    #[test]
    fn a_question_is_one_with_messages_or_a_prompt() {
        for (route, body, question) in [
            (Route::Chat, r#"{"messages":[]}"#, false),
            (Route::Chat, r#"{"model":"m"}"#, false),
            (Route::Chat, r#"{"messages":[{"role":"user","content":""}]}"#, true),
            (Route::Generate, r#"{"prompt":""}"#, false),
            (Route::Generate, r#"{"prompt":"x"}"#, true),
        ] {
            assert_eq!(read(route, body).question, question, "{body}");
        }
    }

    #[test]
    fn an_answer_without_text_is_one_where_a_text_is_completed_or_a_tool_has_spoken() {
        for (route, body, allowed) in [
            (Route::Completions, r#"{"prompt":"x"}"#, true),
            (Route::Generate, r#"{"prompt":"x"}"#, false),
            (Route::Generate, r#"{"prompt":"x","suffix":"y"}"#, true),
            (Route::Generate, r#"{"prompt":"x","suffix":""}"#, false),
            (Route::Generate, r#"{"prompt":"x","raw":true}"#, true),
            (Route::Chat, r#"{"messages":[{"role":"tool","content":"12"}]}"#, true),
            (Route::Chat, r#"{"messages":[{"role":"tool","content":"12"},{"role":"user","content":"and?"}]}"#, false),
            (Route::Messages, r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":"12"}]}]}"#, true),
            (Route::Responses, r#"{"input":[{"type":"function_call_output","output":"12"}]}"#, true),
        ] {
            assert_eq!(read(route, body).allows_empty, allowed, "{body}");
        }
    }

    #[test]
    fn values_of_unexpected_types_leave_no_facts_and_the_last_of_equal_keys_counts() {
        for (body, expected) in [
            (
                r#"{"messages":5,"stream":"yes","options":[1],"tools":{},"format":"","think":false,"images":[]}"#,
                Asked { question: false, ..Asked::new(Route::Chat) },
            ),
            (
                r#"{"messages":[{"role":["tool"],"content":{"text":"one"}},[{"CONTENT":"one two"}],null,7]}"#,
                Asked { words: 2, ..Asked::new(Route::Chat) },
            ),
            (
                r#"{"options":{"num_ctx":-1,"temperature":1,"seed":"x"}}"#,
                Asked { question: false, temperature: Some(1.0), ..Asked::new(Route::Chat) },
            ),
            (
                r#"{"messages":[{"role":"tool","content":"a b c"}],"messages":[{"role":"user","content":"a","content":"a b"}]}"#,
                Asked { words: 2, ..Asked::new(Route::Chat) },
            ),
        ] {
            assert_eq!(read(Route::Chat, body), expected, "{body}");
        }
        let deep = format!(r#"{{"messages":[{{"content":"one"}}],"other":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(read(Route::Chat, &deep).words, 1);
    }

    #[test]
    fn words_of_a_long_text_are_counted_wherever_they_begin() {
        for shift in 0..300 {
            for word in ["x ", "word\n", "\u{e4}\u{df} \t", " "] {
                let prompt = "y".repeat(shift) + &word.repeat(700);
                let asked = Asked::read(Route::Generate, serde_json::json!({ "prompt": prompt }).to_string().as_bytes());
                assert_eq!(asked.words, prompt.split_ascii_whitespace().count() as u64, "{shift} {word:?}");
            }
        }
    }

    #[test]
    fn words_are_counted_in_every_form_of_a_question() {
        for (route, body, words) in [
            (Route::Generate, r#"{"prompt":"one two","system":"three"}"#, 3),
            (Route::Embed, r#"{"input":["one two","three"]}"#, 3),
            (
                Route::ChatCompletions,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"one two"},{"type":"image_url"}]}]}"#,
                2,
            ),
            (Route::Messages, r#"{"system":[{"type":"text","text":"one"}],"messages":[{"role":"user","content":"two"}]}"#, 2),
            (
                Route::Responses,
                r#"{"instructions":"one","input":[{"role":"user","content":[{"type":"input_text","text":"two three"}]}]}"#,
                3,
            ),
        ] {
            assert_eq!(read(route, body).words, words, "{body}");
        }
    }
}
