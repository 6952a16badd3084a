//! Decides whether repeating a request is safe.

use reqwest::{Body, Request};

/// Whether repeating this request is harmless; overrides its method. Goes among the request's extensions:
///
/// ```
/// # fn example(client: reqwest_middleware::ClientWithMiddleware) -> reqwest_middleware::RequestBuilder {
/// use upright::reqwest_middleware::Repeatable;
///
/// client.post("http://127.0.0.1:11434/api/embed").with_extension(Repeatable(true))
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeatable(pub bool);

const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) fn is_safe(request: &Request) -> bool {
    request.method().is_idempotent() || request.headers().contains_key(IDEMPOTENCY_KEY)
}

pub(super) fn is_stream(request: &Request) -> bool {
    request.body().is_some_and(|body: &Body| body.as_bytes().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::Method;

    fn request(method: &str) -> Request {
        Request::new(Method::from_bytes(method.as_bytes()).unwrap(), "http://127.0.0.1/".parse().unwrap())
    }

    #[test]
    fn the_methods_that_are_safe_to_repeat_are_those_of_the_rfc() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(is_safe(&request(method)), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PROPFIND"] {
            assert!(!is_safe(&request(method)), "{method}");
        }
    }

    #[test]
    fn a_key_makes_any_method_safe_to_repeat() {
        let mut request = request("POST");
        request.headers_mut().insert("Idempotency-Key", "8e03978e".parse().unwrap());
        assert!(is_safe(&request));
    }

    #[test]
    fn a_request_body_of_bytes_is_no_stream() {
        let mut request = request("POST");
        assert!(!is_stream(&request));
        *request.body_mut() = Some("bytes".into());
        assert!(!is_stream(&request));
        *request.body_mut() = Some(Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("a piece")])));
        assert!(is_stream(&request));
    }
}
