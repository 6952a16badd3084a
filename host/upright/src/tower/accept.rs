//! Decides which responses are good.

/// Decides which `Ok` responses are successes. Any `Fn(&Response) -> bool` will do.
pub trait Accept<Response> {
    /// Whether this response is a success; any other is a failure of the service.
    fn accepts(&self, response: &Response) -> bool;
}

impl<Response, F: Fn(&Response) -> bool> Accept<Response> for F {
    fn accepts(&self, response: &Response) -> bool {
        self(response)
    }
}

/// Accepts every `Ok` response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptAll;

impl<Response> Accept<Response> for AcceptAll {
    fn accepts(&self, _: &Response) -> bool {
        true
    }
}
