//! Health checks over real HTTP.

use futures_util::future::join;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use upright::health::{HealthCheck, HealthCheckBuilder, HealthStatus};
use upright::ollama::BaseUrl;
use upright::testing::DrivenClock;
use upright::types::{Judgement, ResourceSnapshot, ResourceThresholds};
use upright_simulator::{FaultServer, Match};
use upright_test_kit::scripted::{Scripted, Then, no_such_name, nobody};
use upright_test_kit::wait::within;

const GIB: u64 = 1 << 30;

const ROOMY: ResourceSnapshot = ResourceSnapshot {
    memory_total_bytes: 32 * GIB,
    memory_available_bytes: 16 * GIB,
    disk_total_bytes: 1024 * GIB,
    disk_available_bytes: 512 * GIB,
    cpu_percent: Some(12.5),
};

fn health_at(address: BaseUrl) -> HealthCheckBuilder {
    HealthCheck::builder(address).resources(Arc::new(|| ROOMY))
}

fn health(server: &FaultServer) -> HealthCheck {
    health_at(server.url().parse().unwrap()).build().unwrap()
}

async fn server_with(path: &str, row: &str) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    server.always(Match::path(path), row).unwrap();
    server
}

fn resources(snapshot: ResourceSnapshot) -> HealthStatus {
    health_at(BaseUrl::default()).resources(Arc::new(move || snapshot)).build().unwrap().check_system_resources()
}

#[tokio::test]
async fn all_components_of_a_healthy_server_are_reported_in_order() {
    let server = FaultServer::start().await.unwrap();
    let report = health(&server).check_all(&["qwen3:8b", "gemma3:4b"]).await;
    let components: Vec<&str> = report.iter().map(|status| status.component.as_str()).collect();
    assert_eq!(components, ["ollama", "model:qwen3:8b", "model:gemma3:4b", "resources"]);
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!(report.get("model:qwen3:8b").unwrap().details["name"], "qwen3:8b");
}

