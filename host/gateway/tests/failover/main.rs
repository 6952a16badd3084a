//! The scenarios of the public Failover Bench against the gateway and, where the machine has it, LiteLLM's proxy.
//! A binary of its own, so that one command prints the table of both:
//! `UPRIGHT_LITELLM=VENV cargo test -p upright-gateway --test failover -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod client;
mod hosts;
mod litellm;
mod scenarios;
mod speaker;

use futures_util::{StreamExt as _, stream};
use hosts::{Hosts, MODEL, SPARE, Second, WELL, Wire};
use scenarios::{Fault, Grade, LIMIT, SCENARIOS, Scenario};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};

/// Number of requests while a host is down.
const IN_OUTAGE: usize = 5;
/// Time in which a host that is well again must get a request.
const RETURN: Duration = Duration::from_secs(30);
/// Number of scenarios that run at once.
const AT_ONCE: usize = 8;

/// The gateway's hosts, and how it is asked.
#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    wire: Wire,
    second: Second,
    streamed: bool,
}

const SETTINGS: [Setting; 4] = [
    Setting { name: "upright", wire: Wire::Ollama, second: Second::SameModel, streamed: true },
    Setting { name: "not streamed", wire: Wire::Ollama, second: Second::SameModel, streamed: false },
    Setting { name: "other model", wire: Wire::Ollama, second: Second::OtherModel, streamed: true },
    Setting { name: "OpenAI hosts", wire: Wire::OpenAi, second: Second::SameModel, streamed: true },
];

impl Setting {
    /// Whether an answer that breaks after its content must be mended: the other host writes the same text, and it is
    /// known to have the same model.
    fn mends(self) -> bool {
        self.second == Second::SameModel && self.wire == Wire::Ollama
    }

    /// Whether the scenario exists: an answer that is not streamed has no last sign.
    fn can_play(self, scenario: &Scenario) -> bool {
        self.streamed || !matches!(scenario.fault, Fault::LacksSentinel)
    }

    /// The protocol in which the scenario can be played.
    fn wire_of(self, scenario: &Scenario) -> Wire {
        if matches!(scenario.fault, Fault::LacksSentinel) { Wire::OpenAi } else { self.wire }
    }

    fn gateway(self, scenario: &Scenario, hosts: &Hosts) -> Gateway {
        let kind = if self.wire_of(scenario) == Wire::Ollama { "ollama" } else { "openai" };
        let upstreams = [&hosts.first, &hosts.second].map(|host| format!("[[upstream]]\nurl = \"{}\"\nkind = \"{kind}\"\n", host.url()));
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n\
             [limits]\nloading = \"2s\"\nwhole_answer = \"2s\"\nfirst_content = \"2s\"\nbetween_content = \"2s\"\n\
             [retry]\nmax_retries = 2\nbase_delay = \"20ms\"\nmax_delay = \"5s\"\n[breaker]\nrecovery_timeout = \"200ms\"\n\
             [model.{MODEL}]\nfallback = [\"{SPARE}\"]\n{}",
            upstreams.concat()
        );
        let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() }).unwrap()
    }

    /// Whether the gateway may end the scenario so.
    fn allows(self, scenario: &Scenario, grade: &Grade) -> bool {
        match grade {
            Grade::Met => true,
            Grade::Error(_) => scenario.fault.is_after_content() && self.streamed && !self.mends(),
            // A silent host that alone has the model is asked again, as one that loads would be.
            Grade::Partly(_) => matches!(scenario.fault, Fault::Silent) && self.second == Second::OtherModel,
            Grade::Wrong(_) => false,
        }
    }
}

/// A gateway or a proxy in front of two hosts.
struct Target {
    address: String,
    model: String,
    well: String,
    streamed: bool,
    /// Whether no other host has the model.
    alone: bool,
}

impl Target {
    async fn ask(&self) -> client::Answer {
        client::ask(&self.address, &self.model, self.streamed, LIMIT).await
    }

    async fn play(&self, scenario: &Scenario, hosts: &Hosts) -> Grade {
        let grade = if matches!(scenario.fault, Fault::Down) {
            self.outage(scenario, hosts).await
        } else {
            // Asked until the host with the fault had its turn.
            let mut answer = self.ask().await;
            while hosts.at_first.asked() == 0 && answer.is_whole() {
                answer = self.ask().await;
            }
            scenario.grade(&answer, hosts, self.alone)
        };
        let after = client::ask(&self.address, &self.well, self.streamed, LIMIT).await;
        if !after.is_whole() {
            return Grade::Wrong(format!("a healthy request fails afterwards: {after:?}"));
        }
        grade
    }

    /// Several requests while the first host is down, then others until it gets one again.
    async fn outage(&self, scenario: &Scenario, hosts: &Hosts) -> Grade {
        hosts.at_first.down.store(true, Ordering::SeqCst);
        for _ in 0..IN_OUTAGE {
            let grade = scenario.grade(&self.ask().await, hosts, self.alone);
            if grade != Grade::Met {
                return grade;
            }
        }
        assert!(hosts.at_first.asked() > 0);
        hosts.at_first.down.store(false, Ordering::SeqCst);
        let well_again = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while hosts.at_first.whole.load(Ordering::SeqCst) == 0 {
            if well_again.elapsed() > RETURN {
                return Grade::Wrong("never asks the host again".to_owned());
            }
            looks.tick().await;
            let grade = scenario.grade(&self.ask().await, hosts, self.alone);
            if grade != Grade::Met {
                return grade;
            }
        }
        Grade::Met
    }
}

