//! Shows where the gateway listens, and how a client is pointed at it.

use crate::output::{FAINT, GOOD, HEADING, Output};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use upright_gateway::config::Config;
use upright_gateway::serve::Gateway;

pub(super) fn show(gateway: &Gateway, output: &Output) -> std::io::Result<()> {
    let config = gateway.config();
    let upstreams: Vec<String> = config.upstreams.iter().map(|upstream| upstream.url.to_string()).collect();
    let scheme = if config.listen.tls_certificate.is_some() { "https" } else { "http" };
    let address = format!("{scheme}://{}", gateway.address());
    if output.json {
        return output.json_line(&json!({ "event": "listening", "address": address, "upstreams": upstreams }));
    }
    output.line(format!("{} {address}", output.paint(GOOD, "listening on")))?;
    output.line(format!("{} {}", output.paint(FAINT, "hosts"), upstreams.join(", ")))?;
    if output.terminal {
        output.line(format!("\n{}", output.paint(HEADING, "A client asks the gateway with one of these lines")))?;
        for (client, settings) in clients(&config, gateway.address(), scheme) {
            output.line(format!("  {} {settings}", output.paint(FAINT, format_args!("{client:<10}"))))?;
        }
        output.line("")?;
    }
    Ok(())
}

/// Kinds of clients, and the variables that point them at the gateway.
fn clients(config: &Config, listens: SocketAddr, scheme: &str) -> [(&'static str, String); 3] {
    // Nobody can ask an address that stands for all addresses.
    let ip = if listens.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listens.ip() };
    let address = format!("{scheme}://{}", SocketAddr::new(ip, listens.port()));
    let has_keys = !config.access.keys.is_empty();
    let key = if has_keys { "KEY" } else { "ollama" };
    let ollama = if has_keys { format!("OLLAMA_HOST={address} OLLAMA_API_KEY={key}") } else { format!("OLLAMA_HOST={address}") };
    [
        ("Ollama", ollama),
        ("OpenAI", format!("OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={key}")),
        ("Anthropic", format!("ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN={key}")),
    ]
}
