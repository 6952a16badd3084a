//! A newcomer follows README.md to the gateway, and asks it by LangChain.

use crate::common::command;
use crate::serve::{CHAT, Screen};
use tokio::process::Command;
use upright_simulator::{FaultServer, HEALTHY_STEP};
use upright_test_kit::command::{Ran, connect, finish};
use upright_test_kit::other_hosts::{Host, Installed};
use upright_test_kit::skipped;

const TEST: &str = "a_newcomer_with_langchain_gets_whole_answers_by_the_lines_of_readme_and_an_exception_for_a_cut_one";

/// README.md's own lines about the gateway.
struct Lines {
    /// `upright serve` and the addresses that its comment names: its own, and the one that it asks.
    serve: (String, [String; 2]),
    /// `curl …`
    curl: String,
    /// The setting of LangChain's `ChatOllama`: a variable and its value.
    setting: (String, String),
}

fn lines() -> Lines {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("The gateway\n")).unwrap();
    let mut block = section.split("```").nth(1).unwrap().lines().filter_map(|line| line.strip_prefix("$ ")?.split_once(" # "));
    let (serve, comment) = block.next().unwrap();
    let (listens, asks) = comment.trim().strip_prefix("listens on ").unwrap().split_once(", asks ").unwrap();
    let row = section.lines().find(|line| line.starts_with('|') && line.contains("`ChatOllama`")).unwrap();
    let (variable, value) = row.split('`').rev().nth(1).unwrap().split_once('=').unwrap();
    Lines {
        serve: (serve.trim().to_owned(), [listens.to_owned(), asks.to_owned()]),
        curl: block.next().unwrap().0.trim().to_owned(),
        setting: (variable.to_owned(), value.to_owned()),
    }
}

/// Runs the program with its server in this variable.
async fn run(python: &Installed, variable: &str, address: &str) -> Ran {
    let mut program = Command::from(python.command("newcomer"));
    // The server is on this machine, whatever proxy others use.
    program.env("NO_PROXY", "127.0.0.1").env_remove("OLLAMA_HOST").env(variable, address);
    connect(&mut program);
    finish(program, "").await
}

#[tokio::test]
async fn a_newcomer_with_langchain_gets_whole_answers_by_the_lines_of_readme_and_an_exception_for_a_cut_one() {
    let Some(python) = Host::PythonClients.prepare_or_skip(TEST) else { return };
    let Lines { serve: (serve, [listens, asks]), curl, setting: (variable, value) } = lines();
    let simulator = FaultServer::start().await.unwrap();
    simulator.set_models(["qwen3:8b"]);
    let asked = simulator.address().to_string();

    // The line names no port, so the two of its comment are the defaults. Flags replace them.
    let words: Vec<&str> = serve.split(' ').collect();
    assert_eq!(words[0], "upright");
    let defaults = finish(command(None, &[&words[1..], &["--print-config"]].concat()), "").await.ends_with(0).out;
    for line in [format!("address = \"{listens}\""), format!("url = \"http://{asks}\"")] {
        assert!(defaults.lines().any(|found| found == line), "README.md says {line}\n{defaults}");
    }
    let free = ["--listen", "127.0.0.1:0", "--upstream", &asked];
    let mut gateway = command(None, &[&words[1..], &free].concat()).spawn().unwrap();
    // Kept until the end: a program whose standard output is closed may end.
    let mut screen = Screen::of(gateway.stdout.take().unwrap());
    let address = screen.address().await;

    assert!(curl.contains(&listens) && value == listens, "{curl}, {variable}={value}");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(curl.replace(&listens, &address)).env("NO_PROXY", "127.0.0.1");
    connect(&mut shell);
    let tags = finish(shell, "").await;
    // Status of a shell that does not find the program.
    if tags.code == Some(127) {
        skipped(TEST, format_args!("the line `{curl}`, since curl is not installed"));
    } else {
        assert!(tags.ends_with(0).out.contains("qwen3:8b"));
    }

    let asks = simulator.count("/api/chat");
    let whole = run(&python, &variable, &address).await.ends_with(0).out;
    assert_eq!(whole, run(&python, &variable, &asked).await.ends_with(0).out, "the simulator's own answer differs");
    assert_eq!(simulator.count("/api/chat"), asks + 2);

    simulator.plan(CHAT, &["model-runner-stopped", HEALTHY_STEP]).unwrap();
    assert_eq!(run(&python, &variable, &address).await.ends_with(0).out, whole);
    assert_eq!(simulator.count("/api/chat"), asks + 4, "its first attempt failed, its second did not");

    for cut in ["stream-clean-end", "stream-error-line", "stream-reset", "stream-abort", "done-false"] {
        simulator.clear();
        simulator.always(CHAT, cut).unwrap();
        let ran = run(&python, &variable, &address).await;
        println!("{cut}: {}", ran.err.lines().last().unwrap_or_default());
        assert!(ran.code == Some(1) && ran.out.is_empty() && ran.err.contains("ResponseError"), "{cut}: {ran:?}");
    }
    // Without the gateway it takes a cut answer for whole.
    simulator.clear();
    simulator.always(CHAT, "stream-clean-end").unwrap();
    let cut = run(&python, &variable, &asked).await.ends_with(0).out;
    assert!(!cut.trim().is_empty() && whole.starts_with(cut.trim()) && cut != whole, "{cut:?} of {whole:?}");
    drop(screen);
}
