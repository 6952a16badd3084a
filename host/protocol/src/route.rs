//! Names the routes on which a model answers.

use upright_logic::types::Endpoint;

/// A route on which a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Ollama's `/api/chat`.
    Chat,
    /// Ollama's `/api/generate`.
    Generate,
    /// Ollama's `/api/embed`, and the older `/api/embeddings`.
    Embed,
    /// OpenAI's `/v1/chat/completions`.
    ChatCompletions,
    /// OpenAI's `/v1/completions`.
    Completions,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// OpenAI's `/v1/embeddings`.
    Embeddings,
    /// Anthropic's `/v1/messages`.
    Messages,
}

impl Route {
    /// All routes.
    #[doc(hidden)]
    pub const ALL: [Self; 8] = [
        Self::Chat,
        Self::Generate,
        Self::Embed,
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Messages,
    ];

    /// Route of a path, with or without query; `None` for others.
    #[doc(hidden)]
    pub fn of(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        if path == "/api/embeddings" { Some(Self::Embed) } else { Self::ALL.into_iter().find(|route| route.path() == path) }
    }

    /// Path of the route.
    #[doc(hidden)]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/api/chat",
            Self::Generate => "/api/generate",
            Self::Embed => "/api/embed",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Messages => "/v1/messages",
        }
    }

    /// Endpoint of Ollama that answers, for the facts of a failure.
    #[doc(hidden)]
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::Generate | Self::Completions => Endpoint::Generate,
            Self::Embed | Self::Embeddings => Endpoint::Embed,
            _ => Endpoint::Chat,
        }
    }

    /// Whether the route is Ollama's own; those stream JSON lines, others events.
    #[doc(hidden)]
    pub const fn is_ollamas(self) -> bool {
        matches!(self, Self::Chat | Self::Generate | Self::Embed)
    }

    /// Whether the answer is vectors.
    #[doc(hidden)]
    pub const fn embeds(self) -> bool {
        matches!(self, Self::Embed | Self::Embeddings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_route_whatever_its_query_and_others_are_none() {
        assert!(Route::ALL.into_iter().all(|route| Route::of(route.path()) == Some(route)));
        assert_eq!(Route::of("/v1/messages?beta=true"), Some(Route::Messages));
        assert_eq!(Route::of("/api/embeddings"), Some(Route::Embed));
        for path in ["", "/", "/api/tags", "/v1/models", "/v1/messages/count_tokens", "/api/chat/"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
