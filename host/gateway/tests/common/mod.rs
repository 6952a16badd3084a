//! Hosts that have the faults of a real Ollama, byte for byte, and gateways in front of them.

use serde_json::Value;
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_recordings::named;
use upright_recordings::server::Server;

/// A fault that clients of a real Ollama take for success.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Recordings on `/api/chat`: streamed and whole.
    chat: [&'static str; 2],
    /// Recordings on `/api/generate`: streamed and whole.
    pub(crate) generate: Option<[&'static str; 2]>,
    /// Whether content comes before the fault in a stream, so that no other host can take over unseen.
    pub(crate) after_content: bool,
    /// Words of the error that a client gets.
    pub(crate) says: &'static str,
}

pub(crate) static FAULTS: [Fault; 8] = [
    Fault {
        name: "the inner server dies in the middle",
        chat: ["cut", "cut-whole"],
        generate: Some(["g-inner-cut", "g-inner-cut-whole"]),
        after_content: true,
        says: "an error was encountered while running the model",
    },
    Fault {
        name: "the inner server ends without an end",
        chat: ["ends-early", "ends-early-whole"],
        generate: Some(["g-inner-ends-early", "g-inner-ends-early-whole"]),
        after_content: true,
        says: "is not whole after",
    },
    Fault {
        name: "the inner server sends an error event",
        chat: ["error-event", "error-event-whole"],
        generate: Some(["g-inner-error-event", "g-inner-error-event-whole"]),
        after_content: true,
        says: "is not whole after",
    },
    Fault { name: "endless repetition", chat: ["repeat", "repeat-whole"], generate: None, after_content: true, says: "is not whole after" },
    Fault {
        name: "the model writes nothing",
        chat: ["empty-stream", "empty"],
        generate: Some(["g-empty", "g-empty-whole"]),
        after_content: false,
        says: "is empty",
    },
    Fault {
        name: "a tool call is cut",
        chat: ["tool-call-cut", "tool-call-cut-whole"],
        generate: None,
        after_content: false,
        says: "is empty",
    },
    Fault {
        name: "the question is longer than the window",
        chat: ["long", "long-whole"],
        generate: Some(["g-long", "g-long-whole"]),
        after_content: false,
        says: "exceeds the available context size",
    },
    Fault {
        name: "a 500 at once",
        chat: ["inner-500-caller", "inner-500-caller-whole"],
        generate: Some(["g-inner-500", "g-inner-500-whole"]),
        after_content: false,
        says: "Compute error",
    },
];

const HEALTHY_CHAT: [&str; 2] = ["plain-longer", "plain-longer-whole"];
const HEALTHY_GENERATE: [&str; 2] = ["g-plain-longer", "g-plain-longer-whole"];

/// The healthy host's answer.
pub(crate) const WHOLE: &str = "Hello there, and goodbye.";

impl Fault {
    /// Whether a larger window mends it.
    pub(crate) fn is_of_the_window(&self) -> bool {
        self.chat[0] == "long"
    }

    /// Whether the question offers tools.
    pub(crate) fn has_tools(&self) -> bool {
        self.chat[0] == "tool-call-cut"
    }

    fn recordings(&self, path: &str) -> Option<[&'static str; 2]> {
        match path {
            "/api/chat" => Some(self.chat),
            "/api/generate" => self.generate,
            _ => None,
        }
    }
}

fn healthy_recordings(path: &str) -> Option<[&'static str; 2]> {
    match path {
        "/api/chat" => Some(HEALTHY_CHAT),
        "/api/generate" => Some(HEALTHY_GENERATE),
        _ => None,
    }
}

/// Whether a request on a route of Ollama asks for a stream.
pub(crate) fn is_streamed(request: &Value) -> bool {
    request["stream"] != false
}

/// The recording for a request, of one streamed and one whole.
pub(crate) fn of_two([streamed, whole]: [&'static str; 2], request: &Value) -> &'static str {
    if is_streamed(request) { streamed } else { whole }
}

pub(crate) fn healthy() -> Server {
    Server::start(|path, request| Some(named(of_two(healthy_recordings(path)?, request)))).unwrap()
}

/// A host that has one fault. One that refuses a long question answers it with a window that is large enough.
pub(crate) fn faulty(fault: &'static Fault) -> Server {
    let choose = move |path: &str, request: &Value| {
        let of_fault = fault.recordings(path)?;
        let name = if fault.is_of_the_window() && request["options"]["num_ctx"].as_u64() > Some(6000) {
            of_two(healthy_recordings(path)?, request)
        } else if fault.is_of_the_window() && request["truncate"] == false {
            "long-refused"
        } else {
            of_two(of_fault, request)
        };
        Some(named(name))
    };
    Server::start(choose).unwrap()
}

pub(crate) fn gateway(hosts: &[&Server]) -> Gateway {
    gateway_to(&hosts.iter().map(|host| format!("[[upstream]]\nurl = \"{}\"\n", host.url())).collect::<String>())
}

/// A gateway in front of these tables `[[upstream]]`.
pub(crate) fn gateway_to(upstreams: &str) -> Gateway {
    let retry = "[retry]\nmax_retries = 2\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";
    let text = format!("{retry}[listen]\naddress = \"127.0.0.1:0\"\n{upstreams}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, recovers: true }).unwrap()
}
