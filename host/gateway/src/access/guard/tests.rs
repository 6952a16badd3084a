use super::*;

const LOOPBACK: &str = "127.0.0.1:11444";

fn guard(bound: &str, origins: &[&str]) -> Guard {
    let access = Access {
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        hosts: vec!["gateway.example".to_owned()],
        ..Access::default()
    };
    let machine = Machine { name: "Workstation".to_owned(), addresses: vec!["192.0.2.7".parse().unwrap()] };
    Guard::new(&access, bound.parse().unwrap(), &machine)
}

fn headers(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap())).collect()
}

fn ask(guard: &Guard, method: &Method, lines: &[(HeaderName, &[u8])]) -> Verdict {
    guard.judge(method, &Uri::from_static("/api/tags"), &headers(lines))
}

fn allow() -> Verdict {
    Verdict::Allow { cors: Headers::new() }
}

fn with_host(guard: &Guard, host: &str) -> Verdict {
    ask(guard, &Method::GET, &[(HOST, host.as_bytes())])
}

fn with_origin(guard: &Guard, origin: &[u8]) -> Verdict {
    ask(guard, &Method::POST, &[(HOST, b"localhost:11444"), (ORIGIN, origin)])
}

#[test]
fn on_loopback_only_local_hosts_pass() {
    let guard = guard(LOOPBACK, &[]);
    for host in [
        "",
        "localhost",
        "LocalHost:11444",
        "localhost:",
        "workstation",
        "WORKSTATION:11444",
        "printer.local",
        "host.docker.INTERNAL:11444",
        "a.b.localhost",
        "gateway.example:11444",
        "127.0.0.1:11444",
        "127.8.9.10",
        "0.0.0.0:11444",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1:80",
        "192.0.2.7:11444",
        "::1",
        "[::1]",
        "[::1]:11444",
        "[::]:11444",
        "[fd00::1]:11444",
        "[::ffff:127.0.0.1]:11444",
    ] {
        assert_eq!(with_host(&guard, host), allow(), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:11444",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "evillocal",
        "localhost.",
        "localhost:11444:11444",
        "8.8.8.8",
        "192.0.2.8",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[2001:db8::1]:11444",
        "[::1",
        "[::1]evil.example",
        "localhost@evil.example",
        "me@localhost:11444",
        "workstation.evil.example",
        " localhost",
        "localhost,evil.example",
    ] {
        assert_eq!(with_host(&guard, host), FORBIDDEN, "{host}");
    }
    assert_eq!(with_host(&guard, &"a".repeat(60_000)), FORBIDDEN);
    assert_eq!(with_host(&guard, &format!("{}.local", "a".repeat(60_000))), allow());
}

#[test]
fn a_request_without_a_host_passes_and_one_with_two_or_a_malformed_one_is_bad() {
    let guard = guard(LOOPBACK, &[]);
    assert_eq!(ask(&guard, &Method::GET, &[]), allow());
    let two: [(HeaderName, &[u8]); 2] = [(HOST, b"localhost"), (HOST, b"localhost")];
    assert_eq!(ask(&guard, &Method::GET, &two), MALFORMED);
    for host in [b"localhost\xff".as_slice(), "lócalhost".as_bytes(), b"\x80"] {
        assert_eq!(ask(&guard, &Method::GET, &[(HOST, host)]), MALFORMED, "{host:?}");
    }
}

#[test]
fn a_host_in_the_target_counts_before_the_header() {
    let guard = guard(LOOPBACK, &[]);
    let local = headers(&[(HOST, b"localhost")]);
    for (target, expected) in [
        ("http://localhost:11444/api/tags", allow()),
        ("http://evil.example/api/tags", FORBIDDEN),
        ("http://localhost@evil.example/", FORBIDDEN),
    ] {
        assert_eq!(guard.judge(&Method::GET, &target.parse().unwrap(), &local), expected, "{target}");
    }
}

#[test]
fn beyond_loopback_every_host_passes() {
    for bound in ["0.0.0.0:11444", "192.0.2.7:11444", "[::]:11444"] {
        assert_eq!(with_host(&guard(bound, &[]), "gateway.lan"), allow(), "{bound}");
    }
    for bound in ["[::1]:11444", "[::ffff:127.0.0.1]:11444", "127.0.0.2:0"] {
        assert_eq!(with_host(&guard(bound, &[]), "gateway.lan"), FORBIDDEN, "{bound}");
    }
}

#[test]
fn known_origins_pass_and_get_the_headers_of_cors() {
    let guard = guard(LOOPBACK, &["https://Chat.example", "chrome-extension://*", "https://*.lan"]);
    for origin in [
        "http://localhost",
        "https://localhost:3000",
        "http://127.0.0.1:8080",
        "http://0.0.0.0",
        "app://obsidian.md",
        "file://",
        "tauri://localhost",
        "vscode-webview://abc",
        "vscode-file://vscode-app",
        "https://chat.example",
        "chrome-extension://abcdef",
        "https://chat.lan",
    ] {
        let cors = vec![(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_str(origin).unwrap()), (VARY, HeaderValue::from_static("Origin"))];
        assert_eq!(with_origin(&guard, origin.as_bytes()), Verdict::Allow { cors }, "{origin}");
    }
    for origin in [
        b"null".as_slice(),
        b"http://evil.example",
        b"http://localhost.evil.example",
        b"http://localhostevil",
        b"http://evil.example/http://localhost",
        b"https://chat.example.evil.example",
        b"https://chat.example:8443",
        b"http://chat.example",
        b"https://lan",
        b"moz-extension://abcdef",
        b"http://[::1]:3000",
        b"HTTP://LOCALHOST",
        b"localhost",
        b"http://localhost, http://evil.example",
        b"http://\xff",
    ] {
        assert_eq!(with_origin(&guard, origin), FORBIDDEN, "{}", String::from_utf8_lossy(origin));
    }
    assert_eq!(with_origin(&guard, &[b'x'; 60_000]), FORBIDDEN);
}

#[test]
fn requests_without_an_origin_and_those_of_the_gateways_own_pages_are_no_cors() {
    let guard = guard(LOOPBACK, &[]);
    assert_eq!(with_origin(&guard, b""), allow());
    assert_eq!(with_origin(&guard, b"http://localhost:11444"), allow());
    let rebound: [(HeaderName, &[u8]); 2] = [(HOST, b"evil.example:11444"), (ORIGIN, b"http://evil.example:11444")];
    assert_eq!(ask(&guard, &Method::POST, &rebound), FORBIDDEN);
}

#[test]
fn several_origins_are_refused() {
    let guard = guard(LOOPBACK, &["*"]);
    let two: [(HeaderName, &[u8]); 3] = [(HOST, b"localhost"), (ORIGIN, b"http://localhost"), (ORIGIN, b"http://evil.example")];
    assert_eq!(ask(&guard, &Method::POST, &two), FORBIDDEN);
}

#[test]
fn a_star_accepts_every_origin() {
    let guard = guard(LOOPBACK, &["*"]);
    for origin in [b"null".as_slice(), b"http://evil.example", b"http://\xff"] {
        assert!(matches!(with_origin(&guard, origin), Verdict::Allow { cors } if cors.len() == 2));
    }
    assert_eq!(ask(&guard, &Method::GET, &[(HOST, b"evil.example"), (ORIGIN, b"null")]), FORBIDDEN);
}

#[test]
fn a_preflight_is_answered_for_known_origins_and_local_names() {
    let loopback = guard(LOOPBACK, &[]);
    let options = |guard: &Guard, lines: &[(HeaderName, &[u8])]| ask(guard, &Method::OPTIONS, lines);
    match options(&loopback, &[(HOST, b"localhost"), (ORIGIN, b"app://obsidian.md")]) {
        Verdict::Preflight { cors } => {
            assert_eq!(cors.len(), 7);
            assert_eq!(cors[0], (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("app://obsidian.md")));
            let allowed = cors.iter().find(|(name, _)| name == ACCESS_CONTROL_ALLOW_HEADERS).unwrap().1.to_str().unwrap();
            for header in ["Authorization", "X-Stainless-Retry-Count", "X-Api-Key", "X-Upright-Host"] {
                assert!(allowed.split(',').any(|name| name == header), "{header}: {allowed}");
            }
        }
        other => panic!("{other:?}"),
    }
    let none = || Verdict::Preflight { cors: Headers::new() };
    assert_eq!(options(&loopback, &[(HOST, b"evil.example"), (ORIGIN, b"http://evil.example:1")]), FORBIDDEN);
    assert_eq!(options(&loopback, &[(HOST, b"localhost")]), none());
    assert_eq!(options(&loopback, &[(HOST, b"127.0.0.1")]), allow());
    assert_eq!(options(&loopback, &[(HOST, b"evil.example")]), FORBIDDEN);
    assert_eq!(options(&guard("0.0.0.0:80", &[]), &[(HOST, b"localhost")]), allow());
}

#[test]
fn a_real_ollama_refuses_the_same_strangers() {
    let guard = guard(LOOPBACK, &[]);
    let mut compared = 0;
    for recording in upright_recordings::recordings().iter().filter(|recording| recording.name.ends_with("-evil")) {
        let mut sent = HeaderMap::new();
        for (name, value) in &recording.request.headers {
            let name: HeaderName = name.parse().unwrap();
            sent.append(name, value.as_str().unwrap().parse().unwrap());
        }
        let method: Method = recording.request.method.parse().unwrap();
        let answer = recording.body().unwrap();
        let Verdict::Refuse { status, body } = guard.judge(&method, &recording.request.path.parse().unwrap(), &sent) else {
            panic!("{} passed", recording.name);
        };
        assert_eq!((status.as_u16(), body.as_bytes()), (answer.status, answer.bytes.as_slice()), "{}", recording.name);
        compared += 1;
    }
    assert_eq!(compared, 4);
}