#[tokio::test]
async fn ten_models_cost_one_request() {
    let server = FaultServer::start().await.unwrap();
    let names: Vec<String> = (0..10).map(|number| format!("model-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let report = health(&server).check_all(&names).await;
    assert_eq!(report.iter().count(), 12);
    assert_eq!(server.count("/api/tags"), 1);
    assert_eq!(server.requests().len(), 2, "and one for the server itself");
}

#[tokio::test]
async fn without_models_the_list_is_not_asked_for() {
    let server = FaultServer::start().await.unwrap();
    health(&server).check_all(&[]).await;
    assert_eq!(server.count("/api/tags"), 0);
}

#[tokio::test]
async fn llama3_is_llama3_latest_and_not_another_tag() {
    let server = FaultServer::start().await.unwrap();
    server.set_models(["llama3:latest", "qwen3:8b"]);
    for (name, healthy) in [("llama3", true), ("Llama3:LATEST", true), ("library/llama3", true), ("qwen3", false), ("llama3:8b", false)] {
        let status = health(&server).check_model_available(name).await;
        assert_eq!(status.healthy, healthy, "{name}: {}", status.message);
    }
}

#[tokio::test]
async fn a_missing_model_comes_with_the_command_that_gets_it() {
    let server = FaultServer::start().await.unwrap();
    let status = health(&server).check_model_available("nothing:7b").await;
    assert_eq!(status.message, "Model nothing:7b not found. Pull it with: ollama pull nothing:7b");
    assert!(status.details["available"].as_array().unwrap().contains(&json!("qwen3:8b")));
}

#[tokio::test]
async fn each_way_of_being_unreachable_has_its_own_message() {
    let message = async |address: BaseUrl| {
        let status = health_at(address).build().unwrap().check_ollama().await;
        assert!(!status.healthy);
        (status.message, status.details["fault"].as_str().unwrap().to_owned())
    };
    let refused = nobody().await;
    let (text, fault) = message(refused.clone()).await;
    assert_eq!((text, fault.as_str()), (format!("nothing listens at {refused}. Start it with: ollama serve"), "connection_refused"));

    let (text, fault) = message(no_such_name()).await;
    assert!(text.contains("does not resolve") && !text.contains("nothing listens") && fault == "dns", "{text}");

    let page = server_with("/", "html-page").await;
    let (text, _) = message(page.url().parse().unwrap()).await;
    assert!(text.starts_with(&format!("something else answers at {}", page.url())), "{text}");

    let banner = Scripted::start(vec![b"220 mail.example.org ESMTP\r\n".to_vec()], Then::Close).await;
    let (text, _) = message(banner.address.clone()).await;
    assert!(text.contains("something else answers"), "{text}");

    let busy = server_with("/", "server-busy").await;
    let (text, fault) = message(busy.url().parse().unwrap()).await;
    assert!(text.contains("status 503: server busy") && fault == "http_status", "{text}");
}

#[tokio::test]
async fn a_page_with_status_200_is_not_a_running_ollama() {
    let server = server_with("/", "html-page").await;
    assert!(!health(&server).check_ollama().await.healthy);
}

#[tokio::test]
async fn models_of_a_server_that_cannot_be_asked_are_unhealthy_with_the_reason() {
    let statuses = health_at(nobody().await).build().unwrap().check_models(&["a", "b"]).await;
    assert_eq!(statuses.len(), 2);
    for status in statuses {
        assert!(!status.healthy && status.message.contains("nothing listens"), "{}", status.message);
    }
}

#[tokio::test]
async fn a_server_that_drips_does_not_outlive_the_timeout() {
    let server = server_with("/api/tags", "slow-drip").await;
    let clock = DrivenClock::new();
    let health = health_at(server.url().parse().unwrap()).clock(clock.shared()).build().unwrap();
    let time = async {
        server.wait_for("/api/tags", 1).await;
        for _ in 0..5 {
            clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    let (statuses, ()) = within(join(health.check_models(&["a"]), time)).await;
    assert!(statuses[0].message.contains("no whole answer within 5 s"), "{}", statuses[0].message);
    assert_eq!(clock.waits(), [Duration::from_secs(5)], "one limit for the whole, and none for each read");
}

#[tokio::test]
async fn all_checks_wait_at_the_same_time() {
    let server = FaultServer::start().await.unwrap();
    server.always(Match::any(), "hang-before-headers").unwrap();
    let clock = DrivenClock::new();
    let health = health_at(server.url().parse().unwrap()).clock(clock.shared()).timeout(Duration::from_secs(2)).build().unwrap();
    let time = async {
        server.wait_for("/", 1).await;
        server.wait_for("/api/tags", 1).await;
        clock.advance(Duration::from_secs(2));
    };
    let (report, ()) = within(join(health.check_all(&["a", "b"]), time)).await;
    let unhealthy: Vec<&str> = report.iter().filter(|status| !status.healthy).map(|status| status.component.as_str()).collect();
    assert_eq!(unhealthy, ["ollama", "model:a", "model:b"]);
    assert!(report.iter().take(3).all(|status| status.details["fault"] == "timeout"));
}

#[tokio::test]
async fn the_processors_load_is_not_waited_for_even_when_the_server_is_down() {
    let clock = DrivenClock::new();
    let health = HealthCheck::builder(nobody().await).clock(clock.shared()).build().unwrap();
    // The first check only starts sampling; a real second would replace a null.
    let first = health.check_all(&[]).await;
    let details = &first.get("resources").unwrap().details;
    assert_eq!(details["cpu_percent"], Value::Null);
    assert!(details["memory_total_gb"].as_f64().unwrap() > 0.0 && details["disk_available_gb"].is_number(), "{details:?}");
    assert_eq!(clock.waits(), [Duration::from_secs(5)], "only the server was waited for");
}

#[test]
fn ninety_gibibytes_free_of_a_tebibyte_are_healthy() {
    let status = resources(ResourceSnapshot { disk_available_bytes: 90 * GIB, ..ROOMY });
    assert!(status.healthy, "{}", status.message);
    assert_eq!(status.details["disk_available_gb"], 90.0);
    assert_eq!(status.details["findings"], json!({"memory": "fine", "disk": "fine", "cpu": "fine"}));
}

#[test]
fn a_full_machine_is_unhealthy_and_a_busy_one_is_not() {
    let full = resources(ResourceSnapshot { memory_available_bytes: GIB, ..ROOMY });
    assert!(!full.healthy && full.message.starts_with("memory 96.9 % used, above 90 %"), "{}", full.message);
    let busy = resources(ResourceSnapshot { cpu_percent: Some(99.0), ..ROOMY });
    assert!(busy.healthy && busy.message.ends_with("CPU 99.0 % used, above 90 %"), "{}", busy.message);
}

#[test]
fn what_cannot_be_read_is_null_and_not_zero() {
    let status = resources(ResourceSnapshot { disk_total_bytes: 0, disk_available_bytes: 0, cpu_percent: None, ..ROOMY });
    for detail in ["disk_available_gb", "disk_total_gb", "disk_percent", "cpu_percent"] {
        assert_eq!(status.details[detail], Value::Null, "{detail}");
    }
    assert_eq!(status.details["memory_percent"], 50.0);
    assert!(status.healthy);
}

#[test]
fn the_judgement_can_come_from_elsewhere() {
    let strict = |_: &ResourceSnapshot, _: &ResourceThresholds| Judgement { healthy: false, findings: Vec::new() };
    let health = health_at(BaseUrl::default()).judge(Arc::new(strict)).build().unwrap();
    assert!(!health.check_system_resources().healthy);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let builder = || HealthCheck::builder(BaseUrl::default());
    let with = |memory_percent| builder().thresholds(ResourceThresholds { memory_percent, ..ResourceThresholds::default() }).build();
    for percent in [f64::NAN, -1.0, 100.5, f64::INFINITY] {
        assert!(with(percent).is_err(), "{percent}");
    }
    let error = builder().timeout(Duration::ZERO).build().unwrap_err();
    assert!(error.to_string().contains("timeout"), "{error}");
}

#[tokio::test]
async fn a_report_is_a_json_object_with_its_times_in_seconds() {
    let server = FaultServer::start().await.unwrap();
    let clock = DrivenClock::new();
    let health = health_at(server.url().parse().unwrap()).clock(clock.shared()).build().unwrap();
    let report = serde_json::to_value(health.check_all(&["qwen3:8b", "qwen3:8b"]).await).unwrap();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ollama", "model:qwen3:8b", "resources"]);
    assert_eq!(report["ollama"]["timestamp"], 315_360_000.0);
    assert_eq!(report["resources"]["healthy"], true);
}

#[tokio::test]
async fn loading_a_model_finds_a_damaged_file_and_a_broken_installation_and_names_what_repairs_them() {
    for (words, repair) in [
        ("tensor \"blk.3.ffn_gate.weight\" offset+size (40179520) exceeds file size (40000000)", "ollama pull qwen3:8b"),
        ("error starting llama-server: llama-server binary not found (checked /usr/lib/ollama)", "https://ollama.com/download"),
        ("model requires more system memory (12.3 GiB) than is available (7.8 GiB)", "more system memory"),
    ] {
        let body = json!({ "error": words }).to_string();
        let server = upright_test_kit::scripted::Series::start(vec![upright_test_kit::scripted::answer(500, "", &body)]).await;
        let status = health_at(server.address.clone()).build().unwrap().check_model_loads("qwen3:8b").await;
        assert!(!status.healthy && status.message.contains(repair), "{status:?}");
        assert_eq!(status.component, "load:qwen3:8b");
    }
    let server = FaultServer::start().await.unwrap();
    server.always(Match { path: Some("/api/chat"), model: Some("nomic-embed-text") }, "no-chat").unwrap();
    for (model, path) in [("qwen3:8b", "/api/chat"), ("nomic-embed-text", "/api/embed")] {
        let status = health(&server).check_model_loads(model).await;
        assert!(status.healthy, "{status:?}");
        assert!(server.requests().iter().any(|seen| seen.path == path && seen.model.as_deref() == Some(model)), "{model}");
    }
    assert_eq!(server.count("/api/tags"), 0);
    let status = health(&server).check_model_loads("llama9").await;
    assert!(!status.healthy && status.message.contains("ollama pull llama9"), "{status:?}");
}
