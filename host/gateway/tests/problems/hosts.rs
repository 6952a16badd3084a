//! Hosts that are dead, fail at once, load for minutes, lack the model or have another one loaded.

use super::*;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;
use upright_test_kit::model_host::listed;

/// An address that swallows connections: its queue is full, and nobody accepts.
struct BlackHole {
    url: String,
    _sockets: Vec<Socket>,
}

impl BlackHole {
    fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{}", address.as_socket().unwrap());
        let mut sockets = vec![listener];
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if socket.connect_timeout(&address, Duration::from_millis(100)).is_err() {
                return Self { url, _sockets: sockets };
            }
            sockets.push(socket);
        }
    }
}

/// A healthy host whose lists wait at this gate, which its first question opens.
fn late(gate: &Gate) -> ModelHost {
    let gate = gate.clone();
    ModelHost::start(move |asked, line| {
        if asked.is_question() {
            gate.open();
            return says(asked, line, "from the second");
        }
        gate.pass();
        line.json(200, &listed(&["m:latest"]));
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_ever_is_answered_by_the_second_host_where_the_first_is_dead() {
    // A process that ended, a name that does not resolve, a machine that swallows what it gets.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let black_hole = BlackHole::start();
    // Far longer than a busy machine needs: only the order counts.
    let (connect, margin) = (Duration::from_millis(300), Duration::from_secs(20));
    for (first, url) in [
        ("refuses connections", format!("http://{closed}")),
        ("has no address", "http://localhost.invalid:11434".to_owned()),
        ("is a black hole", black_hole.url.clone()),
    ] {
        for route in ROUTES {
            let second = late(&Gate::default());
            let gateway = gateway_to(&[url.clone(), second.url()], "[limits]\nconnect = \"300ms\"\n");
            let answer = ask(&gateway, route.path(), &question(route, "m", false)).await;
            let shown = format!("the first {first}, {}: {} {}", route.path(), answer.status, answer.text);
            assert!(answer.status == 200 && answer.text.contains("from the second"), "{shown}");
            assert_eq!(answer.header("x-upright-host"), second.name(), "{shown}");
            // A probe may have found out the others before.
            assert!(answer.header("x-upright-attempts") == "2" || first != "is a black hole", "{shown}");
            assert_eq!(second.questions().len(), 1, "{shown}");
            println!("{first:20} {:22} {:?} (connect limit {connect:?})", route.path(), answer.took);
            assert!(answer.took < connect + margin, "{shown}: {:?}", answer.took);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_for_two_models_in_turn_load_each_model_once_on_two_hosts_with_one_slot() {
    /// A host that keeps one model in memory.
    fn card(name: &'static str, loads: &Arc<AtomicUsize>) -> ModelHost {
        let (loads, loaded) = (Arc::clone(loads), Mutex::new(None::<String>));
        ModelHost::start(move |asked, line| match asked.target.as_str() {
            "GET /api/ps" => {
                let loaded = loaded.lock().unwrap().clone();
                line.json(200, &listed(&loaded.iter().map(String::as_str).collect::<Vec<_>>()));
            }
            "GET /api/tags" => line.json(200, &listed(&["m1:latest", "m2:latest", name])),
            "POST /api/chat" => {
                let model = format!("{}:latest", asked.json()["model"].as_str().unwrap());
                let mut loaded = loaded.lock().unwrap();
                if loaded.as_ref() != Some(&model) {
                    loads.fetch_add(1, Ordering::SeqCst);
                    // A load takes longer than an answer.
                    line.silent(Duration::from_millis(50));
                    *loaded = Some(model);
                }
                says(asked, line, "yes");
            }
            _ => line.json(200, &json!({ "version": "0.33.0" })),
        })
    }
    for (at_once, both_are_known) in [(1, true), (8, true), (8, false)] {
        let loads = [(); 2].map(|()| Arc::default());
        let cards = [card("a:latest", &loads[0]), card("b:latest", &loads[1])];
        let urls = cards.each_ref().map(|card| format!("[[upstream]]\nurl = \"{}\"\nconcurrency = 1\n", card.url()));
        let gateway = gateway_of(&urls.concat());
        if both_are_known {
            until(&gateway, "/api/tags", "a:latest").await;
            until(&gateway, "/api/tags", "b:latest").await;
        }
        let mut clients = JoinSet::new();
        for number in 0..200 {
            if clients.len() == at_once {
                let answer: Answer = clients.join_next().await.unwrap().unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
            clients.spawn(asked(url(&gateway, "/api/chat"), question(Route::Chat, ["m1", "m2"][number % 2], false)));
        }
        assert!(clients.join_all().await.iter().all(|answer| answer.status == 200));
        let loads = loads.map(|loads| loads.load(Ordering::SeqCst));
        let asked = cards.each_ref().map(|card| card.questions().len());
        println!("{at_once} at once, both hosts known {both_are_known}: loads {loads:?}, requests {asked:?}");
        if at_once == 1 {
            assert_eq!((loads, asked), ([1, 1], [100, 100]));
        } else {
            // The first requests come in any order, and a host that has not listed its models gets none.
            // That must not last.
            assert!(loads.iter().sum::<usize>() <= 100, "{loads:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_fails_at_once_gets_a_handful_of_two_hundred_requests_and_no_client_sees_a_failure() {
    let failing = ModelHost::ollama(&["m:latest"], |_, line| line.json(503, &json!({ "error": "server busy, please try again" })));
    // An answer takes a while, so that this host is always the busier one.
    let slow = ModelHost::ollama(&["m:latest"], |asked, line| {
        line.silent(Duration::from_millis(5));
        says(asked, line, "yes");
    });
    // No breaker opens: the ranking alone must do it.
    let gateway = gateway(&[&failing, &slow], "[breaker]\nfailure_threshold = 1000\nfailure_rate_threshold = 2.0\n");
    until(&gateway, "/readyz", "ready").await;
    let mut clients = JoinSet::new();
    let client = reqwest::Client::new();
    for _ in 0..8 {
        let (client, url) = (client.clone(), url(&gateway, "/api/chat"));
        clients.spawn(async move {
            for _ in 0..25 {
                let answer = client.post(&url).json(&question(Route::Chat, "m", false)).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
            }
        });
    }
    clients.join_all().await;
    let failed = failing.questions().len();
    println!("{failed} of 200 requests came to the failing host");
    // At most one for each client that asked before the first failure was known.
    assert!(failed <= 8, "{failed}");
    assert_eq!(slow.questions().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_usage_limit_is_asked_once_and_another_model_answers_under_its_own_name() {
    let limited = ModelHost::ollama(&["cloud:latest"], |_, line| {
        line.json(429, &json!({ "error": "you've reached your weekly usage limit, please wait or upgrade to continue" }));
    });
    let local = ModelHost::ollama(&["local:latest"], |asked, line| says(asked, line, "from the local model"));
    let gateway = gateway(&[&limited, &local], "[model.cloud]\nfallback = [\"local\"]\n");
    until(&gateway, "/api/tags", "local").await;
    until(&gateway, "/api/tags", "cloud").await;
    for number in 1..=3 {
        let answer = chat(&gateway, "cloud").await;
        assert!(answer.status == 200 && answer.said() == "from the local model", "{} {}", answer.status, answer.text);
        assert_eq!((answer.header("x-upright-model"), answer.header("x-upright-host")), ("local", &*local.name()));
        assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap()["model"], "local");
        assert!(limited.questions().len() <= number, "{}", limited.questions().len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_asks_for_a_pause_is_left_for_another_that_has_the_model() {
    let limited = ModelHost::ollama(&["m:latest"], |_, line| {
        line.send("HTTP/1.1 429 -\r\nretry-after: 30\r\ncontent-length: 31\r\n\r\n{\"error\":\"too many requests   \"}");
    });
    let other = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "from the other"));
    let gateway = gateway(&[&limited, &other], "");
    until(&gateway, "/readyz", "ready").await;
    for _ in 0..4 {
        let answer = chat(&gateway, "m").await;
        assert_eq!((answer.status, answer.said().as_str()), (200, "from the other"), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_loads_for_longer_than_every_other_limit_is_asked_once_and_left_alone() {
    let limits = "[limits]\nconnect = \"50ms\"\nfirst_content = \"50ms\"\nbetween_content = \"50ms\"\nqueue = \"50ms\"\nloading = \"1m\"\n";
    for route in ROUTES {
        // Longer than all other limits.
        let loading = ModelHost::ollama(&["m:latest"], |asked, line| {
            line.silent(WHILE);
            says(asked, line, "loaded");
        });
        let other = ModelHost::ollama(&[], |_, line| line.json(404, &json!({ "error": "model 'm' not found" })));
        let gateway = gateway(&[&loading, &other], limits);
        until(&gateway, "/api/tags", "m:latest").await;
        let answer = ask(&gateway, route.path(), &question(route, "m", true)).await;
        assert!(answer.status == 200 && answer.whole && answer.text.contains("loaded"), "{}: {}", route.path(), answer.text);
        assert_eq!((loading.questions().len(), other.questions().len()), (1, 0), "{}", route.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_the_request_and_then_answers_no_probe_is_left_for_another() {
    let dead = Gate::default();
    let (at_host, is_dead) = (dead.clone(), Arc::new(AtomicUsize::new(0)));
    let dying = ModelHost::start(move |asked, line| {
        // From its first question on it answers nothing, though its connections stay open.
        if asked.is_question() {
            is_dead.store(1, Ordering::SeqCst);
        }
        if is_dead.load(Ordering::SeqCst) == 1 {
            return at_host.pass();
        }
        line.json(200, &listed(&["m:latest"]));
    });
    let second = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "from the second"));
    let gateway = gateway(&[&dying, &second], "");
    until(&gateway, "/readyz", "ready").await;
    let mut answers = Vec::new();
    while dying.questions().is_empty() {
        answers.push(chat(&gateway, "m").await);
    }
    dead.open();
    let moved = answers.pop().unwrap();
    println!("moved after {:?}", moved.took);
    assert!(moved.status == 200 && moved.said() == "from the second", "{} {}", moved.status, moved.text);
    assert_eq!((moved.header("x-upright-attempts"), dying.questions().len()), ("2", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_the_host_closes_as_a_request_comes_costs_no_client_a_failure() {
    // It closes each connection at its second request, without a byte of an answer.
    let host = ModelHost::ollama(&["m:latest"], |asked, line| if asked.number > 1 { line.close() } else { says(asked, line, "yes") });
    let gateway = gateway(&[&host], "[retry]\nmax_retries = 0\n");
    until(&gateway, "/readyz", "ready").await;
    for number in 0..200 {
        let answer = chat(&gateway, "m").await;
        assert_eq!((answer.status, answer.header("x-upright-attempts")), (200, "1"), "{number}: {}", answer.text);
    }
    let asked = host.questions().len();
    assert!((200..400).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_pass_unchanged_go_over_one_connection_one_after_another() {
    let host = ModelHost::ollama(&["m:latest"], |_, line| line.json(200, &json!({ "results": [] })));
    let gateway = gateway(&[&host], "");
    until(&gateway, "/readyz", "ready").await;
    for _ in 0..20 {
        let answer = ask(&gateway, "/api/experimental/web_search", &json!({ "query": "sky" })).await;
        assert_eq!(answer.text, r#"{"results":[]}"#);
    }
    let numbers: Vec<_> = host.questions().iter().map(|asked| asked.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_comes_or_goes_behind_the_gateways_back_is_found_on_the_other_host() {
    type Models = Arc<Mutex<Vec<&'static str>>>;
    fn stocked(models: &Models) -> ModelHost {
        let models = Arc::clone(models);
        ModelHost::start(move |asked, line| match asked.target.as_str() {
            "GET /api/tags" => line.json(200, &listed(&models.lock().unwrap())),
            "GET /api/ps" => line.json(200, &listed(&[])),
            "GET /api/version" => line.json(200, &json!({ "version": "0.33.0" })),
            _ => {
                let model = format!("{}:latest", asked.json()["model"].as_str().unwrap());
                if models.lock().unwrap().contains(&&*model) {
                    return says(asked, line, "yes");
                }
                line.json(404, &json!({ "error": format!("model '{model}' not found") }));
            }
        })
    }
    let stock: [Models; 2] = [Arc::new(Mutex::new(vec!["m1:latest", "m3:latest"])), Arc::default()];
    let hosts = stock.each_ref().map(stocked);
    let gateway = gateway(&[&hosts[0], &hosts[1]], "");
    until(&gateway, "/api/tags", "m3").await;
    stock[1].lock().unwrap().push("m2:latest");
    let pulled = chat(&gateway, "m2").await;
    assert_eq!((pulled.status, pulled.header("x-upright-host")), (200, &*hosts[1].name()), "{}", pulled.text);
    until(&gateway, "/api/tags", "m2").await;
    assert!(got(&gateway, "/v1/models").await.contains("m3"));
    *stock[0].lock().unwrap() = vec!["m3:latest"];
    stock[1].lock().unwrap().push("m1:latest");
    for _ in 0..8 {
        let moved = chat(&gateway, "m1").await;
        assert_eq!((moved.status, moved.header("x-upright-host")), (200, &*hosts[1].name()), "{}", moved.text);
    }
    // The missing model spoke against no host.
    let kept = chat(&gateway, "m3").await;
    assert_eq!((kept.status, kept.header("x-upright-attempts"), kept.header("x-upright-host")), (200, "1", &*hosts[0].name()));
}
