//! Vectors of fallback models, lighter workflows and cached answers.

use super::Collected;
use super::random::Random;
use super::values::{self, MODELS};
use serde_json::json;
use upright_logic::classifier::classify;
use upright_logic::degradation::{DEFAULT_CHAIN, EDGE_CHAIN, QUALITY_CHAIN, SPEED_CHAIN, WorkflowEntry, WorkflowValue};
use upright_logic::types::{Classification, Fault, FaultKind};

const RANDOM_CHAINS: usize = 120;
const RANDOM_WORKFLOWS: usize = 110;
const RANDOM_ANSWERS: usize = 70;

const KEYS: [&str; 18] = [
    "max_iterations",
    "tools",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "tfs_z",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "seed",
    "num_ctx",
    "model",
    "Temperature",
    "max-iterations",
    "",
    "モデル",
];

pub(super) fn make(collected: &mut Collected, random: &mut Random) {
    models(collected, random);
    workflows(collected, random);
    answers(collected, random);
}

fn models(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: String, current: &str, chain: &[&str]| {
        collected.ask("degradation.next_model", name, json!({ "current": current, "chain": chain }));
    };
    let chains: [(&str, &[&str]); 4] =
        [("speed", &SPEED_CHAIN), ("quality", &QUALITY_CHAIN), ("edge", &EDGE_CHAIN), ("default", &DEFAULT_CHAIN)];
    for (name, chain) in chains {
        for current in chain {
            ask(format!("{current} in the {name} chain"), current, chain);
        }
        ask(format!("a model outside the {name} chain"), "llama3.2", chain);
    }
    for spelling in MODELS {
        ask(format!("{spelling:?} before qwen3:8b and gemma3:4b"), spelling, &["qwen3:8b", "gemma3:4b"]);
        ask(format!("{spelling:?} before qwen3 and gemma3:4b"), spelling, &["qwen3", "gemma3:4b"]);
    }
    let odd = [
        "",
        " ",
        ":",
        "/",
        "//",
        "a:",
        ":b",
        "a/b/c/d:e",
        "host:5000/a",
        "host:5000/a/b",
        "https://registry.ollama.ai/library/QWEN3:8b\t",
        "http://qwen3:8b",
        "QWEN3:8B\n",
        "qwen3:8b:extra",
        "ｑｗｅｎ3:8b",
        "K:8b",
    ];
    for current in odd {
        ask(format!("the odd name {current:?}"), current, &["qwen3:8b", "", "gemma3:4b"]);
    }
    let repeats = ["a", "b", "A:latest", "b", "c", "a"];
    for current in ["a", "A", "b", "c", "c:latest", "d"] {
        ask(format!("{current} in a chain with repeats"), current, &repeats);
    }
    ask("an empty chain stays empty".into(), "qwen3:8b", &[]);
    ask("a chain of only the model that failed".into(), "qwen3:8b", &["qwen3:8b"]);
    ask("a chain of only spellings of the model that failed".into(), "qwen3", &["Qwen3", "qwen3:latest", "library/qwen3"]);
    ask("a model outside a chain of one".into(), "qwen3:8b", &["gemma3:4b"]);
    for index in 0..RANDOM_CHAINS {
        let chain: Vec<&str> = (0..random.below(5)).map(|_| random.pick(&MODELS)).collect();
        let current = random.pick(&MODELS);
        ask(format!("random {index}"), current, &chain);
    }
}

fn workflows(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: String, workflow: &[(&str, WorkflowValue)]| {
        let entry = |(key, value): &(&str, WorkflowValue)| WorkflowEntry { key: (*key).to_owned(), value: value.clone() };
        let workflow: Vec<WorkflowEntry> = workflow.iter().map(entry).collect();
        collected.ask("degradation.simplify_workflow", name, json!({ "workflow": workflow }));
    };
    use WorkflowValue::{Boolean, Items, Nested, Null, Number, Text};
    ask(
        "the specification's workflow".into(),
        &[("max_iterations", Number(10.0)), ("tools", Items(4)), ("temperature", Number(0.7)), ("top_k", Number(50.0))],
    );
    ask("an empty workflow".into(), &[]);
    ask("a temperature of zero is not raised".into(), &[("temperature", Number(0.0)), ("max_iterations", Number(1.0))]);
    ask("values at their limits stay".into(), &[("temperature", Number(0.3)), ("max_iterations", Number(3.0)), ("tools", Items(3))]);
    let above = 0.3 + f64::EPSILON;
    ask("values just above their limits".into(), &[("temperature", Number(above)), ("max_iterations", Number(3.5)), ("tools", Items(4))]);
    ask(
        "numbers below zero and beyond bounds".into(),
        &[("temperature", Number(-1.0)), ("max_iterations", Number(f64::MAX)), ("tools", Items(u32::MAX)), ("top_p", Number(-0.0))],
    );
    ask("a key that stands twice".into(), &[("temperature", Number(1.0)), ("temperature", Number(0.9))]);
    for key in KEYS {
        let values = [Null, Boolean(true), Number(1e18), Text("search,calculator,browser,shell".into()), Items(40), Nested];
        let workflow: Vec<(&str, WorkflowValue)> = values.into_iter().map(|value| (key, value)).collect();
        ask(format!("{key:?} with a value of every type"), &workflow);
    }
    for index in 0..RANDOM_WORKFLOWS {
        let workflow: Vec<(&str, WorkflowValue)> = (0..random.below(6)).map(|_| (random.pick(&KEYS), value(random))).collect();
        ask(format!("random {index}"), &workflow);
    }
}

fn value(random: &mut Random) -> WorkflowValue {
    match random.below(9) {
        0 => WorkflowValue::Null,
        1 => WorkflowValue::Boolean(random.chance(50)),
        2 => WorkflowValue::Text("hot".into()),
        3 | 4 => WorkflowValue::Items(random.below_u32(8)),
        5 => WorkflowValue::Nested,
        6 => WorkflowValue::Number(random.span(100.0)),
        _ => WorkflowValue::Number(random.span(1.0)),
    }
}

fn answers(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: String, age: f64, max_age: f64, failure: &Classification| {
        collected.ask("degradation.may_serve_cached", name, json!({ "age": age, "max_age": max_age, "failure": failure }));
    };
    let down = classify(&Fault::new(FaultKind::ConnectionRefused, ""));
    let ages: [(f64, f64); 12] = [
        (0.0, 0.0),
        (-0.0, 0.0),
        (0.0, -0.0),
        (3_599.999_999_999, 3600.0),
        (3600.0, 3600.0),
        (3_600.000_000_000_001, 3600.0),
        (3600.1, 3600.0),
        (-1.0, 3600.0),
        (1.0, -1.0),
        (5e-324, 0.0),
        (0.0, 5e-324),
        (f64::MAX, f64::MAX),
    ];
    for (age, max_age) in ages {
        ask(format!("an answer {age:?} s old where {max_age:?} s are allowed"), age, max_age, &down);
    }
    for kind in FaultKind::ALL {
        ask(format!("a fresh answer after {kind}"), 1.0, 3600.0, &classify(&Fault::new(*kind, "")));
    }
    for index in 0..RANDOM_ANSWERS {
        let failure = classify(&values::fault(random));
        ask(format!("random {index}"), random.span(100.0), random.span(100.0), &failure);
    }
}
