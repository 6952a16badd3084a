//! LiteLLM's proxy, from a virtual environment of the caller's.

use crate::hosts::{Hosts, SPARE, WELL, Wire};
use crate::scenarios::SCENARIOS;
use serde_json::{Value, json};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use upright_test_kit::folder::Folder;

/// Names a virtual environment with `litellm` and what its proxy needs.
const VARIABLE: &str = "UPRIGHT_LITELLM";
/// Set for every measurement: no key is needed here, and no list comes from the network.
const SETTINGS: [(&str, &str); 3] =
    [("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true"), ("LITELLM_LOCAL_MODEL_COST_MAP", "True"), ("NO_PROXY", "127.0.0.1")];
/// Time for its start, which takes several seconds.
const START: Duration = Duration::from_secs(120);

/// The program, if the machine has it.
pub(crate) fn program() -> Option<PathBuf> {
    let environment = std::env::var_os(VARIABLE)?;
    let program = Path::new(&environment).join("bin/litellm");
    assert!(program.is_file(), "{VARIABLE} names {environment:?}, which has no bin/litellm; expected a virtual environment with it");
    Some(program)
}

pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").envs(SETTINGS).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.rsplit_once("= ")).map_or(text.clone(), |(_, version)| version.trim().to_owned())
}

/// The name of a scenario's model, and of one that may serve in its place, or of one that is well.
pub(crate) fn group(scenario: &str, kind: &str) -> String {
    format!("{scenario}-{kind}")
}

/// A proxy in front of two hosts for each scenario.
pub(crate) struct Proxy {
    process: Child,
    pub(crate) address: String,
    _folder: Folder,
}

impl Proxy {
    /// Starts a proxy that asks these hosts by this protocol. It has the limits and retries of the gateway's settings.
    pub(crate) async fn start(program: &Path, hosts: &[Hosts], wire: Wire, continues: bool) -> Self {
        let folder = Folder::new("litellm");
        let (mut models, mut fallbacks) = (Vec::new(), Vec::new());
        for (scenario, hosts) in SCENARIOS.iter().zip(hosts) {
            for (kind, host, model) in [("m", &hosts.first, "m"), (SPARE, &hosts.second, SPARE), (WELL, &hosts.second, WELL)] {
                let (provider, base) = match wire {
                    Wire::OpenAi => ("openai", format!("{}/v1", host.url())),
                    Wire::Ollama => ("ollama_chat", host.url()),
                };
                let parameters = json!({ "model": format!("{provider}/{model}"), "api_base": base, "api_key": "none" });
                // It continues an answer only at a model that is said to do so.
                let info = json!({ "supports_assistant_prefill": continues && !scenario.refuses_prefill });
                models.push(json!({ "model_name": group(scenario.name, kind), "litellm_params": parameters, "model_info": info }));
            }
            fallbacks.push(json!({ group(scenario.name, "m"): [group(scenario.name, SPARE)] }));
        }
        let mut router: Value = json!({ "num_retries": 2, "timeout": 2, "stream_timeout": 2, "fallbacks": fallbacks });
        router["context_window_fallbacks"] = router["fallbacks"].clone();
        if continues {
            router["enable_mid_stream_fallback_continuation"] = true.into();
        }
        // JSON is YAML.
        let config = json!({ "model_list": models, "router_settings": router, "litellm_settings": { "drop_params": true } });
        let (file, log) = (folder.write("litellm.yaml", config.to_string()), folder.path("log"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let output = File::create(&log).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(&file).args(["--host", "127.0.0.1", "--num_workers", "1", "--port", &port.to_string()]);
        command.envs(SETTINGS).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut proxy = Self { process: command.spawn().unwrap(), address: format!("http://127.0.0.1:{port}"), _folder: folder };
        let (began, client) = (Instant::now(), reqwest::Client::builder().no_proxy().build().unwrap());
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while !client.get(format!("{}/health/liveliness", proxy.address)).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(proxy.process.try_wait().unwrap().is_none(), "LiteLLM ended:\n{}", said());
            assert!(began.elapsed() < START, "LiteLLM does not answer:\n{}", said());
            looks.tick().await;
        }
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
