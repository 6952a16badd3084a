//! The example policies answer all questions of the vectors sensibly, repeatably, and as WebAssembly like natively.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use upright::policy::Policy as Component;
use upright::{PolicyLifecycle, PolicySlot};
use upright_conformance::compare::difference;
use upright_conformance::{Vector, all, native};
use upright_logic::degradation::WorkflowEntry;
use upright_operations::eval::Evaluator;
use upright_policy_cautious::Cautious;
use upright_policy_count_window::CountWindow;
use upright_policy_decorrelated_jitter::DecorrelatedJitter;
use upright_policy_time_window::TimeWindow;
use upright_shim::Policy;
use upright_test_kit::patient;

type Native = fn(&str, &Value) -> Value;

const EXAMPLES: [(&str, Native); 4] = [
    ("count-window", ask_natively::<CountWindow>),
    ("time-window", ask_natively::<TimeWindow>),
    ("decorrelated-jitter", ask_natively::<DecorrelatedJitter>),
    ("cautious", ask_natively::<Cautious>),
];

fn ask_natively<P: Policy>(function: &str, arguments: &Value) -> Value {
    fn read<T: DeserializeOwned>(arguments: &Value, name: &str) -> T {
        T::deserialize(&arguments[name]).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
    let given = arguments;
    let answer = match function {
        "metadata.describe" => serde_json::to_value(P::describe()),
        "settings.recommend" => serde_json::to_value(P::recommend(read(given, "profile"))),
        "backoff.delay" => serde_json::to_value(P::delay(&read(given, "config"), read(given, "attempt"), read(given, "random"))),
        "breaker.initial" => serde_json::to_value(P::initial(read(given, "now"))),
        "breaker.step" => serde_json::to_value(P::step(&read(given, "config"), read(given, "state"), &read(given, "observation"))),
        "classifier.classify" => serde_json::to_value(P::classify(&read(given, "fault"))),
        "degradation.next_model" => {
            let (current, chain): (String, Vec<String>) = (read(given, "current"), read(given, "chain"));
            serde_json::to_value(P::next_model(&current, &chain))
        }
        "degradation.simplify_workflow" => {
            let workflow: Vec<WorkflowEntry> = read(given, "workflow");
            serde_json::to_value(P::simplify_workflow(&workflow))
        }
        "degradation.may_serve_cached" => {
            serde_json::to_value(P::may_serve_cached(read(given, "age"), read(given, "max_age"), &read(given, "failure")))
        }
        "health.judge" => serde_json::to_value(P::judge(&read(given, "snapshot"), &read(given, "thresholds"))),
        "recovery.decide" => serde_json::to_value(P::decide(read(given, "incident"))),
        _ => panic!("no function {function}"),
    };
    answer.unwrap()
}

fn component(name: &str) -> Component {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../guest/examples/{name}/{name}.wasm"));
    patient::loader().from_file(path).unwrap()
}

#[test]
fn the_components_answer_every_question_twice_the_same_and_as_native_code_does_to_the_bit() {
    for (name, natively) in EXAMPLES {
        let (mut first, mut second) = (Evaluator::new(component(name)), Evaluator::new(component(name)));
        let vectors = all();
        // A second instance in reverse order reveals memory between questions.
        let mut again: Vec<Value> = vectors.iter().rev().map(|vector| second.eval(&vector.function, &vector.arguments).unwrap()).collect();
        again.reverse();
        for (vector, again) in vectors.iter().zip(again) {
            let once = first.eval(&vector.function, &vector.arguments).unwrap();
            let asked = Vector { answer: once, ..vector.clone() };
            for (whose, answer) in [("asked again", again), ("natively", natively(&vector.function, &vector.arguments))] {
                if let Some(difference) = difference(&asked, &answer) {
                    panic!("{name}, {whose}: {} {:?}: {difference}", vector.function, vector.name);
                }
            }
        }
        assert!(vectors.len() >= 2000);
    }
}

#[test]
fn each_example_differs_from_the_default_policy_in_some_answer_beside_its_name() {
    for (name, natively) in EXAMPLES {
        let others = all().into_iter().filter(|vector| vector.function != "metadata.describe");
        let differing = others.filter(|vector| difference(vector, &natively(&vector.function, &vector.arguments)).is_some()).count();
        assert!(differing > 0, "{name} answers as the default policy");
    }
}

fn ask(slot: &PolicySlot, vector: &Vector) -> Option<()> {
    fn read<T: DeserializeOwned>(vector: &Vector, name: &str) -> T {
        T::deserialize(&vector.arguments[name]).unwrap()
    }
    match &*vector.function {
        "settings.recommend" => drop(slot.recommend(read(vector, "profile"))),
        "backoff.delay" => drop(slot.delay(&read(vector, "config"), read(vector, "attempt"), read(vector, "random"))),
        "classifier.classify" => drop(slot.classify(&read(vector, "fault"))),
        "recovery.decide" => drop(slot.decide(&read(vector, "incident"))),
        // Only breakers ask a step of a slot: here within an incident.
        "breaker.step" => drop(slot.decide(&incident_of(vector)?)),
        _ => return None,
    }
    Some(())
}

fn incident_of(vector: &Vector) -> Option<upright::types::Incident> {
    let Vector { arguments, .. } = vector;
    let generation = arguments["observation"]["event"].get("failure")?;
    let template = all().into_iter().find(|vector| vector.function == "recovery.decide")?;
    let mut incident = template.arguments["incident"].clone();
    incident["now"] = arguments["observation"]["now"].clone();
    incident["guard"] = json!({
        "config": arguments["config"],
        "state": arguments["state"],
        "generation": generation,
        "successes": arguments["observation"]["successes"],
    });
    Some(serde_json::from_value(incident).unwrap())
}

#[test]
fn the_host_finds_every_answer_sensible_where_it_finds_the_default_policys_sensible() {
    let vectors = all();
    for (name, _) in EXAMPLES {
        let mut asked = 0;
        for vector in &vectors {
            // A slot for each question, because three failures would replace the policy.
            let slot = PolicyLifecycle::new(component_once(name));
            if ask(slot.slot(), vector).is_none() {
                continue;
            }
            asked += 1;
            if slot.counts().safe_mode == 0 {
                continue;
            }
            let default = patient::slot();
            ask(default.slot(), vector);
            assert_ne!(default.counts().safe_mode, 0, "{name}: the host refused the answer to {} {:?}", vector.function, vector.name);
        }
        assert!(asked > 1000, "{name}: only {asked} questions");
    }
}

fn component_once(name: &str) -> Component {
    use std::collections::HashMap;
    use std::sync::Mutex;
    static COMPILED: Mutex<Option<HashMap<String, Component>>> = Mutex::new(None);
    let mut compiled = COMPILED.lock().unwrap();
    compiled.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| component(name)).clone()
}

#[test]
fn each_function_of_the_contract_can_be_asked_of_an_example_policy_natively() {
    for function in native::functions() {
        let vector = all().into_iter().find(|vector| vector.function == function).unwrap();
        ask_natively::<CountWindow>(function, &vector.arguments);
    }
}