async fn upright(scenario: &'static Scenario, setting: Setting) -> Cell {
    let hosts = Hosts::start(scenario, setting.second);
    let gateway = setting.gateway(scenario, &hosts);
    let address = format!("http://{}", gateway.address());
    // Both hosts have listed their models.
    let client = reqwest::Client::new();
    upright_test_kit::wait::until("the models of both hosts are known", async || {
        let listed = client.get(format!("{address}/v1/models")).send().await.unwrap().text().await.unwrap();
        listed.contains("\"first") && listed.contains("\"second")
    })
    .await;
    let target = Target {
        address,
        model: MODEL.to_owned(),
        well: WELL.to_owned(),
        streamed: setting.streamed,
        alone: setting.second == Second::OtherModel,
    };
    let grade = target.play(scenario, &hosts).await;
    Cell::of(grade, &hosts)
}

/// A cell of the table.
#[derive(Clone)]
struct Cell {
    grade: Grade,
    /// Number of questions at each host.
    asked: [usize; 2],
}

impl Cell {
    fn of(grade: Grade, hosts: &Hosts) -> Self {
        Self { grade, asked: [hosts.at_first.asked(), hosts.at_second.asked()] }
    }

    fn shown(&self) -> String {
        let [first, second] = self.asked;
        let word = match &self.grade {
            Grade::Met => "met".to_owned(),
            Grade::Partly(why) => format!("partly: {why}"),
            Grade::Error(_) => "error".to_owned(),
            Grade::Wrong(why) => format!("WRONG: {why}"),
        };
        format!("{word} ({first}+{second})")
    }
}

type Column = (String, BTreeMap<&'static str, Cell>);

/// LiteLLM's columns: by OpenAI's protocol, with and without its continuation, and by Ollama's.
async fn litellms() -> Vec<Column> {
    let Some(program) = litellm::program() else {
        upright_test_kit::skipped("failover", "LITELLM IS NOT COMPARED: UPRIGHT_LITELLM names no virtual environment with its proxy");
        return Vec::new();
    };
    let version = litellm::version(&program);
    let mut columns = Vec::new();
    for (name, wire, continues) in
        [("LiteLLM", Wire::OpenAi, false), ("LiteLLM, continuing", Wire::OpenAi, true), ("LiteLLM, Ollama", Wire::Ollama, false)]
    {
        let hosts: Vec<_> = SCENARIOS.iter().map(|scenario| Hosts::start(scenario, Second::OtherModel)).collect();
        let proxy = litellm::Proxy::start(&program, &hosts, wire, continues).await;
        let mut column = BTreeMap::new();
        for (scenario, hosts) in SCENARIOS.iter().zip(&hosts) {
            if matches!(scenario.fault, Fault::LacksSentinel) && wire == Wire::Ollama {
                continue;
            }
            let [model, well] = [MODEL, WELL].map(|kind| litellm::group(scenario.name, kind));
            let target = Target { address: proxy.address.clone(), model, well, streamed: true, alone: true };
            let grade = target.play(scenario, hosts).await;
            column.insert(scenario.name, Cell::of(grade, hosts));
        }
        columns.push((format!("{name} {version}"), column));
    }
    columns
}

fn print(columns: &[Column]) {
    let names = columns.iter().map(|(name, _)| name.clone());
    let mut rows: Vec<Vec<String>> = vec![std::iter::once("scenario".to_owned()).chain(names).collect()];
    for scenario in &SCENARIOS {
        let cells = columns.iter().map(|(_, cells)| cells.get(scenario.name).map_or_else(|| "–".to_owned(), Cell::shown));
        rows.push(std::iter::once(format!("{} {}", scenario.name, scenario.title)).chain(cells).collect());
    }
    let count = |cells: &BTreeMap<_, Cell>, is: fn(&Grade) -> bool| cells.values().filter(|cell| is(&cell.grade)).count();
    let sums = columns.iter().map(|(_, cells)| {
        let met = count(cells, |grade| *grade == Grade::Met);
        let partly = count(cells, |grade| matches!(grade, Grade::Partly(_)));
        let errors = count(cells, |grade| matches!(grade, Grade::Error(_)));
        let wrong = count(cells, |grade| matches!(grade, Grade::Wrong(_)));
        format!("{met} met, {partly} partly, {errors} error, {wrong} wrong")
    });
    rows.push(std::iter::once(String::new()).chain(sums).collect());
    let widths: Vec<usize> = (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap()).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_scenario_of_failover_bench_ends_whole_or_in_an_explicit_error_where_nothing_can_mend_it() {
    let cells = SETTINGS.iter().enumerate().flat_map(|(index, setting)| {
        let played = SCENARIOS.iter().filter(|scenario| setting.can_play(scenario));
        played.map(move |scenario| async move { (index, scenario, upright(scenario, *setting).await) })
    });
    let cells: Vec<_> = stream::iter(cells).buffer_unordered(AT_ONCE).collect().await;
    let mut columns: Vec<Column> = SETTINGS.iter().map(|setting| (setting.name.to_owned(), BTreeMap::new())).collect();
    let mut wrong = Vec::new();
    for (index, scenario, cell) in cells {
        if !SETTINGS[index].allows(scenario, &cell.grade) {
            wrong.push(format!("{}, {}: {:?}, asked {:?}", scenario.name, SETTINGS[index].name, cell.grade, cell.asked));
        }
        columns[index].1.insert(scenario.name, cell);
    }
    columns.extend(litellms().await);
    print(&columns);
    wrong.sort();
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
