//! One demo component: a small HTTP server that works, logs, uses memory, and misbehaves when it
//! is told to.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, Request, State as Shared},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use clap::Args;
use serde::Deserialize;

use super::state::State;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// What it calls itself
    #[arg(long)]
    name: String,
    /// Where it listens on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Megabytes of memory that it uses from its start
    #[arg(long, default_value_t = 8)]
    memory: usize,
}

/// Runs until SIGTERM or SIGINT; an error is why it cannot run.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let port = arguments.port;
    let serve = || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve(arguments))
    };
    serve().map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))
}

async fn serve(arguments: &Arguments) -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    let state = Arc::new(State::new(&arguments.name, arguments.memory));
    say(&format!("{} ready on port {}", state.name, arguments.port));
    let work = tokio::spawn(work(Arc::clone(&state)));
    let server = axum::serve(listener, router(Arc::clone(&state)));
    tokio::select! {
        ended = async { server.await } => ended?,
        signal = stop_signal() => say(&format!("{} ends on {}", state.name, signal?)),
    }
    work.abort();
    Ok(())
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(|Shared(state): Shared<Arc<State>>| async move { state.page() }))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(is_ready).post(set_ready))
        .route("/crash", post(crash))
        .route("/abort", post(abort))
        .route("/hang", post(hang))
        .route("/leak", post(leak))
        .route("/log", post(log))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), access))
        .with_state(state)
}

/// Counts and logs each request; a component that hangs keeps them for ever.
async fn access(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    if state.hung.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let number = state.count_request();
    let line = format!("{} {}", request.method(), request.uri());
    let response = next.run(request).await;
    // Checks come every second or two; the log is for what people do.
    if !line.starts_with("GET /ready") && !line.starts_with("GET /health") {
        say(&format!("access {number} \"{line}\" {}", response.status().as_u16()));
    }
    response
}

async fn is_ready(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    if state.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

#[derive(Debug, Deserialize)]
struct Ready {
    value: bool,
}

async fn set_ready(Shared(state): Shared<Arc<State>>, Query(ready): Query<Ready>) {
    state.ready.store(ready.value, Ordering::Relaxed);
}

#[derive(Debug, Deserialize)]
struct Crash {
    #[serde(default = "one")]
    code: u8,
}

fn one() -> u8 {
    1
}

async fn crash(Query(crash): Query<Crash>) {
    complain(&format!("told to crash with {}", crash.code));
    std::process::exit(i32::from(crash.code));
}

async fn abort() {
    complain("told to abort");
    std::process::abort();
}

async fn hang(Shared(state): Shared<Arc<State>>) -> &'static str {
    complain("told to hang: no request is answered from now on");
    state.hung.store(true, Ordering::Relaxed);
    "hanging\n"
}

#[derive(Debug, Deserialize)]
struct Leak {
    #[serde(default = "ten")]
    mb: u16,
}

fn ten() -> u16 {
    10
}

async fn leak(Shared(state): Shared<Arc<State>>, Query(leak): Query<Leak>) -> String {
    state.take_memory(usize::from(leak.mb));
    let text = format!("{} MB in use", state.megabytes());
    complain(&text);
    text + "\n"
}

#[derive(Debug, Deserialize)]
struct Lines {
    #[serde(default = "thousand")]
    lines: u32,
}

fn thousand() -> u32 {
    1000
}

async fn log(Query(Lines { lines }): Query<Lines>) {
    for number in 1..=lines {
        say(&format!("line {number} of {lines}"));
    }
}

/// What it is there for: now and then an image, sometimes a slow one.
async fn work(state: Arc<State>) {
    loop {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(700..3000))).await;
        let number = state.count_image();
        let took = fastrand::u32(4..60);
        if number.is_multiple_of(25) {
            complain(&format!("image {number} was slow: {} ms", took * 20));
        } else {
            say(&format!("image {number} rendered in {took} ms"));
        }
    }
}

/// The name of the signal that asks it to end.
async fn stop_signal() -> io::Result<&'static str> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = term.recv() => Ok("SIGTERM"),
            asked = tokio::signal::ctrl_c() => asked.map(|()| "SIGINT"),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map(|()| "Ctrl-C")
}

/// A line for the component's own log. That nobody takes it is no reason to stop working.
fn say(line: &str) {
    let _unread = writeln!(io::stdout().lock(), "{line}");
}

fn complain(line: &str) {
    let _unread = writeln!(io::stderr().lock(), "warning: {line}");
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    /// The status of the answer, or none where there is none.
    async fn ask(state: &Arc<State>, method: &str, path: &str) -> Option<StatusCode> {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let answer = router(Arc::clone(state)).oneshot(request.expect("a request"));
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.ok()?;
        Some(answer.expect("the router never fails").status())
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_what_it_is_told() {
        let state = Arc::new(State::new("is", 1));
        assert_eq!(ask(&state, "GET", "/").await, Some(StatusCode::OK));
        assert_eq!(ask(&state, "GET", "/ready").await, Some(StatusCode::OK));
        assert_eq!(ask(&state, "POST", "/ready?value=false").await, Some(StatusCode::OK));
        assert_eq!(ask(&state, "GET", "/ready").await, Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(ask(&state, "GET", "/health").await, Some(StatusCode::OK));
        assert_eq!(ask(&state, "POST", "/leak?mb=2").await, Some(StatusCode::OK));
        assert_eq!(state.megabytes(), 3);
        assert_eq!(ask(&state, "POST", "/log?lines=2").await, Some(StatusCode::OK));
        assert_eq!(ask(&state, "GET", "/crash").await, Some(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(ask(&state, "POST", "/hang").await, Some(StatusCode::OK));
        assert_eq!(ask(&state, "GET", "/health").await, None, "it hangs");
    }

    #[test]
    fn the_page_tells_what_can_be_done() {
        insta::with_settings!({filters => vec![(r"pid +\d+", "pid       [pid]")]}, {
            insta::assert_snapshot!(State::new("is", 1).page());
        });
    }
}
