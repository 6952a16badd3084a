//! `upright-simulator`: replays Ollama's failures for any client.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use upright_simulator::{FAULT_PREFIX, FaultServer, ROWS};

const USAGE: &str = "\
Replays Ollama's failures over HTTP on 127.0.0.1. It is a stand-in, not an Ollama.

Usage: upright-simulator [--port N] [--for SECONDS]

  --port N        listen on this port instead of a free one
  --for SECONDS   end after so long (default: 300)
  --help          print this

The first line of output is the server's URL. A request for the model `fault/NAME` gets the failure NAME; the output
lists the names. Other requests are answered by a small simulated Ollama.";

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Help,
    Serve { port: u16, time: Duration },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match parse(std::env::args().skip(1)) {
        Ok(Wanted::Help) => print(&[USAGE.to_owned()]),
        Ok(Wanted::Serve { port, time }) => serve(port, time).await,
        Err(fault) => {
            eprintln!("{fault}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("cannot serve: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let (mut port, mut seconds) = (0, 300);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Wanted::Help),
            "--port" => port = number(&name, &value()?)?,
            "--for" => seconds = number(&name, &value()?)?,
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    Ok(Wanted::Serve { port, time: Duration::from_secs(seconds) })
}

fn number<N: std::str::FromStr>(name: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{name} takes a whole number within its range, not `{value}`"))
}

async fn serve(port: u16, time: Duration) -> io::Result<()> {
    let server = FaultServer::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut lines = vec![server.url(), format!("A replay of Ollama's failures, for {} s. Models that ask for one:", time.as_secs())];
    lines.extend(ROWS.iter().map(|row| format!("  {FAULT_PREFIX}{:36}{}", row.name, row.about)));
    print(&lines)?;
    tokio::time::sleep(time).await;
    server.shutdown().await;
    Ok(())
}

/// `println!` panics when nobody reads.
fn print(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, String> {
        parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn without_arguments_it_serves_five_minutes_on_a_free_port() {
        assert_eq!(parsed(&[]), Ok(Wanted::Serve { port: 0, time: Duration::from_secs(300) }));
    }

    #[test]
    fn both_numbers_can_be_given() {
        let wanted = parsed(&["--port", "11500", "--for", "7"]);
        assert_eq!(wanted, Ok(Wanted::Serve { port: 11500, time: Duration::from_secs(7) }));
    }

    #[test]
    fn a_bad_argument_is_refused_by_name() {
        for (arguments, word) in
            [(&["--prot", "1"][..], "--prot"), (&["--port"], "--port"), (&["--port", "70000"], "70000"), (&["--for", "-1"], "-1")]
        {
            assert!(parsed(arguments).is_err_and(|fault| fault.contains(word)), "{arguments:?}");
        }
    }
}
