//! Which responses are good.

/// Decides which `Ok` responses are successes. Every `Fn(&Response) -> bool` does.
pub trait Accept<Response> {
    /// Whether this response is a success; one that is not counts as a failure of the service.
    fn accepts(&self, response: &Response) -> bool;
}

impl<Response, F: Fn(&Response) -> bool> Accept<Response> for F {
    fn accepts(&self, response: &Response) -> bool {
        self(response)
    }
}

/// Takes every `Ok` response for a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptAll;

impl<Response> Accept<Response> for AcceptAll {
    fn accepts(&self, _: &Response) -> bool {
        true
    }
}
