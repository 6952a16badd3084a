//! Hosts that have the faults of a real Ollama, byte for byte, and gateways in front of them.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_recordings::named;
use upright_recordings::server::Server;
use upright_test_kit::wait::until_blocking;

/// A fault that clients of a real Ollama take for success.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Recordings on `/api/chat`: streamed and whole.
    chat: [&'static str; 2],
    /// Recordings on `/api/generate`: streamed and whole.
    pub(crate) generate: Option<[&'static str; 2]>,
    /// Whether the model ends a stream by itself, after content: no repeat of the answer would help.
    pub(crate) is_final: bool,
    /// Words of the error that a client gets.
    pub(crate) says: &'static str,
}

pub(crate) static FAULTS: [Fault; 8] = [
    Fault {
        name: "the inner server dies in the middle",
        chat: ["cut", "cut-whole"],
        generate: Some(["g-inner-cut", "g-inner-cut-whole"]),
        is_final: false,
        says: "an error was encountered while running the model",
    },
    Fault {
        name: "the inner server ends without an end",
        chat: ["ends-early", "ends-early-whole"],
        generate: Some(["g-inner-ends-early", "g-inner-ends-early-whole"]),
        is_final: false,
        says: "is not whole after",
    },
    Fault {
        name: "the inner server sends an error event",
        chat: ["error-event", "error-event-whole"],
        generate: Some(["g-inner-error-event", "g-inner-error-event-whole"]),
        is_final: false,
        says: "is not whole after",
    },
    Fault { name: "endless repetition", chat: ["repeat", "repeat-whole"], generate: None, is_final: true, says: "is not whole after" },
    Fault {
        name: "the model writes nothing",
        chat: ["empty-stream", "empty"],
        generate: Some(["g-empty", "g-empty-whole"]),
        is_final: false,
        says: "is empty",
    },
    Fault { name: "a tool call is cut", chat: ["tool-call-cut", "tool-call-cut-whole"], generate: None, is_final: false, says: "is empty" },
    Fault {
        name: "the question is longer than the window",
        chat: ["long", "long-whole"],
        generate: Some(["g-long", "g-long-whole"]),
        is_final: false,
        says: "exceeds the available context size",
    },
    Fault {
        name: "a 500 at once",
        chat: ["inner-500-caller", "inner-500-caller-whole"],
        generate: Some(["g-inner-500", "g-inner-500-whole"]),
        is_final: false,
        says: "Compute error",
    },
];

const HEALTHY_CHAT: [&str; 2] = ["plain-longer", "plain-longer-whole"];
const HEALTHY_GENERATE: [&str; 2] = ["g-plain-longer", "g-plain-longer-whole"];

/// The model that all hosts have.
const MODEL: &str = "m:latest";

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
    Server::with_model(MODEL, |path, request| Some(named(of_two(healthy_recordings(path)?, request)))).unwrap()
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
    Server::with_model(MODEL, choose).unwrap()
}

/// A gateway in front of these hosts. It knows their models.
pub(crate) fn gateway(hosts: &[&Server]) -> Gateway {
    let gateway = gateway_to(&hosts.iter().map(|host| format!("[[upstream]]\nurl = \"{}\"\n", host.url())).collect::<String>());
    for host in hosts {
        let model = format!("at-{}:latest", host.port());
        for path in ["/api/tags", "/api/ps"] {
            until_blocking("the gateway lists the models of its host", || got(&gateway, path).contains(&model));
        }
    }
    gateway
}

fn got(gateway: &Gateway, path: &str) -> String {
    let mut connection = TcpStream::connect(gateway.address()).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// A gateway in front of these tables `[[upstream]]`.
pub(crate) fn gateway_to(upstreams: &str) -> Gateway {
    let retry = "[retry]\nmax_retries = 2\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";
    let text = format!("{retry}[listen]\naddress = \"127.0.0.1:0\"\n{upstreams}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() }).unwrap()
}
